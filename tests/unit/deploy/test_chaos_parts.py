"""The chaos' own parts: points of failure, the table, offsets that go back."""

import errno
import os
import signal
from pathlib import Path

import pytest

from ropewalk_deploy.chaos import table
from ropewalk_deploy.chaos.battle import Fought
from ropewalk_deploy.chaos.faults import FAULTS
from ropewalk_deploy.chaos.offsets import Offsets, Watched
from ropewalk_schemas import failpoints
from ropewalk_schemas.topics import AGENT_EVENTS, QUARANTINE, TRAJECTORIES

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def watched_folder(tmp_path: Path) -> object:
    failpoints.watch(tmp_path)
    yield
    failpoints.watch(None)


def test_a_point_acts_once_and_only_when_it_is_armed(tmp_path: Path) -> None:
    failpoints.reach("parquet.create.before")
    failpoints.arm(tmp_path, "parquet.create.before", "ENOSPC")
    failpoints.reach("parquet.create.after")
    with pytest.raises(OSError, match="No space left") as raised:
        failpoints.reach("parquet.create.before")
    assert raised.value.errno == errno.ENOSPC
    failpoints.reach("parquet.create.before")
    failpoints.watch(None)
    failpoints.arm(tmp_path, "parquet.create.before", "EIO")
    failpoints.reach("parquet.create.before")


def test_a_point_can_end_a_process(tmp_path: Path) -> None:
    failpoints.arm(tmp_path, "settle.write.after", "kill")
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        failpoints.reach("settle.write.after")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_every_point_of_the_catalogue_is_in_the_code_once_and_no_other() -> None:
    code = [
        file.read_text()
        for folder in ("deploy", "sinks", "stream_processors")
        for file in (ROOT / folder).rglob("*.py")
    ]
    known = [point for points in failpoints.POINTS.values() for point in points]
    for point in known:
        assert sum(text.count(f'reach("{point}")') for text in code) == 1, point
    assert sum(text.count('reach("') for text in code) == len(known)


def fought(fault: str, seed: int, recover_s: float, lost: int = 0) -> Fought:
    return Fought(fault, seed, 100, lost, 0, lost, recover_s, [])


def test_a_series_can_be_gone_on_with_and_is_summed_by_fault(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "runs.jsonl"
    assert table.load(file) == []
    runs = [fought("a", 1, 2.0), fought("b", 1, 1.0, lost=2), fought("a", 2, 5.5)]
    for run in runs:
        table.append(file, run)
    assert table.load(file) == runs
    rows = table.summary(runs)
    assert rows[0] == {
        "fault": "a", "runs": 2, "events": 200, "lost": 0, "duplicated": 0, "recover_s": 5.5,
        "wrong": 0,
    }  # fmt: skip
    assert "| b | 1 | 100 | 2 | 0 | 1.0 | 2 |" in table.as_markdown(rows)


def offsets(worker: int, replay: int, postgres: int, parquet: int) -> Offsets:
    at, out = (AGENT_EVENTS.name, 0), (TRAJECTORIES.name, 0)
    sinks = {"postgres": {out: postgres}, "parquet": {out: parquet}}
    return Offsets({at: 9, out: 9}, {at: worker}, {at: replay}, sinks)


def test_an_offset_that_goes_back_is_named() -> None:
    watched = Watched()
    for look in (offsets(1, 1, 1, 1), offsets(5, 2, 3, 1), offsets(5, 1, 3, 4)):
        watched.look(look)
    check = watched.check()
    assert (check.ok, check.wrong) == (False, ["replay point agent-events/0 went from 2 to 1"])
    assert Watched().check().ok


def test_a_place_is_done_when_all_who_read_it_have_come_there() -> None:
    now = offsets(5, 2, 3, 1)
    assert now.done((AGENT_EVENTS.name, 0)) == 5
    assert now.done((TRAJECTORIES.name, 0)) == 1
    assert now.done((QUARANTINE.name, 0)) == 0


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len(FAULTS) > 30
    assert {fault.when for fault in FAULTS.values()} == {"play", "round"}
