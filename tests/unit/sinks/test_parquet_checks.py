"""What goes wrong on a disk is named, and nothing half is ever visible."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.crashing_files import Crash, SteppedFiles
from tests.support.parquet_log import (
    PARTS,
    SMALL_LOG_ROWS,
    go_on,
    identities,
    log_of,
    refuse_nothing,
    settings,
    small_log,
)
from tests.support.published import a_part, raw

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_checks import check_files
from ropewalk_sinks.parquet_commits import commit_files
from ropewalk_sinks.parquet_layout import Layout

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A dataset of every kind of row, in several commits."""
    go_on(ParquetSink(settings(tmp_path)), small_log(), flushes=3)
    assert list(check_files(tmp_path)) == []
    return tmp_path


def a_data_file(path: Path) -> Path:
    return min((path / "trajectories").rglob("*.parquet"))


def test_a_changed_byte_in_a_committed_file_is_found(path: Path) -> None:
    file = a_data_file(path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    (problem,) = check_files(path)
    assert problem.path == file
    assert "is not what was committed" in problem.what


def test_a_missing_committed_file_is_found(path: Path) -> None:
    file = a_data_file(path)
    file.unlink()
    assert [(p.path, p.what.split(":")[0]) for p in check_files(path)] == [
        (file, "committed, but missing")
    ]


def test_a_file_no_commit_names_is_found(path: Path) -> None:
    copy = a_data_file(path).with_name("copy.parquet")
    shutil.copy(a_data_file(path), copy)
    assert [(p.path, p.what.split(":")[0]) for p in check_files(path)] == [
        (copy, "no commit names this file")
    ]


def test_a_missing_commit_is_found_though_a_claim_does_not_look_back_so_far(tmp_path: Path) -> None:
    sink = ParquetSink(settings(tmp_path))
    sink.claim([PARTS])
    for n in range(12):
        sink.add(log_of([a_part(f"t-{n}")], first=n))
        sink.flush(refuse_nothing)
    sink.close()
    commit_files(Layout(tmp_path), PARTS)[1].unlink()
    ParquetSink(settings(tmp_path)).claim([PARTS])
    assert any("the chain of commits is broken" in p.what for p in check_files(tmp_path))


def test_a_file_committed_but_not_moved_in_is_told_apart_from_a_lost_one(tmp_path: Path) -> None:
    def die_before_the_move(_: int) -> None:
        if commit_files(Layout(tmp_path), PARTS):
            raise Crash

    sink = ParquetSink(settings(tmp_path), files=SteppedFiles(die_before_the_move))
    with suppress(Crash):
        go_on(sink, log_of([a_part("t-1")]))
    (problem,) = check_files(tmp_path)
    assert "not moved in yet" in problem.what
    ParquetSink(settings(tmp_path)).claim([PARTS])
    assert list(check_files(tmp_path)) == []


def test_a_staged_file_that_was_damaged_is_not_moved_in(tmp_path: Path) -> None:
    def die_before_the_move(_: int) -> None:
        if commit_files(Layout(tmp_path), PARTS):
            raise Crash

    sink = ParquetSink(settings(tmp_path), files=SteppedFiles(die_before_the_move))
    with suppress(Crash):
        go_on(sink, log_of([a_part("t-1")]))
    (staged,) = (tmp_path / "_ropewalk" / "staging").rglob("*.parquet")
    staged.write_bytes(staged.read_bytes()[:-1])
    with pytest.raises(StorageError, match=f"{staged.name} is not what was committed"):
        ParquetSink(settings(tmp_path)).claim([PARTS])
    assert identities(tmp_path)["trajectories"] == []


def test_a_claim_names_a_stored_file_it_cannot_read(path: Path) -> None:
    file = a_data_file(path)
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(StorageError, match=f"could not read the dataset trajectories.*{file.name}"):
        ParquetSink(settings(path)).claim([PARTS])


def test_a_path_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(StorageError) as raised:
        ParquetSink(settings(file))
    assert "could not prepare the Parquet path" in str(raised.value)
    assert "ROPEWALK_PARQUET_PATH" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@AS_ROOT
def test_a_full_disk_stops_the_sink_with_nothing_half_visible_and_it_goes_on_with_space(
    small_disk: Path,
) -> None:
    go_on(ParquetSink(settings(small_disk)), small_log())
    noise = raw(os.urandom(1_500_000).hex())
    sink = ParquetSink(settings(small_disk))
    sink.claim([PARTS])
    rows = [a_part("t-3"), a_part("t-4", metadata=noise), a_part("t-5", metadata=noise)]
    log = log_of(rows, first=6)
    sink.add(log)
    with pytest.raises(StorageError, match=r"No space left on device.*The disk is full: free"):
        sink.flush(refuse_nothing)
    sink.close()
    assert identities(small_disk) == SMALL_LOG_ROWS
    assert list(check_files(small_disk)) == []

    again = ParquetSink(settings(small_disk))
    assert again.claim([PARTS]) == {PARTS: 6}
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    again.add(log)
    assert again.flush(refuse_nothing) == {PARTS: 9}
    assert len(identities(small_disk)["trajectories"]) == 6


@AS_ROOT
def test_a_read_only_disk_is_one_clear_line(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match=r"The file system is read-only.*ROPEWALK_PARQUET_PATH"):
        ParquetSink(settings(small_disk))


@AS_ROOT
def test_datasets_on_another_file_system_are_refused_at_the_start(small_disk: Path) -> None:
    root = small_disk.parent / "root"
    root.mkdir()
    (root / "trajectories").symlink_to(small_disk)
    with pytest.raises(StorageError, match="several file systems"):
        ParquetSink(settings(root))
