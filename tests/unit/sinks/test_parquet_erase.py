"""A subject leaves the Parquet datasets, whoever dies meanwhile, and does not come back."""

import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.support.crashing_files import Crash, SteppedFiles, crash_at
from tests.support.parquet_log import (
    ALL,
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
from tests.support.published import a_part, an_entry

from ropewalk_schemas.published import MessageRow
from ropewalk_sinks.erasure import Subject
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_checks import check_files
from ropewalk_sinks.parquet_erase import ParquetEraser, all_tombstones, leftovers, roots
from ropewalk_sinks.parquet_erasures import all_erasures
from ropewalk_sinks.parquet_files import Files
from ropewalk_sinks.parquet_layout import Layout
from ropewalk_sinks.tombstones import Removal

NOW = datetime(2026, 3, 2, tzinfo=UTC)
AGENT = Subject("agent", "mallory")
SECRET = "correct-horse-battery-staple"
DATASETS = ("trajectories", "rewards", "quarantine", "progress")


def secret_part(name: str, part: int = 0, **changes: Any) -> Any:
    said = [MessageRow(role="user", content=f"my word is {SECRET}")]
    return a_part(name, part, agent_id="mallory", messages=said, goal=SECRET, **changes)


LOG = [
    *log_of(
        [
            secret_part("t-1", last=False),
            a_part("t-2"),
            an_entry("r-1", "t-1", reason=SECRET),
            an_entry("r-2", "t-2"),
            a_part("t-3"),
            secret_part("t-1", 1),
            secret_part("t-4"),
        ]
    ),
    refused_record(0, a_refused(1, key=b"t-1", value=SECRET.encode())),
    refused_record(1, a_refused(2, key=b"x", value=b'{"agent_id": "mallory"}')),
    refused_record(2, a_refused(3, key=b"t-2")),
    account_record(3, an_account(100)),
]
REMOVED = {"parts": 3, "events": 18, "entries": 1, "refused": 2}


def filled(path: Path, flushes: int = 3) -> Path:
    go_on(ParquetSink(settings(path)), LOG, flushes=flushes)
    return path


def erase(path: Path, subject: Subject = AGENT, files: Files | None = None) -> Removal:
    """As `erase` does it, without Postgres."""
    found = []
    for layout in roots(path):
        eraser = ParquetEraser(Layout(path), layout, files or Files(), subject)
        eraser.begin(reason="a test", at=NOW)
        found.append(eraser.find(eraser.trajectories(), (), lambda share: None))
        eraser.remove(found[-1], at=NOW)
        eraser.finish()
    return found[0]


def others(path: Path) -> list[Any]:
    """All rows that are not of the subject."""
    return [
        row
        for dataset in DATASETS
        for row in stored(path, dataset)
        if row.get("trajectory_id") not in ("t-1", "t-4")
        and row.get("key") != b"t-1"
        and "mallory" not in str(row.get("value"))
    ]


def assert_gone(path: Path) -> None:
    for file in path.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file
        if file.suffix == ".parquet" and file.stat().st_size:  # only its name is left, for readers
            assert SECRET not in repr(pq.ParquetFile(file).read().to_pylist()), file
    assert list(leftovers(path)) == []
    assert check_files(path) == []


def numbers(removed: Removal) -> dict[str, int]:
    return {
        "parts": removed.n_parts,
        "events": removed.n_events,
        "entries": removed.n_entries,
        "refused": removed.n_refused,
    }


def test_all_of_an_agent_goes_and_all_else_is_as_it_was(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = others(path)
    assert any(SECRET.encode() in f.read_bytes() for f in path.rglob("*.parquet"))
    assert numbers(erase(path)) == REMOVED
    assert others(path) == before
    assert len(stored(path, "trajectories")) == 2
    assert_gone(path)
    (stone,) = all_tombstones(path)
    assert (stone.subject, stone.reason, stone.erased_at, stone.is_finished) == (
        *(AGENT, "a test", NOW, True),
    )
    assert numbers(stone.removed) == REMOVED
    assert set(stone.removed.trajectories) == {"t-1", "t-4"}
    assert numbers(erase(path)) == dict.fromkeys(REMOVED, 0)
    (again,) = all_tombstones(path)
    assert again.removed == stone.removed


def test_one_trajectory_goes_and_its_agents_others_stay(tmp_path: Path) -> None:
    path = filled(tmp_path)
    removed = erase(path, Subject("trajectory", "t-1"))
    assert numbers(removed) == {"parts": 2, "events": 12, "entries": 1, "refused": 1}
    assert {row["trajectory_id"] for row in stored(path, "trajectories")} == {"t-2", "t-3", "t-4"}
    assert check_files(path) == []


def test_what_comes_again_or_anew_or_was_buffered_meanwhile_is_not_stored(tmp_path: Path) -> None:
    path = filled(tmp_path)
    sink = ParquetSink(settings(path))
    sink.claim(ALL)
    late = [secret_part("t-1"), secret_part("t-5"), an_entry("r-5", "t-5"), a_part("t-6")]
    sink.add(log_of(late, first=50))  # buffered while it is erased
    before = others(path)
    erase(path)
    sink.flush(refuse_nothing)
    assert sink.counts["erased"] == 3
    sink.add(log_of([an_entry("r-6", "t-5"), an_entry("r-7", "t-6")], first=60))
    sink.add([refused_record(60, a_refused(61, key=b"t-5"))])
    sink.flush(refuse_nothing)
    assert sink.counts["erased"] == 5
    restarted = ParquetSink(settings(path))
    restarted.claim(ALL)
    restarted.add(log_of([an_entry("r-8", "t-5"), secret_part("t-4")], first=70))
    restarted.flush(refuse_nothing)
    assert restarted.counts["erased"] == 2
    assert all_erasures(path).trajectories.keys() == {"t-1", "t-4", "t-5"}
    added = [row for row in others(path) if row not in before]
    assert {row.get("reward_id") or row["trajectory_id"] for row in added} == {"t-6", "r-7"}
    assert_gone(path)


def test_rewards_that_came_before_their_trajectory_was_known_go_with_the_next_run(
    tmp_path: Path,
) -> None:
    path = filled(tmp_path)
    erase(path)
    sink = ParquetSink(settings(path))
    sink.claim(ALL)
    sink.add(log_of([an_entry("r-9", "t-9")], first=50))
    sink.flush(refuse_nothing)
    sink.add(log_of([secret_part("t-9")], first=60))
    sink.flush(refuse_nothing)
    assert len(list(leftovers(path))) == 1
    assert numbers(erase(path))["entries"] == 1
    assert_gone(path)


def test_a_crash_at_any_step_is_mended_by_the_next_run_and_the_numbers_are_right(
    tmp_path: Path,
) -> None:
    template = filled(tmp_path / "template", flushes=1)
    before = others(template)

    def copied(name: str) -> Path:
        shutil.copytree(template, tmp_path / name)
        return tmp_path / name

    whole = SteppedFiles(lambda _: None)
    erase(copied("whole"), files=whole)
    assert whole.steps > 20
    for step in range(0, whole.steps, 2):
        path = copied(str(step))
        with suppress(Crash):
            erase(path, files=SteppedFiles(crash_at(step)))
        assert check_files(path) == [], step
        go_on(ParquetSink(settings(path)), LOG)  # a sink in between
        erase(path)
        assert others(path) == before, step
        assert_gone(path)
        (stone,) = all_tombstones(path)
        assert (numbers(stone.removed), stone.is_finished) == (REMOVED, True), step


def test_other_generations_are_cleaned_too(tmp_path: Path) -> None:
    path = filled(tmp_path)
    generation = filled(path / "_ropewalk" / "generations" / "longer-idle")
    # What readers saw before a promotion: files of the path's own commits, and no commits.
    before = path / "_ropewalk" / "generations" / "before"
    shutil.copytree(path / "trajectories", before / "trajectories")
    died = path / "_ropewalk" / "exchange"
    shutil.copytree(path / "trajectories", died / "trajectories", copy_function=os.link)
    assert numbers(erase(path)) == REMOVED
    assert_gone(path)
    assert check_files(generation) == []
    assert [stone.is_finished for stone in all_tombstones(before)] == [True]
    assert len(stored(before, "trajectories")) == len(stored(died, "trajectories")) == 2


def test_damage_does_not_pass_for_a_rewriting(tmp_path: Path) -> None:
    path = filled(tmp_path)
    file = max((path / "trajectories").rglob("*.parquet"))
    pq.write_table(pq.ParquetFile(file).read(), file)  # the same rows, and other bytes
    with pytest.raises(StorageError, match="is not what was committed or rewritten"):
        erase(path)
    assert [stone.is_finished for stone in all_tombstones(path)] == [False]


def test_a_tombstone_that_cannot_be_read_stops_a_sink_and_names_it(tmp_path: Path) -> None:
    path = filled(tmp_path)
    erase(path)
    (stone,) = (path / "_ropewalk" / "erasures").glob("*.json")
    stone.write_bytes(b"{")
    with pytest.raises(StorageError, match=r"the tombstone .* cannot be read"):
        ParquetSink(settings(path)).claim([PARTS])
