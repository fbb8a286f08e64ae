"""Every column of every dataset holds what the published record says."""

import json
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from tests.support.parquet_log import (
    PARTS,
    a_refused,
    account_record,
    an_account,
    go_on,
    log_of,
    refuse_nothing,
    refused_record,
    settings,
    stored,
)
from tests.support.parquet_strategies import ENTRIES, SEVERAL_PARTS
from tests.support.published import value_of

from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
from ropewalk_sinks.arrow_schemas import SCHEMAS, is_json
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.scored import score_part


def expected(field: Any, given: Any) -> Any:
    """What a column must hold for a field of a record's own JSON, read from the column's type."""
    kind = field.type
    if is_json(field):
        return given if given is not None or field.nullable else {}
    if given is None:
        return [] if pa.types.is_list(kind) and not field.nullable else None
    if pa.types.is_struct(kind):
        return {member.name: expected(member, given.get(member.name)) for member in kind}
    if pa.types.is_list(kind):
        return [expected(kind.value_field, item) for item in given]
    return datetime.fromisoformat(given) if pa.types.is_timestamp(kind) else given


def shown(field: Any, value: Any) -> Any:
    """A column's value with its JSON texts parsed."""
    kind = field.type
    if value is None:
        return None
    if is_json(field):
        return json.loads(value)
    if pa.types.is_struct(kind):
        return {member.name: shown(member, value[member.name]) for member in kind}
    if pa.types.is_list(kind):
        return [shown(kind.value_field, item) for item in value]
    return value


def without(row: dict[str, Any], computed: Sequence[str]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in computed}
    if "steps" in kept:
        kept["steps"] = [
            {k: v for k, v in step.items() if k not in ("reward", "return_to_go")}
            for step in kept["steps"]
        ]
    return kept


def assert_rows(path: Path, dataset: str, rows: Sequence[Any], computed: Sequence[str]) -> None:
    model: Any = {"trajectories": Trajectory, "rewards": LedgerEntry}[dataset]
    files = sorted((path / dataset).rglob("*.parquet"))
    schema = SCHEMAS[dataset]
    got: dict[Any, Any] = {}
    for file in files:
        with pq.ParquetFile(file) as parquet:
            assert parquet.schema_arrow.equals(schema, check_metadata=False)
            for row in parquet.read().to_pylist():
                got[row[schema.names[0]]] = {f.name: shown(f, row[f.name]) for f in schema}
    for row in rows:
        # Read by the models themselves, so that what a record leaves out has their defaults.
        published = model.model_validate_json(value_of(row)).model_dump(mode="json")
        want = {f.name: expected(f, published.get(f.name)) for f in schema}
        found = got.pop(want[schema.names[0]])
        assert without(found, computed) == without(want, computed)
    assert got == {}


@given(SEVERAL_PARTS)
@hypothesis_settings(max_examples=60, deadline=None)
def test_every_column_of_a_trajectory_round_trips(rows: list[Any]) -> None:
    for number, row in enumerate(rows):
        row.trajectory_id = f"t-{number}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        sink = ParquetSink(settings(path))
        sink.claim([PARTS])
        sink.add(log_of(rows))
        sink.flush(refuse_nothing)
        assert_rows(path, "trajectories", rows, ["reward", "reward_spec", "schema_version"])
        by_id = {row.trajectory_id: row for row in rows}
        for row in stored(path, "trajectories"):
            score = score_part(by_id[row["trajectory_id"]])
            assert row["reward"] == score.total
            assert [step["reward"] for step in row["steps"]] == list(score.steps)
            assert [step["return_to_go"] for step in row["steps"]] == list(score.returns)
            assert (row["reward_spec"], row["schema_version"]) == ("default@1", 1)


@given(ENTRIES)
@hypothesis_settings(max_examples=40, deadline=None)
def test_every_column_of_a_reward_round_trips(entry: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        go_on(ParquetSink(settings(Path(folder))), log_of([entry]))
        assert_rows(Path(folder), "rewards", [entry], ["entry_hash"])


def test_a_refused_record_keeps_its_bytes_headers_and_place(tmp_path: Path) -> None:
    go_on(ParquetSink(settings(tmp_path)), [refused_record(0, a_refused(7, key=None))])
    (row,) = stored(tmp_path, "quarantine")
    refused = a_refused(7)
    same = ("topic", "reason", "detail", "stage", "quarantined_by", "trajectory_id")
    assert [row[name] for name in same] == [getattr(refused, name) for name in same]
    assert (row["partition"], row["offset"]) == (0, 7)
    assert (row["key"], row["value"]) == (None, refused.value)
    assert json.loads(row["headers"]) == [["trace", "AQ=="], ["none", None]]
    assert int(row["broker_at"].timestamp() * 1000) == refused.broker_ms
    assert int(row["quarantined_at"].timestamp() * 1000) == refused.quarantined_ms


def test_an_account_is_a_row_whose_fates_sum_to_what_was_received(tmp_path: Path) -> None:
    go_on(ParquetSink(settings(tmp_path)), [account_record(5, an_account(100))])
    (row,) = stored(tmp_path, "progress")
    fates = ("assembled", "open", "ledger", "duplicate", "quarantined")
    assert [row[fate] for fate in fates] == [5, 1, 1, 0, 2]
    assert row["received"] == sum(row[fate] for fate in fates)
    assert json.loads(row["by_reason"]) == {"nul": 2}
    assert (row["clock"] - row["watermark"]).total_seconds() == 0.005
