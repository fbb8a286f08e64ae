"""What is refused, why, and that nothing of it is lost; poison, settings, hostile input."""

import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.bench import IDLE_MS, SETTLE_MS, Bench, limits, some_settings
from tests.support.events import (
    T0_MS,
    a_call,
    a_decision,
    a_reward,
    a_start,
    an_end,
    at,
    event_record,
    user,
)

from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.fields import MAX_INT
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.topics import KIND_HEADER, MAX_EVENT_BYTES, SETTINGS
from ropewalk_stream_processors.trajectory.records import InputRecord

GOOD = encode_event(a_start())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "not_json"),
        (b"not json", "not_json"),
        (b"[]", "not_json"),
        (b"\xff", "invalid_utf8"),
        (GOOD.replace(b"agent-a", b"a\\u0000"), "nul"),
        (GOOD[:-1] + b',"metadata":{"x":NaN}}', "not_finite"),
        (GOOD[:-1] + b',"metadata":{"x":' + b"[" * 65 + b"]" * 65 + b"}}", "too_deep"),
        (GOOD.replace(b"trajectory_started", b"trajectory_begun"), "unknown_type"),
        (GOOD.replace(b'"1.0"', b'"2.0"'), "unknown_version"),
        (GOOD.replace(b'"seq":0', b'"seq":-1'), "invalid"),
        (GOOD.replace(b'"trajectory_id":"t-1"', b'"trajectory_id":"t-2"'), "key_mismatch"),
        (b" " * (MAX_EVENT_BYTES + 1), "too_large"),
    ],
)
def test_what_is_no_event_is_refused_with_its_reason(value: bytes | None, reason: str) -> None:
    bench = Bench()
    offset = bench.value(value, headers=(("h", b"\xff"), ("none", None)))
    (refused,) = bench.refused()
    assert (refused.reason, refused.value, refused.key) == (reason, value, b"t-1")
    assert list(refused.headers) == [("h", b"\xff"), ("none", None)]
    assert (refused.topic, refused.partition, refused.offset) == ("agent-events", 0, offset)
    assert refused.detail
    assert bench.account().counts.quarantined == {reason: 1}
    assert bench.open == []


def test_a_record_without_key_is_refused() -> None:
    bench = Bench()
    bench.value(GOOD, key=None)
    assert bench.why_refused() == ["no_key"]


def test_a_record_without_key_is_not_a_tick_for_any_header() -> None:
    bench = Bench()
    bench.value(GOOD, key=None, headers=((KIND_HEADER, b"trajectory"),))
    bench.value(GOOD, key=None, headers=((KIND_HEADER, None),))
    assert bench.why_refused() == ["no_key", "no_key"]


def test_an_event_that_says_tick_in_a_header_is_still_an_event() -> None:
    bench = Bench()
    bench.value(GOOD, headers=((KIND_HEADER, b"tick"),))
    assert bench.open == ["t-1"]


def test_a_record_in_the_wrong_partition_is_refused() -> None:
    bench = Bench(n_partitions=2)
    ids = {partition_of(f"t-{n}".encode(), 2): f"t-{n}" for n in range(20)}
    bench.send(a_start(t=ids[0]), a_start(t=ids[1]), a_reward(t=ids[1]))
    assert bench.why_refused() == ["wrong_partition", "wrong_partition"]
    assert bench.open == [ids[0]]


@pytest.mark.parametrize("name", ["occurred_at", "started_at"])
def test_what_happens_far_in_the_future_is_refused(name: str) -> None:
    bench = Bench(some_settings(future_ms=60_000))
    within: dict[str, Any] = {name: at(60)}
    bench.send(a_start(**within))
    assert bench.refused() == []
    beyond: dict[str, Any] = {name: at(60.000001)}
    bench.send(a_start(t="t-2", **beyond))
    assert bench.why_refused() == ["in_the_future"]


def test_a_reward_from_the_future_is_refused() -> None:
    bench = Bench(some_settings(future_ms=60_000))
    bench.send(a_reward(occurred_at=at(61)))
    assert bench.why_refused() == ["in_the_future"]


def test_the_future_begins_at_the_brokers_time_not_at_the_capped_clock() -> None:
    bench = Bench(some_settings(future_ms=1_000, cap_ms=1_000))
    bench.wait(0)
    bench.send(a_start(occurred_at=at(100)), after_ms=100_000)
    assert bench.refused() == []


def test_what_happened_before_1970_is_refused() -> None:
    bench = Bench()
    bench.send(a_start(started_at=datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)))
    assert bench.why_refused() == ["invalid"]


def test_a_refused_event_leaves_its_trajectory_alone() -> None:
    bench = Bench()
    bench.send(a_start())
    bench.value(b"not json")
    bench.send(an_end(1))
    assert bench.part().complete


# -- poison


def test_a_poison_record_is_refused_unseen_now_and_in_every_replay() -> None:
    bench = Bench()
    bench.send(a_start())
    before = bench.account()
    bench.restart(before, poison=(1,))
    bench.send(a_decision(1), an_end(2))
    assert bench.why_refused() == ["poison"]
    assert bench.refused()[0].value == encode_event(a_decision(1))
    bench.restart(poison=(1,))
    bench.wait(SETTLE_MS)
    assert (bench.part().n_missing, bench.why_refused()) == (1, ["poison"])


# -- settings


def test_settings_that_cannot_be_read_are_refused_and_change_nothing() -> None:
    bench = Bench()
    for value in (b"{", None, b'{"cap_ms": 0}'):
        bench.value(value, key=None, headers=((KIND_HEADER, SETTINGS),))
    assert bench.why_refused() == ["no_key", "empty", "no_key"]
    assert bench.account().counts.received == 3
    assert bench.engine.settings == bench.settings


def test_settings_of_a_keyed_record_do_not_count() -> None:
    bench = Bench()
    value = some_settings(idle_ms=1).model_dump_json().encode()
    bench.value(value, headers=((KIND_HEADER, SETTINGS),))
    assert bench.why_refused() == ["unknown_type"]
    assert bench.engine.settings == bench.settings


def test_settings_are_still_in_force_after_a_restart() -> None:
    bench = Bench()
    bench.change(Settings(cap_ms=10**9, default=limits(), projects={"demo": limits(idle_ms=1_000)}))
    bench.restart()
    bench.send(a_start())
    bench.wait(1_000)
    assert bench.reasons() == ["idle"]


def test_limits_change_in_the_log_where_the_replay_begins_before_them() -> None:
    bench = Bench()
    bench.send(a_start(t="t-0"))
    bench.change(some_settings(idle_ms=1_000))
    bench.send(a_start(t="t-1"))
    bench.restart()
    bench.wait(1_000)
    assert [part.trajectory_id for part in bench.parts()] == ["t-1"]
    bench.wait(IDLE_MS)
    assert [part.trajectory_id for part in bench.parts()] == ["t-1", "t-0"]


# -- hostile input


class _Measured:
    """Holds that a block is fast and small."""

    def __init__(self, *, seconds: float, mib: float) -> None:
        self.seconds, self.mib = seconds, mib

    def __enter__(self) -> None:
        self.began = time.process_time()
        tracemalloc.start()

    def __exit__(self, *_: object) -> None:
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        took = time.process_time() - self.began
        assert took < self.seconds, f"{took:.1f} s"
        assert peak < self.mib, f"{peak:.0f} MiB"


def test_a_seq_near_the_largest_number_costs_nothing() -> None:
    bench, far = Bench(), a_decision(MAX_INT, event_id="far", occurred_at=at(1))
    with _Measured(seconds=2, mib=20):
        bench.send(a_start(), far)
        bench.send(an_end(1, n_events=MAX_INT))
        bench.wait(SETTLE_MS)
    part = bench.part()
    assert (part.close_reason, part.complete) == ("gaps", False)
    assert part.n_missing == 2**31 - 1
    assert part.writers[0].to_seq == MAX_INT
    assert part.writers[0].missing == list(range(2, 1002))


def test_many_far_apart_seqs_over_a_cut_list_no_more_missing_ones_than_one_gap() -> None:
    bench = Bench(some_settings(idle_ms=10 * IDLE_MS, duration_ms=IDLE_MS))
    with _Measured(seconds=10, mib=40):
        bench.send(a_start())
        for n in range(1, 300):
            bench.send(a_decision(n * 10**6, event_id=f"e{n}", occurred_at=at(1)))
        bench.wait(IDLE_MS)
        bench.send(an_end(1, event_id="end", n_events=MAX_INT))
        bench.wait(SETTLE_MS)
    first, last = bench.parts()
    for part in (first, last):
        assert sum(len(span.missing) for span in part.writers) <= 1000
    assert last.n_missing == 2**31 - 1


def test_a_writer_that_counts_fewer_events_than_it_sent_is_not_complete() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(7), an_end(1, n_events=2))
    part = bench.part()
    assert (part.complete, part.n_missing) == (False, 5)
    assert (part.writers[0].from_seq, part.writers[0].to_seq) == (0, 7)


def test_a_call_that_names_itself_as_base_has_an_unknown_input() -> None:
    bench = Bench()
    bench.send(
        a_start(), a_call(1, base_call="call-1", base_messages=1, messages=[user("Hi")]), an_end(2)
    )
    assert bench.part().llm_calls[0].input is None


def test_calls_that_name_each_other_have_unknown_inputs() -> None:
    bench = Bench(some_settings(max_bytes=900))
    bench.send(a_start(), a_call(1, base_call="call-2"), a_call(2, base_call="call-1"))
    bench.send(a_call(3, base_call="call-2"), an_end(4))
    inputs = [call.input for part in bench.parts() for call in part.llm_calls]
    assert inputs == [None, None, None]


def test_a_delta_that_takes_more_messages_than_its_base_has_is_unknown() -> None:
    bench = Bench()
    bench.send(
        a_start(),
        a_call(1, messages=[user("Hi")], output=[user("Ho")]),
        a_call(2, base_call="call-1", base_messages=2),
        a_call(3, base_call="call-1", base_messages=3),
        an_end(4),
    )
    assert [call.input for call in bench.part().llm_calls] == [[0], [0, 1], None]


def test_of_two_calls_with_one_id_a_delta_builds_on_the_newest() -> None:
    bench = Bench()
    bench.send(
        a_start(),
        a_call(1, call_id="twin", messages=[user("Hi")]),
        a_call(2, call_id="twin", messages=[user("Ho")]),
        a_call(3, base_call="twin", base_messages=1),
        a_decision(4, calls=["twin"]),
        an_end(5),
    )
    part = bench.part()
    assert [call.input for call in part.llm_calls] == [[0], [1], [1]]
    assert part.steps[0].calls == [1]


def test_a_chain_of_ten_thousand_calls_is_fast_and_small() -> None:
    bench = Bench()
    with _Measured(seconds=60, mib=200):
        bench.send(a_start())
        first = a_call(1, messages=[user("Hi")])
        bench.send(first)
        for seq in range(2, 10_000):
            bench.send(a_call(seq, base_call=f"call-{seq - 1}", base_messages=1))
        bench.send(an_end(10_000))
    assert all(call.input == [0] for call in bench.part().llm_calls)


def test_offsets_may_have_holes() -> None:
    bench = Bench()
    bench.send(a_start())
    bench.log.append(InputRecord(1, T0_MS, None, None))  # compacted away: never applied
    bench.send(an_end(1))
    assert bench.part().last_offset == 2
    assert event_record(an_end(1), 2, T0_MS).value == bench.log[2].value
