"""Readers of Parquet are switched to a generation and back, at once, whenever the process dies."""

import ctypes
import errno
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.support.crashing_files import Crash, SteppedFiles, crash_at
from tests.support.parquet_log import log_of, settings, stored
from tests.support.published import T0, a_part, content_hash

from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.config import Topics
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.exchange import exchange, require_exchange
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_checks import check_files
from ropewalk_sinks.parquet_files import Files
from ropewalk_sinks.parquet_layout import generation_root
from ropewalk_sinks.parquet_promotion import Switch
from ropewalk_sinks.sink import SourceRecord, TopicPartition

TOMORROW = T0 + timedelta(days=1)
LATER = T0 + timedelta(days=2)
NOW = [
    a_part("t-1", last=False),
    a_part("t-5"),
    a_part("t-2", window_start=TOMORROW),
    a_part("t-1", 1, window_start=TOMORROW),
    a_part("t-3"),
    a_part("t-6"),
    a_part("t-7"),
]
REBUILT = [
    a_part("t-1", content_hash=content_hash("new"), window_start=TOMORROW),
    a_part("t-4", window_start=LATER),
]
IDS = {"t-1", "t-3", "t-4"}  # t-3 does not come out any more
OLD = [("t-1", 0), ("t-1", 1), *((f"t-{n}", 0) for n in (2, 3, 5, 6, 7))]
NEW = [(f"t-{n}", 0) for n in (1, 2, 4, 5, 6, 7)]


def unsynced() -> Files:
    """Nothing here survives a machine: the tests are about processes."""
    return SteppedFiles(lambda _: None)


def fill(path: Path, rows: list[Any], topic: str) -> None:
    """Rows, two of them in a file where they are of one day."""
    at = TopicPartition(topic, 0)
    sink = ParquetSink(settings(path, topics=Topics(trajectories=topic)), files=unsynced())
    sink.claim([at])
    log = log_of(rows, at=at)
    for start in range(0, len(log), 2):
        sink.add(log[start : start + 2])
        sink.flush(lambda _: None)
    sink.close()


def filled(path: Path) -> Path:
    fill(path, NOW, "trajectories")
    fill(generation_root(path, "g"), REBUILT, "trajectories.g")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return filled(tmp_path / "data")


def forward(path: Path, files: Files | None = None) -> None:
    files = files or unsynced()
    Switch(path, incoming="g", displaced="g_before", ids=IDS, keep=True, files=files).make()


def back(path: Path, files: Files | None = None) -> None:
    files = files or unsynced()
    Switch(path, incoming="g_before", displaced="g", ids=IDS, keep=False, files=files).make()


def seen(path: Path) -> list[tuple[str, int]]:
    return [(row["trajectory_id"], row["part"]) for row in stored(path, "trajectories")]


def assert_well(path: Path) -> None:
    roots = [path, *(generation_root(path, name) for name in ("g", "g_before"))]
    assert [check_files(root) for root in roots if root.exists()] == [[]] * len(
        [root for root in roots if root.exists()]
    )


def test_readers_see_the_generation_and_what_they_saw_is_kept(path: Path) -> None:
    before = stored(path, "trajectories")
    rebuilt = stored(generation_root(path, "g"), "trajectories")
    forward(path)
    assert seen(path) == NEW
    now = stored(path, "trajectories")
    assert [row for row in now if row["trajectory_id"] in IDS] == rebuilt
    others = [row for row in before if row["trajectory_id"] not in IDS]
    assert [row for row in now if row["trajectory_id"] not in IDS] == others
    kept = stored(generation_root(path, "g_before"), "trajectories")
    assert kept == [row for row in before if row["trajectory_id"] in IDS]
    assert stored(generation_root(path, "g"), "trajectories") == rebuilt
    assert not (path / "_ropewalk" / "rewriting" / "promotion").exists()
    assert_well(path)


def test_going_back_gives_the_same_rows_and_so_does_going_there_again(path: Path) -> None:
    before = stored(path, "trajectories")
    forward(path)
    then = stored(path, "trajectories")
    for _ in range(2):
        back(path)
        assert stored(path, "trajectories") == before
        assert_well(path)
        forward(path)
        assert stored(path, "trajectories") == then
        assert_well(path)


@pytest.mark.parametrize("goes_back", [False, True])
def test_dead_at_every_step_readers_see_one_or_the_other_and_the_next_run_finishes(
    tmp_path: Path, *, goes_back: bool
) -> None:
    template = filled(tmp_path / "template")
    if goes_back:
        forward(template)

    def started(name: str) -> Path:
        return Path(shutil.copytree(template, tmp_path / name))

    switch, ends = (back, (OLD, NEW)) if goes_back else (forward, (NEW, OLD))
    whole = SteppedFiles(lambda _: None)
    switch(started("whole"), whole)
    assert whole.steps > 30
    for step in range(goes_back, whole.steps, 3):  # some of the steps: it takes time
        path = started(str(step))
        with suppress(Crash):
            switch(path, SteppedFiles(crash_at(step)))
        assert seen(path) in ends, step
        assert check_files(path) == [], step
        fill(path, [], "trajectories")  # a sink starts
        switch(path)
        assert seen(path) == ends[0], step
        assert_well(path)
        kept = seen(generation_root(path, "g" if goes_back else "g_before"))
        assert kept == [key for key in ends[1] if key[0] in IDS], step


def test_a_file_listed_before_and_opened_after_is_found_only_if_it_is_the_same(path: Path) -> None:
    def contents() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in (path / "trajectories").rglob("*.parquet")}

    before = contents()
    forward(path)
    after = contents()
    same = before.keys() & after.keys()
    assert [pq.read_table(file)["trajectory_id"].to_pylist() for file in same] == [["t-7"]]
    assert all(before[file] == after[file] for file in same)
    back(path)
    assert all(contents().get(file, data) == data for file, data in after.items())


def test_a_running_sink_then_refuses_what_the_generation_has_otherwise(path: Path) -> None:
    at = TopicPartition("trajectories", 0)
    refused: list[Quarantined] = []
    sink = ParquetSink(settings(path))
    sink.claim([at])
    forward(path)
    stored_before = [NOW[0], *NOW[2:4]]
    again = log_of([*stored_before, REBUILT[0], a_part("t-4", content_hash="x")], first=100)
    for record in again:
        sink.add([record])
        sink.flush(refused.extend)
    assert [(one.offset, one.reason) for one in refused] == [
        (100, "conflict"), (102, "conflict"), (104, "conflict"),
    ]  # fmt: skip
    assert sink.counts["duplicates"] == 2
    assert seen(path) == NEW
    assert_well(path)


def test_what_a_sink_adds_afterwards_stays_when_readers_go_back(path: Path) -> None:
    forward(path)
    at = TopicPartition("trajectories", 0)
    sink = ParquetSink(settings(path))
    sink.claim([at])
    sink.add([SourceRecord(*log_of([a_part("t-9")], first=50)[0])])
    sink.flush(lambda _: None)
    back(path)
    assert seen(path) == [*OLD, ("t-9", 0)]
    assert_well(path)


def test_a_generation_without_rows_takes_all_away_and_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "data"
    fill(path, NOW, "trajectories")
    fill(generation_root(path, "g"), [], "trajectories.g")
    forward(path)
    assert seen(path) == [(f"t-{n}", 0) for n in (2, 5, 6, 7)]
    assert_well(path)
    back(path)
    assert seen(path) == OLD
    assert_well(path)


def test_several_generations_one_over_the_other(path: Path) -> None:
    fill(generation_root(path, "h"), [a_part("t-1", content_hash="h")], "trajectories.h")
    forward(path)
    over: dict[str, Any] = {"ids": {"t-1", "t-2"}}
    Switch(path, incoming="h", displaced="h_before", keep=True, **over).make()
    assert seen(path) == [(f"t-{n}", 0) for n in (1, 4, 5, 6, 7)]
    assert_well(path)
    Switch(path, incoming="h_before", displaced="h", keep=False, **over).make()
    assert seen(path) == NEW
    back(path)
    assert seen(path) == OLD
    assert_well(path)


def test_folders_are_exchanged_at_once(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / folder.name).touch()
    require_exchange(tmp_path)
    exchange(one, other)
    assert [each.name for each in one.iterdir()] == ["other"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one", "other"]
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "nowhere")


@pytest.fixture(params=["kernel", "library"])
def unable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that cannot exchange folders."""

    class Library:
        def __init__(self, *_: object, **__: object) -> None:
            if request.param == "kernel":
                self.renameat2 = lambda *_: -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.ENOSYS)


@pytest.mark.usefixtures("unable")
def test_where_folders_cannot_be_exchanged_that_is_said_and_nothing_is_changed(path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be exchanged at once"):
        require_exchange(path / "_ropewalk")
    with pytest.raises(StorageError, match="cannot be exchanged"):
        forward(path)
    assert seen(path) == OLD
    assert check_files(path) == []
