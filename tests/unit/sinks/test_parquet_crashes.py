"""Die, or be overtaken, at every single change to the file system: each row stays there once."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.crashing_files import Crash, SteppedFiles, crash_at
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
    stored,
)
from tests.support.published import a_part

from ropewalk_sinks.errors import FencedError
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_checks import check_files
from ropewalk_sinks.parquet_files import Files

LOG = small_log()
FLUSHES = 2


def run(path: Path, at_step: Callable[[int], None]) -> int:
    """Store the log in several flushes; gives the number of changes made until the end or crash."""
    files = SteppedFiles(at_step)
    with suppress(Crash):
        go_on(ParquetSink(settings(path), files=files), LOG, flushes=FLUSHES)
    return files.steps


def never(_: int) -> None:
    """A process that lives."""


def assert_whole(path: Path) -> None:
    assert identities(path) == SMALL_LOG_ROWS
    assert list(check_files(path)) == []
    staging = path / "_ropewalk" / "staging"
    assert [file for file in staging.rglob("*") if file.is_file()] == []


def test_a_crash_at_every_step_leaves_each_row_once(tmp_path: Path) -> None:
    steps = run(tmp_path / "whole", never)
    assert steps > 40
    for step in range(steps):
        path = tmp_path / str(step)
        assert run(path, crash_at(step)) == step + 1
        visible = identities(path)
        assert all(len(set(rows)) == len(rows) for rows in visible.values())
        run(path, never)
        assert_whole(path)


def test_a_crash_while_recovering_from_a_crash_changes_nothing(tmp_path: Path) -> None:
    steps = run(tmp_path / "whole", never)
    # Every eleventh crash, each with a second crash at every fifth step of the restart.
    for step in range(0, steps, 11):
        again = 0
        while True:
            path = tmp_path / f"{step}-{again}"
            run(path, crash_at(step))
            finished = run(path, crash_at(again)) <= again
            run(path, never)
            assert_whole(path)
            if finished:
                break
            again += 5


def test_an_owner_overtaken_at_any_step_is_fenced_and_each_row_is_there_once(
    tmp_path: Path,
) -> None:
    steps = run(tmp_path / "whole", never)
    fenced = 0
    for step in range(steps):
        path = tmp_path / str(step)

        def overtaken(number: int, *, at: int = step, path: Path = path) -> None:
            if number == at:
                run(path, never)

        zombie = ParquetSink(settings(path), files=SteppedFiles(overtaken))
        try:
            go_on(zombie, LOG, flushes=FLUSHES)
        except FencedError:
            fenced += 1
        run(path, never)
        assert_whole(path)
    assert fenced > steps // 2


def test_an_owner_that_goes_on_after_a_claim_cannot_write(tmp_path: Path) -> None:
    zombie = ParquetSink(settings(tmp_path))
    zombie.claim(ALL)
    zombie.add(LOG)
    owner = ParquetSink(settings(tmp_path))
    assert owner.claim(ALL) == dict.fromkeys(ALL, 0)
    with pytest.raises(FencedError, match="another process took trajectories/0 over"):
        zombie.flush(refuse_nothing)
    assert not any(identities(tmp_path).values())
    owner.add(LOG)
    owner.flush(refuse_nothing)
    assert_whole(tmp_path)


class _BlindFiles(Files):
    """Renames of staging folders are lost, so that only the create-once commit can fence."""

    def rename(self, source: Path, target: Path) -> None:
        if not target.name.endswith(".fenced"):
            super().rename(source, target)


def test_two_commits_from_the_same_offset_collide_and_the_second_leaves_nothing(
    tmp_path: Path,
) -> None:
    first, second = (ParquetSink(settings(tmp_path), files=_BlindFiles()) for _ in range(2))
    first.claim([PARTS])
    second.claim([PARTS])
    second.add(log_of([a_part("t-2")]))
    first.add(log_of([a_part("t-1"), a_part("t-2")]))
    first.flush(refuse_nothing)
    with pytest.raises(FencedError, match="went on from offset 0"):
        second.flush(refuse_nothing)
    assert [row["trajectory_id"] for row in stored(tmp_path, "trajectories")] == ["t-1", "t-2"]
    assert_no_staged(tmp_path)


def assert_no_staged(path: Path) -> None:
    assert list((path / "_ropewalk" / "staging").rglob("*.parquet")) == []
