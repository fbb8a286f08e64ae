"""Data files are rewritten without some rows: at once, recorded, and sinks and readers go on."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.support.crashing_files import Crash, SteppedFiles, crash_at
from tests.support.parquet_log import (
    PARTS,
    go_on,
    identities,
    log_of,
    refuse_nothing,
    settings,
    small_log,
    stored,
)
from tests.support.published import a_part

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_checks import check_files
from ropewalk_sinks.parquet_commits import committed_files
from ropewalk_sinks.parquet_files import Files
from ropewalk_sinks.parquet_layout import Layout
from ropewalk_sinks.parquet_lock import RootLock
from ropewalk_sinks.parquet_recovery import finish_commits
from ropewalk_sinks.parquet_rewrite import copy_without, of_trajectories
from ropewalk_sinks.parquet_rewritten import (
    Change,
    Content,
    Rewritten,
    exchange_recorded,
    make_changes,
    read_record,
    write_record,
)
from ropewalk_sinks.sink import SourceRecord

LOG = small_log()
REMAINING = [("t-2", 0)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Every kind of row, in several files per dataset."""
    return filled(tmp_path / "data")


def filled(path: Path) -> Path:
    go_on(ParquetSink(settings(path)), LOG, flushes=3)
    return path


def without(path: Path, *trajectory_ids: str, files: Files | None = None) -> None:
    """Take the parts of some trajectories out, as whoever rewrites does."""
    layout, files = Layout(path), files or Files()
    lock = RootLock(layout, files)
    with lock.rewriter(), lock.exclusive():
        finish_commits(layout, files)
        make_changes(layout, files, _changes(layout, files, trajectory_ids), why="test", at="now")


def _changes(layout: Layout, files: Files, trajectory_ids: tuple[str, ...]) -> list[Change]:
    found: list[Change] = []
    record, committed = read_record(layout), committed_files(layout)
    files.make_folder(layout.rewriting)
    for source in layout.data_files("trajectories"):
        name = source.relative_to(layout.root).as_posix()
        origin = committed[name].sha256 if name in committed else None
        before = record[name].now if name in record else None
        if before is None:
            file = committed[name]
            before = Content(rows=file.rows, bytes=file.bytes, sha256=file.sha256)
        target = layout.rewriting / f"{len(found)}.parquet"
        doomed = of_trajectories(trajectory_ids)
        now = copy_without(source, target, files, doomed, dataset="trajectories")
        if now is None or now.rows < before.rows:
            found.append(Change(name, origin, before, now, target))
    return found


def assert_well(path: Path) -> None:
    assert check_files(path) == []
    assert identities(path)["trajectories"] == REMAINING


def test_rows_that_stay_are_as_they_were_and_the_files_are_accepted(path: Path) -> None:
    kept = [row for row in stored(path, "trajectories") if row["trajectory_id"] == "t-2"]
    without(path, "t-1")
    assert stored(path, "trajectories") == kept
    assert_well(path)
    go_on(ParquetSink(settings(path)), [])  # a claim finds nothing wrong
    assert [entry.why for entry in read_record(Layout(path)).values() if not entry.pending]


def test_who_is_listing_a_day_while_it_changes_sees_every_name_and_opens_no_old_content(
    path: Path,
) -> None:
    before = set((path / "trajectories").rglob("*.parquet"))
    days = {file.parent for file in before}
    with ExitStack() as open_folders:
        listings = [(day, open_folders.enter_context(os.scandir(day))) for day in days]
        without(path, "t-1")
        without(path, "t-2")
        listed = {day / entry.name for day, listing in listings for entry in listing}
    assert listed == before
    assert [file for file in listed if file.exists()] == []
    left = [file for file in Layout(path).rewriting.rglob("*") if file.is_file()]
    assert {file.name for file in left} >= {file.name for file in before}
    assert all(file.stat().st_size == 0 for file in left if file.name in {b.name for b in before})


def test_a_copy_has_the_schema_the_metadata_and_the_compression_of_its_source(
    tmp_path: Path,
) -> None:
    sink = ParquetSink(settings(tmp_path / "data"))
    go_on(sink, log_of([a_part("t-1"), a_part("t-2"), a_part("t-3")]))
    (source,) = (tmp_path / "data" / "trajectories").rglob("*.parquet")
    target = tmp_path / "copy.parquet"
    content = copy_without(
        source, target, Files(), of_trajectories(["t-2"]), dataset="trajectories"
    )
    assert content is not None
    assert content.rows == 2
    old, new = pq.ParquetFile(source), pq.ParquetFile(target)
    assert new.schema_arrow.equals(old.schema_arrow, check_metadata=True)
    assert new.schema.equals(old.schema)
    assert new.metadata.metadata.keys() == old.metadata.metadata.keys()
    assert new.metadata.metadata[b"ropewalk.last_offset"] == b"2"
    columns = range(old.metadata.num_columns)
    for number in columns:
        before, after = (f.metadata.row_group(0).column(number) for f in (old, new))
        assert (after.compression, after.encodings) == (before.compression, before.encodings)
    assert b"t-2" not in target.read_bytes()


def test_a_file_without_rows_goes_away_and_may_not_come_back(path: Path) -> None:
    files = list((path / "trajectories").rglob("*.parquet"))
    before = {file: file.read_bytes() for file in files}
    without(path, "t-1", "t-2")
    assert list((path / "trajectories").rglob("*.parquet")) == []
    assert check_files(path) == []
    files[0].write_bytes(before[files[0]])
    (problem,) = check_files(path)
    assert problem.path == files[0]
    assert "is not what was committed (gone)" in problem.what


def test_a_rewritten_file_that_is_damaged_or_lost_is_found(path: Path) -> None:
    without(path, "t-1")
    (file,) = (path / "trajectories").rglob("*.parquet")
    file.write_bytes(data := file.read_bytes()[:-1] + b"?")
    assert [problem.path for problem in check_files(path)] == [file]
    file.write_bytes(data[:-1])
    with pytest.raises(StorageError, match="is not what was committed"):
        go_on(ParquetSink(settings(path)), [])
    file.unlink()
    assert "missing" in check_files(path)[0].what
    with pytest.raises(StorageError, match="is missing"):
        go_on(ParquetSink(settings(path)), [])


def test_a_record_about_another_content_than_the_commit_is_found(path: Path) -> None:
    without(path, "t-1")
    layout = Layout(path)
    record = read_record(layout, ["trajectories"])
    other = {name: entry.model_copy(update={"committed": "0"}) for name, entry in record.items()}
    write_record(layout, Files(), "trajectories", other)
    assert "recorded as rewritten from 0" in check_files(path)[0].what


def test_a_crash_at_every_step_leaves_a_state_that_is_accepted_and_the_next_run_finishes(
    tmp_path: Path,
) -> None:
    whole = SteppedFiles(lambda _: None)
    without(filled(tmp_path / "whole"), "t-1", files=whole)
    assert whole.steps > 10
    for step in range(whole.steps):
        path = filled(tmp_path / str(step))
        with suppress(Crash):
            without(path, "t-1", files=SteppedFiles(crash_at(step)))
        assert check_files(path) == [], f"step {step}"
        go_on(ParquetSink(settings(path)), [])
        without(path, "t-1")
        assert_well(path)


def test_what_a_dead_sink_had_committed_is_moved_in_first_and_what_it_had_not_is_removed(
    tmp_path: Path,
) -> None:
    whole = SteppedFiles(lambda _: None)
    go_on(ParquetSink(settings(tmp_path / "whole"), files=whole), LOG, flushes=2)
    for step in range(20, whole.steps, 2):
        path = tmp_path / str(step)
        with suppress(Crash):
            go_on(ParquetSink(settings(path), files=SteppedFiles(crash_at(step))), LOG, flushes=2)
        without(path, "t-1")
        staging = path / "_ropewalk" / "staging"
        assert [file for file in staging.rglob("*") if file.is_file()] == []
        assert check_files(path) == [], f"step {step}"
        go_on(ParquetSink(settings(path)), LOG)
        without(path, "t-1")
        assert_well(path)


def test_a_sink_notices_at_its_next_flush_that_the_datasets_were_changed(path: Path) -> None:
    sink = ParquetSink(settings(path))
    go_on(sink, [])
    without(path, "t-1")
    first = LOG[0]
    again = SourceRecord(PARTS, 100, first.timestamp_ms, first.key, first.value, first.headers)
    go_on_with(sink, again)  # by what it knew before, a duplicate
    assert identities(path)["trajectories"] == [("t-1", 0), *REMAINING]
    assert check_files(path) == []


def go_on_with(sink: ParquetSink, record: SourceRecord) -> None:
    sink.add([record])
    sink.flush(lambda refused: None)


def test_an_exchange_of_folders_is_recorded_whether_it_was_made_or_not(tmp_path: Path) -> None:
    path = filled(tmp_path / "data")
    one, other = Layout(path), Layout(path / "_ropewalk" / "generations" / "g")
    other.root.mkdir(parents=True)
    (other.root / "trajectories").mkdir()
    committed = {
        name: Content(rows=f.rows, bytes=f.bytes, sha256=f.sha256)
        for name, f in committed_files(one).items()
    }
    gone = {
        name: Rewritten(committed=content.sha256, now=None, why="test", at="now")
        for name, content in committed.items()
        if name.startswith("trajectories/")
    }
    write_record(other, Files(), "trajectories", gone)

    def exchange() -> None:
        third = path / "_ropewalk" / "third"
        (one.root / "trajectories").rename(third)
        (other.root / "trajectories").rename(one.root / "trajectories")
        third.rename(other.root / "trajectories")

    def dies() -> None:
        raise Crash

    def dies_after() -> None:
        exchange()
        raise Crash

    def tried(action: Callable[[], None]) -> None:
        with suppress(Crash):
            exchange_recorded(one, other, Files(), "trajectories", committed, action)

    for action, n_parts in ((dies, 3), (dies_after, 0), (exchange, 3), (exchange, 0)):
        tried(action)
        assert check_files(path) == []
        assert len(identities(path)["trajectories"]) == n_parts
        go_on(ParquetSink(settings(path)), [])
    assert all(entry.now is None for entry in read_record(one).values())
    assert read_record(other) == {}


def test_sinks_share_the_lock_and_a_rewriter_keeps_them_out(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    patient, hasty = RootLock(layout, Files()), RootLock(layout, Files(), wait_s=0.05)
    with patient.shared() as first, hasty.shared() as second:
        assert first == second == 0
        with pytest.raises(StorageError, match="another process holds"), hasty.exclusive():
            pytest.fail("it is held shared")
    kept_out = pytest.raises(StorageError, match="gate for more than 0 s")
    with patient.exclusive(), kept_out, hasty.shared():
        pytest.fail("it is held")
    with hasty.shared() as changes:
        assert changes == 1


def test_a_waiting_rewriter_is_not_starved_by_sinks_that_overlap(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    stop, held = threading.Event(), threading.Event()

    def flushes() -> None:
        while not stop.is_set():
            with RootLock(layout, Files()).shared():
                held.set()
                stop.wait(0.03)

    sinks = [threading.Thread(target=flushes) for _ in range(4)]
    for sink in sinks:
        sink.start()
    try:
        assert held.wait(10)
        with RootLock(layout, Files(), wait_s=10).exclusive():
            pass
    finally:
        stop.set()
        for sink in sinks:
            sink.join()


def test_a_lock_whose_holder_was_killed_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from ropewalk_sinks.parquet_files import Files\n"
        "from ropewalk_sinks.parquet_layout import Layout\n"
        "from ropewalk_sinks.parquet_lock import RootLock\n"
        f"with RootLock(Layout(pathlib.Path({str(tmp_path)!r})), Files()).exclusive():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        hasty = RootLock(Layout(tmp_path), Files(), wait_s=0.05)
        with pytest.raises(StorageError), hasty.shared():
            pytest.fail("it is held")
        holder.kill()
    with hasty.shared() as changes:
        assert changes == 1


def test_a_file_with_another_content_has_another_name_and_all_others_keep_theirs(
    tmp_path: Path,
) -> None:
    path, sink = tmp_path / "data", ParquetSink(settings(tmp_path / "data"))
    go_on(sink, log_of([a_part("t-1"), a_part("t-2")]))
    go_on(sink, log_of([a_part("t-1"), a_part("t-2"), a_part("t-3")]))
    changed, kept = sorted((path / "trajectories").rglob("*.parquet"))
    inode = kept.stat().st_ino
    without(path, "t-1")
    assert not changed.exists()
    (renamed,) = set((path / "trajectories").rglob("*.parquet")) - {kept}
    assert kept.stat().st_ino == inode
    assert renamed.stem.startswith(f"{changed.stem}.e")
    sink.add(log_of([a_part("t-2"), a_part("t-3")], first=3))
    sink.flush(refuse_nothing)
    assert sink.counts["duplicates"] == 2  # the renamed file is known as the partition's own
    without(path, "t-2")
    assert list((path / "trajectories").rglob("*.parquet")) == [kept]
    assert check_files(path) == []
