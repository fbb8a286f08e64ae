"""The datasets are read by the tools people have, with no code of ours."""

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd  # type: ignore[import-untyped]  # no stubs installed
import pyarrow.dataset as pads
import pytest
from tests.support.parquet_log import ACCOUNTS, PARTS, REFUSED, go_on, settings, small_log
from tests.support.published import content_hash

from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_reads import (
    stored_offsets,
    stored_parts,
    stored_quarantine,
    stored_rewards,
)
from ropewalk_sinks.stored import StoredPart, StoredRefusal, StoredReward


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Every kind of row, in several files per dataset."""
    go_on(ParquetSink(settings(tmp_path)), small_log(), flushes=4)
    return tmp_path


def ask(query: str) -> list[Any]:
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def test_duckdb_reads_training_data_by_a_glob(path: Path) -> None:
    files = f"read_parquet('{path}/trajectories/**/*.parquet', hive_partitioning=true)"
    query = (
        f"SELECT messages, reward, window_date FROM {files} WHERE complete AND linear ORDER BY ALL"
    )
    rows = ask(query)
    assert [message["role"] for message in rows[0][0]] == ["user", "assistant"] * 2
    assert [reward for _, reward, _ in rows] == [1.5, 1.5, 1.5]
    assert sorted(str(day) for _, _, day in rows) == ["2026-03-01", "2026-03-01", "2026-03-02"]
    steps = f"SELECT s.state->>'cash', s.at FROM (SELECT unnest(steps) AS s FROM {files})"
    assert {cash for cash, _ in ask(steps)} == {"10.5"}
    assert ask(f"SELECT DISTINCT typeof(started_at) FROM {files}") == [
        ("TIMESTAMP WITH TIME ZONE",)
    ]


@pytest.mark.parametrize(
    ("dataset", "rows"), [("trajectories", 3), ("rewards", 1), ("quarantine", 1), ("progress", 2)]
)
def test_pandas_duckdb_and_pyarrow_see_the_same_rows(path: Path, dataset: str, rows: int) -> None:
    frame = pd.read_parquet(path / dataset)
    table = pads.dataset(path / dataset, format="parquet", partitioning="hive").to_table()
    files = f"read_parquet('{path}/{dataset}/**/*.parquet', hive_partitioning=true)"
    columns = [name for name, *_ in ask(f"DESCRIBE SELECT * FROM {files}")]
    assert len(frame) == table.num_rows == rows
    assert list(frame.columns) == table.column_names == columns
    assert ask(f"SELECT count(*) FROM {files}") == [(rows,)]


def test_pandas_gives_messages_and_aware_times(path: Path) -> None:
    frame = pd.read_parquet(path / "trajectories")
    assert str(frame["started_at"].dtype) == "datetime64[us, UTC]"
    assert frame["messages"].iloc[0][0]["content"] == "Hello"
    assert frame["reward"].sum() == 4.5


def test_an_empty_sink_is_an_empty_dataset_for_pyarrow(tmp_path: Path) -> None:
    ParquetSink(settings(tmp_path))
    for dataset in ("trajectories", "rewards", "quarantine", "progress"):
        assert pads.dataset(tmp_path / dataset, format="parquet").count_rows() == 0
    assert list(stored_parts(tmp_path)) == []
    assert stored_offsets(tmp_path) == {}


def test_stored_identities_are_streamed(path: Path) -> None:
    assert sorted(stored_parts(path)) == [
        StoredPart(name, part, content_hash(name, part), 0, 6, 1.5)
        for name, part in (("t-1", 0), ("t-1", 1), ("t-2", 0))
    ]
    assert list(stored_rewards(path)) == [StoredReward("r-1", "t-1", 2.5, 0, 30)]
    assert list(stored_quarantine(path)) == [StoredRefusal("agent-events", 0, 7, "invalid_utf8")]
    assert stored_offsets(path) == {PARTS: 6, REFUSED: 2, ACCOUNTS: 9}
