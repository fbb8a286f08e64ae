"""Which trajectories a generation holds, is not to hold, and cannot hold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
from tests.support.events import T0, T0_MS, event_record, settings_record, tick_record
from tests.support.late_events import a_life, early
from tests.support.parquet_log import an_account

from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations.choice import Choice, parse_ranges
from ropewalk_deploy.generations.planning import Plan, make_plan, named
from ropewalk_deploy.generations.reading import Source, initial_limits
from ropewalk_deploy.generations.rebuilding import Log
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_sinks.erasure import Erasures
from ropewalk_sinks.postgres_generations import HeldNow, Register
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord

HOUR = Choice(parse_ranges(["2026-03-01T12:00:00Z/3600s"]))
SHORT = Settings(cap_ms=60_000, default=Limits(idle_ms=30_000, settle_ms=1_000))


@dataclass
class Seen:
    """What readers see, in place of the register's database."""

    chosen: dict[str, HeldNow] = field(default_factory=dict)
    held: dict[str, HeldNow] = field(default_factory=dict)

    def chosen_now(self, ranges: Sequence[Any], project: str | None) -> dict[str, HeldNow]:
        return dict(self.chosen)

    def held_now(self, ids: Collection[str]) -> dict[str, HeldNow]:
        return {i: at for i, at in self.held.items() if i in ids}


def records_of(*lives: Sequence[Any]) -> list[InputRecord]:
    events = [event for life in lives for event in life]
    return [event_record(event, n, T0_MS + n) for n, event in enumerate(events)]


def a_source(
    records: list[InputRecord], *, start: int = 0, open_now: Collection[str] = ()
) -> Source:
    place = Place(AGENT_EVENTS.name, 0, "1")
    log = Log(place, 1, lambda: [r for r in records if r.offset >= start], SHORT)
    return Source(start, len(records), log, frozenset(open_now))


def plan(seen: Seen, source: Source, erasures: Erasures | None = None) -> Plan:
    register = cast("Register", seen)
    return make_plan(register, HOUR, {0: source}, erasures or Erasures(), lambda _: None)


def last(first_offset: int = 0) -> HeldNow:
    return HeldNow(has_last=True, partition=0, first_offset=first_offset)


def test_members_are_what_is_stored_and_what_comes_out() -> None:
    source = a_source(records_of(a_life("t-1", T0)))
    found = plan(Seen(chosen={"t-2": last()}), source)
    assert found.members == {"t-1", "t-2"}
    assert (found.left_out, found.n_erased) == ([], 0)


def test_what_is_open_is_left_out_unless_its_last_part_is_stored() -> None:
    source = a_source(records_of(early(a_life("t-1", T0))), open_now={"t-1"})
    found = plan(Seen(), source)
    assert (set(found.members), found.left_out) == (set(), ["t-1"])
    part = HeldNow(has_last=False, partition=0, first_offset=0)
    found = plan(Seen(chosen={"t-1": part}, held={"t-1": part}), source)
    assert (set(found.members), found.left_out) == (set(), ["t-1"])
    found = plan(Seen(chosen={"t-1": last()}, held={"t-1": last()}), source)
    assert (set(found.members), found.left_out) == ({"t-1"}, [])


@pytest.mark.parametrize("kind", ["agent", "trajectory"])
def test_erased_subjects_are_left_out_and_counted(kind: str) -> None:
    erasures = (
        Erasures(agents={("agent-a", None): "e"})
        if kind == "agent"
        else Erasures(trajectories={"t-1": "e"})
    )
    source = a_source(records_of(a_life("t-1", T0)))
    found = plan(Seen(chosen={"t-2": last()}), source, erasures)
    assert (set(found.members), found.n_erased) == ({"t-2"}, 1)


def test_nothing_chosen_is_said() -> None:
    with pytest.raises(CommandError, match="no trajectory has a part in these windows"):
        plan(Seen(), a_source(records_of(a_life("t-1", T0 - timedelta(days=1)))))


def test_a_beginning_that_retention_deleted_is_refused_by_name() -> None:
    source = a_source(records_of(a_life("t-1", T0), a_life("t-2", T0)), start=7)
    stored = {"t-1": last(0), "t-2": last(7), "t-3": last(3)}
    with pytest.raises(CommandError, match=r"beginning of 2 of 3 stored .*: t-1, t-3\. They"):
        plan(Seen(chosen=stored), source)
    found = plan(Seen(chosen={"t-2": last(7)}), source)
    assert found.members == {"t-2"}
    elsewhere = {"t-2": last(7)._replace(partition=1)}
    with pytest.raises(CommandError, match="beginning of 1 of 1"):
        plan(Seen(chosen=elsewhere), source)


def test_an_engine_that_fails_names_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        msg = "a bug"
        raise RuntimeError(msg)

    monkeypatch.setattr(Engine, "_take", fails)
    with pytest.raises(CommandError, match=r"agent-events\[0\] offset 0 \(RuntimeError: a bug\)"):
        plan(Seen(), a_source(records_of(a_life("t-1", T0))))


def test_many_ids_are_named_in_part() -> None:
    assert named(["b", "a"]) == "a, b"
    assert named([f"t-{n:02}" for n in range(12)]).endswith("t-08, t-09 and 2 more")


def test_limits_where_a_log_begins_that_was_cut_off() -> None:
    account = an_account(replay_offset=30, settings=SHORT)
    ticks = [tick_record(n, T0_MS + n) for n in range(20, 40)]
    log = a_source(ticks).log
    assert initial_limits(log, account, 20) == SHORT
    later = [*ticks[:15], settings_record(SHORT, 35, T0_MS)]
    assert initial_limits(replace(log, records=lambda: later), account, 20) == SHORT
    before = [settings_record(SHORT, 25, T0_MS)]
    with pytest.raises(CommandError, match="give them with --limits"):
        initial_limits(replace(log, records=lambda: before), account, 20)
