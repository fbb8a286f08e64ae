"""A rebuild gives what the worker gave; with longer limits it takes in what came late."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from tests.support.engine_logs import N_PARTITIONS, a_log
from tests.support.events import T0, T0_MS, event_record, settings_record
from tests.support.late_events import N_EVENTS, a_life, early, late

from ropewalk_deploy.generations.choice import Choice, parse_ranges
from ropewalk_deploy.generations.rebuilding import (
    EngineFailureError,
    Log,
    find,
    open_lives,
    outputs_of,
)
from ropewalk_schemas.events import LifeEvent
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_schemas.published import decode_published
from ropewalk_schemas.topics import AGENT_EVENTS, CHUNKS, QUARANTINE, TRAJECTORIES
from ropewalk_schemas.trajectory import Trajectory
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord, Output

PLACE = Place(AGENT_EVENTS.name, 0, "1")
EVER = Choice(parse_ranges(["1970-01-01T00:00:00Z/2100-01-01T00:00:00Z"]))
SHORT = Settings(cap_ms=60_000, default=Limits(idle_ms=30_000, settle_ms=1_000))
LONG = Settings(cap_ms=60_000, default=Limits(idle_ms=3_600_000, settle_ms=1_000))


def a_partition(records: Sequence[InputRecord], initial: Settings = SHORT, n: int = 1) -> Log:
    return Log(PLACE, n, lambda: records, initial)


def run(records: Sequence[InputRecord], initial: Settings, n: int) -> Engine:
    engine = Engine(PLACE, n_partitions=n, settings=initial)
    for record in records:
        engine.apply(record)
    return engine


def at_times(events: Sequence[tuple[float, LifeEvent]]) -> list[InputRecord]:
    return [event_record(e, n, T0_MS + int(s * 1000)) for n, (s, e) in enumerate(events)]


def parts_of(outputs: Sequence[Output]) -> list[Trajectory]:
    values = [o.value or b"" for o in outputs if o.topic == TRAJECTORIES.name]
    return [decode_published(value) for value in values]  # type: ignore[misc] # no entries here


def test_the_chosen_ones_come_out_byte_for_byte_as_of_the_whole_log() -> None:
    """Whatever the log: other trajectories' records are only time to those that are rebuilt."""
    n_members = 0
    for seed in range(60):
        r = Random(seed)
        given = a_log(r)
        records = [entry.record for entry in given.entries]
        whole = run(records, given.initial, N_PARTITIONS)
        outputs = [o for o in whole.outputs if o.topic != CHUNKS.name]
        keys = sorted({o.key for o in outputs if o.key is not None})
        members = {k.decode("utf-8", "replace") for k in keys if r.random() < 0.5}
        log = replace(
            a_partition(records, given.initial, N_PARTITIONS), open_live=frozenset(whole.lives)
        )
        wanted = {member.encode() for member in members}
        expected = [output for output in outputs if output.key in wanted]
        assert list(outputs_of(log, members, frozenset())) == expected, seed
        published = {
            o.key.decode() for o in outputs if o.key and o.topic == TRAJECTORIES.name
            and dict(o.headers)["ropewalk"] == (b"trajectory")
        }  # fmt: skip
        found = find(log, EVER)
        assert published <= found.chosen.keys() <= published | whole.lives.keys()
        n_members += len(expected)
    assert n_members > 300


def spooled(silence_s: float = 100.0) -> list[InputRecord]:
    """One trajectory whose second half came after a silence, and later another, whole one."""
    one, other = a_life("t-1", T0), a_life("t-2", T0 - timedelta(hours=5))
    return at_times(
        [
            *((0, event) for event in early(one)),
            *((silence_s, event) for event in late(one)),
            *((silence_s + 60, event) for event in other),
        ]
    )


def test_events_that_were_late_are_in_the_rebuilt_trajectory() -> None:
    records = spooled()
    before = list(outputs_of(a_partition(records), {"t-1"}, frozenset()))
    (short,) = parts_of(before)
    assert (short.close_reason, short.n_events) == ("idle", 3)
    assert [o.topic for o in before].count(QUARANTINE.name) == 4
    log = replace(a_partition(records), limits=LONG)
    (whole,) = parts_of(list(outputs_of(log, {"t-1"}, frozenset())))
    assert (whole.close_reason, whole.n_events, whole.complete) == ("ended", N_EVENTS, True)


def test_given_limits_hold_whatever_the_log_says() -> None:
    records = spooled()
    said = settings_record(SHORT, 0, T0_MS)
    moved = [said, *(r._replace(offset=r.offset + 1) for r in records)]
    log = replace(a_partition(moved, LONG), limits=LONG)
    (whole,) = parts_of(list(outputs_of(log, {"t-1"}, frozenset())))
    assert whole.n_events == N_EVENTS
    refused = settings_record(SHORT, 0, T0_MS)._replace(value=b"{")
    log = replace(log, records=lambda: [refused, *moved[1:]])
    assert find(log, EVER).chosen.keys() == {"t-1", "t-2"}


def test_only_trajectories_of_the_windows_are_chosen() -> None:
    log = a_partition(spooled())
    first = Choice(parse_ranges(["2026-03-01T12:00:00Z/3600s"]))
    assert find(log, first).chosen.keys() == {"t-1"}
    assert find(log, replace(first, project="other")).chosen.keys() == set()


def test_at_the_end_of_the_log_only_what_is_over_closes() -> None:
    one, other = a_life("t-1", T0), a_life("t-2", T0)
    records = at_times([*((0, e) for e in early(one)), *((1, e) for e in early(other))])
    log = replace(a_partition(records), open_live=frozenset({"t-2"}))
    assert open_lives(run([], SHORT, 1), records) == {"t-1", "t-2"}
    assert find(log, EVER).chosen.keys() == {"t-1", "t-2"}, "what is open is named too"
    outputs = list(outputs_of(log, {"t-1"}, frozenset()))
    (closed,) = parts_of(outputs)
    assert (closed.close_reason, closed.last) == ("idle", True)
    assert closed.finalized_at == T0 + timedelta(seconds=1), "broker time, not a time to come"


def test_a_headless_rest_at_the_end_is_refused() -> None:
    records = at_times([(0, event) for event in late(a_life("t-1", T0))])
    outputs = list(outputs_of(a_partition(records), {"t-1"}, frozenset()))
    assert [o.topic for o in outputs] == [QUARANTINE.name] * 4


def failing_at(monkeypatch: pytest.MonkeyPatch, *offsets: int) -> None:
    take = Engine._take

    def fails(engine: Engine, record: InputRecord, before: object) -> None:
        if record.offset in offsets and record.offset not in engine.poison:
            engine.counts["half done"] += 1
            msg = "a bug"
            raise RuntimeError(msg)
        take(engine, record, before)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(Engine, "_take", fails)


def test_poison_is_tried_again_and_refused_again_only_if_it_still_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = replace(a_partition(spooled(1.0)), poison=frozenset({1, 4}))
    failing_at(monkeypatch, 4)
    found = find(log, EVER)
    assert [*found.poison, *found.tried] == [4, 1]
    outputs = list(outputs_of(log, {"t-1"}, found.poison))
    assert [o.topic for o in outputs].count(QUARANTINE.name) == 1
    assert sum(part.n_events for part in parts_of(outputs)) == N_EVENTS - 1


def test_a_failure_on_what_was_no_poison_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    log = replace(a_partition(spooled()), poison=frozenset({1}))
    failing_at(monkeypatch, 3)
    with pytest.raises(EngineFailureError, match="RuntimeError: a bug") as caught:
        find(log, EVER)
    assert caught.value.offset == 3
