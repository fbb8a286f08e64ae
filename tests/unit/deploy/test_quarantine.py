"""Which refused records are meant, what became of them, and which may be sent again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.events import a_decision, a_start, an_end

from ropewalk_deploy.audit.accounts import Place
from ropewalk_deploy.audit.quarantine import Filter, event_id_of, place_of, text_of, trajectory_of
from ropewalk_deploy.audit.replaying import ADVICE, SAYS, State, advice_for, judge, to_send
from ropewalk_deploy.audit.resent import (
    REPLAYED_HEADER,
    Copies,
    Copy,
    copy_headers,
    origins_of,
    target_of,
)
from ropewalk_deploy.commands import quarantine_shown as shown
from ropewalk_deploy.kafka import Bounds, LogRecord
from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.quarantine import Quarantined, from_record
from ropewalk_schemas.topics import AGENT_EVENTS, KIND_HEADER, QUARANTINE, SETTINGS, TICK
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.outputs import Place as EnginePlace
from ropewalk_stream_processors.trajectory.records import InputRecord

NOON_MS = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)


def refused(offset: int = 7, **changes: Any) -> Quarantined:
    """A record that was no JSON, refused at noon."""
    record = Quarantined(
        AGENT_EVENTS.name, 1, offset, b"t-1", b"v", [], "not_json", "why", "assembler", "1", None,
        NOON_MS - 5_000, NOON_MS,
    )  # fmt: skip
    return replace(record, **changes)


# -- choosing


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        (Filter(), True),
        (Filter(stage="assembler"), True),
        (Filter(stage="judge"), False),
        (Filter(since=datetime(2026, 3, 1, 12, tzinfo=UTC)), True),
        (Filter(since=datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)), False),
        (Filter(until=datetime(2026, 3, 1, 12, tzinfo=UTC)), False),
        (Filter(until=datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)), True),
        (Filter(places=frozenset({Place(AGENT_EVENTS.name, 1, 7)})), True),
        (Filter(places=frozenset({Place(AGENT_EVENTS.name, 1, 8)})), False),
        (Filter(trajectory_id="t-1"), True),
        (Filter(trajectory_id="t-2"), False),
        (Filter(event_id="e-1"), False),
        (Filter(reason="not_json", trajectory_id="t-1", offset=7), True),
        (Filter(reason="not_json", trajectory_id="t-1", offset=8), False),
    ],
)
def test_all_given_fields_must_agree(chosen: Filter, *, taken: bool) -> None:
    assert chosen.takes(refused()) == taken


@pytest.mark.parametrize(
    ("value", "event_id"),
    [
        (b'{"event_id": "e-1", "x": NaN}', "e-1"),  # our own reader would refuse it
        (b'{"event_id": 5}', None),
        (b'["event_id"]', None),
        (b"{", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (None, None),
    ],
)
def test_an_event_id_is_found_where_there_is_json(value: bytes | None, event_id: str) -> None:
    assert event_id_of(refused(value=value)) == event_id


def test_a_record_that_was_not_read_is_its_keys() -> None:
    assert trajectory_of(refused(key=b"t\xff")) == "t\\xff"
    assert trajectory_of(refused(key=None)) is None
    assert trajectory_of(refused(trajectory_id="t-9")) == "t-9"
    assert trajectory_of(refused(topic="outcomes", key=b"market")) is None


# -- copies


def test_a_copy_says_where_it_came_from_each_time() -> None:
    first = refused(headers=[("trace", b"\xff"), ("none", None)])
    second = refused(9, headers=copy_headers(first))
    third = refused(12, headers=copy_headers(second))
    assert origins_of(first.headers) == []
    assert origins_of(third.headers) == [place_of(first), place_of(second)]
    assert list(third.headers[:2]) == list(first.headers)


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"agent-events/1", b"agent-events/x/2"])
def test_a_header_that_others_wrote_marks_no_copy(value: bytes | None) -> None:
    assert origins_of([(REPLAYED_HEADER, value)]) == []


def test_a_copy_goes_where_its_key_belongs() -> None:
    assert target_of(refused(), 4) == partition_of(b"t-1", 4)
    assert target_of(refused(key=None, partition=3), 4) == 3


class OneLog:
    """A log scanner's double: one topic, one partition."""

    def __init__(self, start: int, records: Sequence[LogRecord]) -> None:
        self.start, self.log = start, list(records)

    def partitions(self, _topic: str) -> list[int]:
        return [0]

    def bounds(self, _topic: str, _partition: int) -> Bounds:
        return Bounds(self.start, self.log[-1].offset + 1 if self.log else self.start)

    def offset_at(self, _topic: str, _partition: int, at_ms: int) -> int | None:
        return next((r.offset for r in self.log if r.timestamp_ms >= at_ms), None)

    def records(
        self, _topic: str, _partition: int, start: int = 0, end: int | None = None
    ) -> Iterator[LogRecord]:
        return (r for r in self.log if start <= r.offset < (2**62 if end is None else end))


def in_log(offset: int, at_ms: int, copy_of: Quarantined | None = None) -> LogRecord:
    headers = [] if copy_of is None else copy_headers(copy_of)
    return LogRecord(0, offset, at_ms, b"t-1", b"v", headers)


def test_copies_are_found_and_those_that_come_later_too() -> None:
    record = refused(partition=0)
    log = OneLog(0, [in_log(7, NOON_MS), in_log(20, NOON_MS + 60_000, record)])
    copies = Copies(log, [record])  # type: ignore[arg-type] # a double
    assert copies.of(record) is None
    copies.look()
    first = Copy(Place(AGENT_EVENTS.name, 0, 20), NOON_MS + 60_000)
    assert copies.of(record) == first
    again = refused(20, partition=0, headers=copy_headers(record))
    log.log.append(in_log(31, NOON_MS + 90_000, again))
    copies.look()
    copy = copies.of(again)
    assert copy is not None
    assert copy.place.offset == 31
    assert copies.of(record) == copy, "the newest copy, of a copy too"


@pytest.mark.parametrize(
    ("start", "oldest_ms", "reaches"),
    [
        (0, NOON_MS + 1, True),  # nothing was ever deleted
        (5, NOON_MS - 1, True),
        (5, NOON_MS + 1, False),
        (5, None, False),  # all was deleted
    ],
)
def test_a_log_that_begins_later_does_not_know(
    start: int, oldest_ms: int | None, *, reaches: bool
) -> None:
    log = OneLog(start, [] if oldest_ms is None else [in_log(start, oldest_ms)])
    copies = Copies(log, [refused()])  # type: ignore[arg-type] # a double
    assert copies.reach_back(refused()) == reaches


# -- what may be sent


class Known:
    """What the log knows."""

    def __init__(self, copies: dict[Place, Copy] | None = None, *, reach: bool = True) -> None:
        self.copies, self.reach = copies or {}, reach

    def of(self, record: Quarantined) -> Copy | None:
        return self.copies.get(place_of(record))

    def reach_back(self, _record: Quarantined) -> bool:
        return self.reach


A_COPY = Copy(Place(AGENT_EVENTS.name, 1, 20), NOON_MS)
AT = place_of(refused())
CASES: list[tuple[State, Quarantined, Known, set[Place]]] = [
    ("left", refused(), Known(), set()),
    ("replayed", refused(), Known({AT: A_COPY}), set()),
    ("stored", refused(), Known(), {AT}),
    ("again", refused(headers=copy_headers(refused(3))), Known(), set()),
    ("unknown", refused(), Known(reach=False), set()),
    ("elsewhere", refused(topic="trajectories"), Known(), set()),
    ("elsewhere", refused(topic="judgments"), Known(), set()),
    ("elsewhere", refused(topic="somewhere"), Known(), set()),
    ("elsewhere", refused(key=None, headers=[(KIND_HEADER, SETTINGS)]), Known(), set()),
    ("elsewhere", refused(key=None, headers=[(KIND_HEADER, TICK)]), Known(), set()),
    ("left", refused(key=None), Known(), set()),
    ("left", refused(topic="outcomes"), Known(), set()),
]


@pytest.mark.parametrize(("state", "record", "known", "stored"), CASES)
def test_only_what_was_never_sent_again_is_sent(
    state: State, record: Quarantined, known: Known, stored: set[Place]
) -> None:
    judged = judge(record, known, stored)
    assert judged.state == state
    assert to_send([judged], again=False) == ([judged] if state == "left" else [])
    assert to_send([judged], again=True) == ([] if state == "elsewhere" else [judged])
    assert (advice_for(record) is None) == (state != "elsewhere")
    assert SAYS[state] in "\n".join(shown.plan([judged], [], again=False))


def test_again_never_sends_a_record_and_its_refused_copy_both() -> None:
    first = refused()
    second = refused(20, headers=copy_headers(first))
    known = Known({AT: A_COPY})
    both = [judge(record, known, set()) for record in (first, second)]
    assert [each.record for each in to_send(both, again=True)] == [second]
    assert [each.record for each in to_send(both[:1], again=True)] == [first]


def test_what_is_sent_is_in_the_order_of_the_log() -> None:
    judged = [judge(refused(n), Known(), set()) for n in (30, 7, 100)]
    assert [each.record.offset for each in to_send(judged, again=False)] == [7, 30, 100]


def test_the_second_time_is_said() -> None:
    again = refused(20, headers=copy_headers(refused()))
    said = shown.line(judge(again, Known(), set()))
    assert said.startswith("agent-events/1/20  not_json: why")
    assert "[refused for the 2nd time, first at agent-events/1/7]" in said
    third = refused(40, headers=copy_headers(again))
    assert "for the 3rd time, first at agent-events/1/7" in shown.line(judge(third, Known(), set()))
    assert shown.summary(judge(third, Known(), set()))["sent_again_from"] == [
        "agent-events/1/7",
        "agent-events/1/20",
    ]


def test_each_topic_that_cannot_be_sent_says_what_mends_it() -> None:
    for topic, advice in ADVICE.items():
        said = "\n".join(shown.plan([judge(refused(topic=topic), Known(), set())], [], again=False))
        assert f"records of {topic}: {advice}" in said


# -- the engine


def run(*records: InputRecord) -> Engine:
    engine = Engine(EnginePlace(AGENT_EVENTS.name, 0, "1"), n_partitions=1, settings=Settings())
    for record in records:
        engine.apply(record)
    return engine


def test_the_engine_ignores_the_header() -> None:
    events = [a_start(), a_decision(1), an_end(2)]
    values = [(n, 1_772_366_400_000 + n, b"t-1", encode_event(e)) for n, e in enumerate(events)]
    mark = copy_headers(refused())
    plain = run(*(InputRecord(*given) for given in values))
    marked = run(*(InputRecord(*given, headers=mark) for given in values))
    assert len(plain.outputs) == 1
    assert marked.outputs == plain.outputs


def test_a_copy_that_is_refused_keeps_the_header() -> None:
    mark = copy_headers(refused())
    engine = run(InputRecord(0, NOON_MS, b"t-1", b"{", mark))
    (output,) = engine.outputs
    assert output.topic == QUARANTINE.name
    kept = from_record(output.key, output.value, output.headers)
    assert [text_of(place) for place in origins_of(kept.headers)] == ["agent-events/1/7"]
