"""The chaos' own parts: points of failure, the table, offsets that go back."""

import errno
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ropewalk_deploy.chaos import series as series_module
from ropewalk_deploy.chaos import table
from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import Fault
from ropewalk_deploy.chaos.faults import FAULTS
from ropewalk_deploy.chaos.fought import Fought, failed
from ropewalk_deploy.chaos.offsets import Offsets, Watched
from ropewalk_deploy.chaos.series import Series, planned
from ropewalk_deploy.chaos.version import code_version
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.stack.kafka_config import BrokerExtras
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
    assert table.summary(runs)[0] == {
        "fault": "a", "runs": 2, "events": 200, "lost": 0, "duplicated": 0, "recover_s": 5.5,
        "wrong": 0, "told": {},
    }  # fmt: skip
    text = table.as_markdown(runs, ["b", "a"])
    assert "| b | 1 | 100 | 2 | 0 | 1.0 | 2 |  |\n| a |" in text
    assert "Sums of all 2 rows: 3 runs, 300 events, 2 lost, 0 duplicated, 2 wrong." in text


def test_a_run_with_a_problem_is_kept_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    table.append(file, fought("a", 1, 2.0))
    table.append(file, replace(failed("b", 7, CommandError("no worker")), version="abc"))
    assert "- b, seed 7, code abc: CommandError: no worker" in table.as_markdown(table.load(file))
    assert table.as_json(table.load(file))["problems"][0]["fault"] == "b"


def test_what_is_expected_to_be_lost_is_summed_beside_what_is_lost() -> None:
    runs = [replace(fought("a", n, 1.0), told={"deleted": 5, "named": 5}) for n in range(2)]
    assert table.summary(runs)[0]["told"] == {"deleted": 10, "named": 10}
    assert "| deleted 10, named 10 |" in table.as_markdown(runs)


def test_a_line_torn_by_a_crash_is_passed_over_and_the_next_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    table.append(file, fought("a", 1, 2.0))
    with file.open("a") as lines:
        lines.write('{"fault": "a", "se')
    table.append(file, fought("a", 2, 2.0))
    assert [run.seed for run in table.load(file)] == [1, 2]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("# A page\n")
    with pytest.raises(CommandError, match="holds no runs"):
        table.load(file)


def test_the_table_goes_between_its_two_markers() -> None:
    page = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    assert table.into_page(page, "new") == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    with pytest.raises(CommandError, match="has no lines"):
        table.into_page("before\nafter\n", "new")


def test_kills_are_tried_more_often_and_what_was_made_is_not_made_again() -> None:
    faults = [
        Fault("big", lambda _: None, alone=True),
        Fault("kill", lambda _: None, kind="kill"),
        Fault("cut", lambda _: None),
    ]
    todo = planned(faults, 5, runs=1, kill_runs=3, known={("kill", 6)})
    assert [(fault.name, seed) for fault, seed in todo] == [
        ("kill", 5), ("cut", 5), ("big", 5), ("kill", 7),
    ]  # fmt: skip


@contextmanager
def an_arena(home: Path, _: object) -> Iterator[Arena]:
    """None of its servers."""
    yield Arena(home, Endpoints("", "", home), home / "log", home, BrokerExtras())
    home.rmdir()


def a_series(
    monkeypatch: pytest.MonkeyPatch, n: int, fight: Callable[[Arena, Fault, int], Fought]
) -> tuple[Series, list[tuple[Fought, Arena]]]:
    monkeypatch.setattr(series_module, "open_arena", an_arena)
    faults = [Fault("a", lambda _: None), Fault("b", lambda _: None, alone=True)]
    done: list[tuple[Fought, Arena]] = []
    todo = deque(planned(faults, 0, runs=n, kill_runs=0, known=()))
    return Series(todo, fight, lambda *told: done.append(told)), done


def test_each_run_of_a_series_is_made_once_by_several_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fight(_: Arena, fault: Fault, seed: int) -> Fought:
        if seed == 3:
            raise ZeroDivisionError
        return fought(fault.name, seed, 1.0)

    series, done = a_series(monkeypatch, 20, fight)
    series.run(3)
    assert sorted((run.fault, run.seed) for run, _ in done) == [
        (name, seed) for name in "ab" for seed in range(20)
    ]
    assert {run.seed for run, _ in done if run.problems} == {3}
    assert {run.version for run, _ in done} == {code_version()}
    by_arena = Counter(id(arena) for run, arena in done if run.fault == "a")
    assert max(by_arena.values()) > 1
    alone = [arena for run, arena in done if run.fault == "b"]
    assert not {id(arena) for arena in alone} & set(by_arena)
    assert all(arena.keep == bool(run.problems) for run, arena in done if run.fault == "b")


def test_a_series_that_is_ended_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def fight(_: Arena, fault: Fault, seed: int) -> Fought:
        if seed == 2:
            series.end()
        return fought(fault.name, seed, 1.0)

    series, done = a_series(monkeypatch, 20, fight)
    series.run(1)
    assert len(done) + len(series.todo) == 40
    assert max(run.seed for run, _ in done) == 2
    assert series.was_ended


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
    assert {fault.when for fault in FAULTS.values()} == {"play", "after it", "round"}
