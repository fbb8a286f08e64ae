"""What the Parquet sink remembers of a partition: what its files say, and on disk."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.parquet_log import (
    ALL,
    PARTS,
    a_refused,
    an_account,
    go_on,
    log_of,
    settings,
    small_log,
)
from tests.support.published import a_part, an_entry, content_hash

from ropewalk_sinks.config import Topics
from ropewalk_sinks.decided import decide
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.incoming import read_record
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_index import StoredRows, data_files_by_source
from ropewalk_sinks.parquet_layout import DATASETS, Layout

MIB = 1024 * 1024


def held(stored: StoredRows) -> dict[str, list[Any]]:
    """All that an index holds, by dataset."""
    select = "SELECT * FROM "
    return {name: sorted(stored._database.execute(select + name)) for name in DATASETS}


def take(stored: StoredRows, rows: Iterable[object]) -> int:
    """Decide on rows as a batch does; gives how many were new."""
    group = [read_record(record, Topics()) for record in log_of(rows)]
    admission = stored.admission(group)
    decided = decide(group, admission, sink="parquet")
    stored.hold(admission)
    return len(decided.parts) + len(decided.entries)


def test_the_index_read_from_the_files_equals_the_live_one(tmp_path: Path) -> None:
    sink = ParquetSink(settings(tmp_path))
    go_on(sink, small_log(), flushes=3)
    for at in ALL:
        rebuilt = StoredRows(data_files_by_source(Layout(tmp_path)).get(at, {}))
        assert held(rebuilt) == held(sink._stored[at])
    assert ("t-2", 0, content_hash("t-2", 0), True) in held(sink._stored[PARTS])["trajectories"]
    assert all(sum(len(held(sink._stored[at])[name]) for at in ALL) for name in DATASETS)


def test_what_is_held_is_not_new_again(tmp_path: Path) -> None:
    stored = StoredRows({})
    rows = [a_part("t-1", last=False), a_part("t-1", 1), an_entry("r-1")]
    assert take(stored, rows) == 3
    assert take(stored, [*rows, an_entry("r-2")]) == 1
    assert [stored.add(row) for row in (a_refused(7), a_refused(7), a_refused(8))] == [1, 0, 1]
    assert [stored.add(row) for row in (an_account(1), an_account(1), an_account(2))] == [1, 0, 1]


def test_an_attempt_that_fails_leaves_the_index_as_it_was() -> None:
    stored = StoredRows({})
    take(stored, [a_part("t-0"), an_entry("r-0")])
    before = held(stored)
    with stored.attempt():
        with pytest.raises(OverflowError):
            take_and_fail(stored, [a_part("t-1"), an_entry("r-1")])
        assert held(stored) == before
        take(stored, [a_part("t-2")])
    assert [row[0] for row in held(stored)["trajectories"]] == ["t-0", "t-2"]


def take_and_fail(stored: StoredRows, rows: Iterable[object]) -> None:
    with stored.attempt():
        take(stored, rows)
        stored.add(a_refused(2**70))


def test_a_full_disk_for_temporary_files_names_the_setting() -> None:
    stored = StoredRows({})
    stored._database.execute("PRAGMA max_page_count = 40")
    told = "index of what is stored: .* is full; .*TMPDIR"
    with pytest.raises(StorageError, match=told), stored.attempt(), stored.attempt():
        take(stored, [a_part(f"t-{n}") for n in range(5_000)])


def test_memory_does_not_grow_with_what_is_stored() -> None:
    process = psutil.Process()
    stored = StoredRows({})
    hold(stored, range(1_000))
    before = process.memory_full_info().uss
    hold(stored, range(1_000, 200_000))
    assert process.memory_full_info().uss - before < 8 * MIB  # in a dictionary it was 100
    assert [len(stored._parts(f"t-{n}")) for n in (0, 199_999, 200_000)] == [1, 1, 0]


def hold(stored: StoredRows, numbers: Iterable[int]) -> None:
    """Hold one part of each trajectory."""
    with stored.attempt():
        stored._hold("trajectories", ((f"t-{n}", 0, f"{n:064x}", True) for n in numbers))
