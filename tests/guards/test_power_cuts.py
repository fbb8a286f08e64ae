"""The power goes at any moment: what a flush returned for is there, and each row once."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.crashing_files import Crash
from tests.support.parquet_log import (
    ALL,
    PARTS,
    SMALL_LOG_ROWS,
    go_on,
    identities,
    log_of,
    refuse_nothing,
    settings,
    small_log,
)
from tests.support.power_cuts import Disk, PoweredFiles
from tests.support.published import a_part

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_checks import check_files
from ropewalk_sinks.sink import TopicPartition

Offsets = dict[TopicPartition, int]


def write(path: Path, files: PoweredFiles) -> Offsets:
    """Store the log in two flushes; gives what had returned when the power went."""
    flushed: Offsets = {}
    with suppress(Crash):
        sink = ParquetSink(settings(path), files=files)
        sink.claim(ALL)
        for half in (small_log()[:4], small_log()[4:]):
            sink.add(half)
            flushed |= sink.flush(refuse_nothing)
    return flushed


def claimed(path: Path) -> tuple[ParquetSink, Offsets]:
    sink = ParquetSink(settings(path))
    try:
        return sink, sink.claim(ALL)
    except StorageError as error:
        pytest.fail(f"what a commit names is lost: {error}")


def test_what_was_flushed_is_there_and_each_row_once_whenever_the_power_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PoweredFiles(None)
    write(tmp_path / "whole", whole)
    assert whole.steps > 20
    for step in range(whole.steps + 1):
        path, image = tmp_path / f"{step}", tmp_path / f"{step}-after"
        disk = Disk(path)
        monkeypatch.setattr(os, "fsync", disk.fsync)
        flushed = write(path, PoweredFiles(step))
        disk.lose_power(image)
        sink, found = claimed(image)
        assert {at: found[at] for at in flushed if found[at] < flushed[at]} == {}, step
        sink.close()
        go_on(ParquetSink(settings(image)), small_log())
        assert identities(image) == SMALL_LOG_ROWS, step
        assert list(check_files(image)) == [], step


def test_the_disk_of_these_tests_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path / "disk")
    monkeypatch.setattr(os, "fsync", lambda _: None)
    go_on(ParquetSink(settings(tmp_path / "disk")), log_of([a_part("t-1")], at=PARTS))
    disk.lose_power(tmp_path / "after")
    assert list((tmp_path / "after").iterdir()) == []
