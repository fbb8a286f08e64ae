"""When a trajectory or a part closes, and what comes first when several limits are met."""

from typing import Any

import pytest
from tests.support.bench import (
    DURATION_MS,
    IDLE_MS,
    KEEP_MS,
    SETTLE_MS,
    Bench,
    limits,
    some_settings,
)
from tests.support.events import (
    T0,
    T0_MS,
    a_call,
    a_close,
    a_decision,
    a_reward,
    a_start,
    an_end,
    at,
    event_record,
    tick_record,
    user,
)

from ropewalk_schemas.events import LifeEvent
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.windows import window_id

FOREVER_MS = 300 * 86_400_000


def continuous(**changes: Any) -> LifeEvent:
    return a_start(mode="continuous", **changes)


# -- ended, gaps


def test_it_is_final_at_once_when_it_ended_and_every_seq_is_there() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(1), an_end(2))
    part = bench.part()
    assert (part.close_reason, part.last, part.complete, part.n_events) == ("ended", True, True, 3)
    assert bench.open == []


def test_seqs_may_come_in_any_order() -> None:
    bench = Bench()
    bench.send(an_end(2), a_decision(1))
    assert bench.parts() == []
    bench.send(a_start())
    assert bench.part().complete


def test_it_waits_for_a_missing_seq_after_its_end() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(2))
    bench.wait(SETTLE_MS - 1)
    assert bench.parts() == []
    bench.send(a_decision(1))
    assert bench.reasons() == ["ended"]


def test_it_closes_with_gaps_once_the_settle_time_is_over() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(3))
    bench.wait(SETTLE_MS)
    part = bench.part()
    assert (part.close_reason, part.complete, part.n_missing) == ("gaps", False, 2)
    assert part.writers[0].missing == [1, 2]


def test_the_settle_time_counts_from_the_end_and_late_events_do_not_extend_it() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(3))
    bench.send(a_decision(1), after_ms=SETTLE_MS - 1)
    bench.wait(1)
    assert bench.reasons() == ["gaps"]


def test_timers_fire_before_the_record_applies() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(2))
    bench.send(a_decision(1), after_ms=SETTLE_MS)
    assert bench.part().n_missing == 1
    assert bench.open == ["t-1"]  # the late event: a life without a start


def test_it_waits_for_every_writer_that_was_seen() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(0, w="w-b"), an_end(1))
    assert bench.parts() == []
    bench.send(a_close(1, w="w-b"))
    assert bench.part().complete


def test_it_waits_for_a_writer_that_was_handed_to_but_not_seen() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(1, handed_to=["w-b"]))
    assert bench.parts() == []
    bench.send(a_close(0, w="w-b"))
    assert bench.part().complete


def test_it_waits_along_a_chain_of_writers() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(1, handed_to=["w-b"]))
    bench.send(a_close(0, w="w-b", handed_to=["w-c"]))
    assert bench.parts() == []
    bench.send(a_decision(0, w="w-c"), a_close(1, w="w-c"))
    assert [span.writer for span in bench.part().writers] == ["w-a", "w-b", "w-c"]


def test_a_writer_that_never_came_makes_it_incomplete_with_an_empty_span() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(1, handed_to=["w-z"]))
    bench.wait(SETTLE_MS)
    part = bench.part()
    assert (part.close_reason, part.complete, part.n_missing) == ("gaps", False, 0)
    assert [(s.writer, s.from_seq, s.to_seq) for s in part.writers] == [
        ("w-a", 0, 1),
        ("w-z", 0, -1),
    ]


def test_a_writer_that_never_said_its_count_makes_it_incomplete() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(0, w="w-b"), an_end(1))
    bench.wait(SETTLE_MS)
    part = bench.part()
    assert (part.close_reason, part.complete, part.n_missing) == ("gaps", False, 0)


# -- idle


def test_an_episode_that_fell_silent_is_over_after_the_idle_gap() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(1))
    bench.wait(IDLE_MS - 1)
    assert bench.parts() == []
    bench.wait(1)
    part = bench.part()
    assert (part.close_reason, part.last, part.complete) == ("idle", True, False)
    assert bench.open == []


def test_each_event_begins_the_idle_gap_anew() -> None:
    bench = Bench()
    bench.send(a_start())
    for seq in range(1, 5):
        bench.send(a_decision(seq), after_ms=IDLE_MS - 1)
    assert bench.parts() == []


def test_neither_duplicates_nor_conflicts_nor_rewards_extend_the_idle_gap() -> None:
    bench = Bench()
    bench.send(a_start())
    bench.send(a_start(), a_start(event_id="another"), a_reward(), after_ms=IDLE_MS - 1)
    bench.wait(1)
    assert bench.reasons() == ["idle"]


def test_an_idle_gap_that_settings_shorten_ends_in_time() -> None:
    bench = Bench()
    bench.send(a_start())
    bench.change(some_settings(idle_ms=2_000))
    bench.send(a_decision(1))
    bench.wait(1_999)
    assert bench.parts() == []
    bench.wait(1)
    assert bench.reasons() == ["idle"]


def test_a_continuous_agent_that_fell_silent_is_cut_and_may_come_back() -> None:
    bench = Bench()
    bench.send(continuous(), a_decision(1))
    bench.wait(IDLE_MS)
    assert [(p.part, p.last, p.close_reason) for p in bench.parts()] == [(0, False, "idle")]
    bench.send(an_end(2), after_ms=KEEP_MS - 1)
    first, second = bench.parts()
    assert (second.part, second.last, second.complete) == (1, True, True)
    assert second.previous_hash == first.content_hash


def test_a_continuous_agent_that_never_comes_back_is_forgotten_and_nothing_is_published() -> None:
    bench = Bench()
    bench.send(continuous())
    bench.wait(IDLE_MS + KEEP_MS)
    assert bench.open == []
    assert [part.last for part in bench.parts()] == [False]


def test_the_seven_days_count_from_the_end_of_the_idle_gap_not_from_when_it_was_noticed() -> None:
    bench = Bench()
    bench.send(continuous())
    bench.wait(IDLE_MS + KEEP_MS - 1)  # one tick tells of all of it
    assert bench.open == ["t-1"]
    bench.wait(1)
    assert bench.open == []


def test_nothing_has_to_pass_for_a_silent_continuous_agent() -> None:
    bench = Bench()
    assert not bench.engine.waits()
    bench.send(continuous())
    assert bench.engine.waits()
    bench.wait(IDLE_MS)
    assert not bench.engine.waits()


# -- duration, bytes


def test_a_part_is_cut_when_it_has_been_open_for_the_maximum_duration() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS))
    bench.send(a_start())
    bench.send(a_decision(1), after_ms=DURATION_MS - 1)
    assert bench.parts() == []
    bench.wait(1)
    assert [(p.close_reason, p.last, p.n_events) for p in bench.parts()] == [("duration", False, 2)]
    bench.send(an_end(2))
    assert [p.part for p in bench.parts()] == [0, 1]


def test_a_part_is_cut_after_the_event_that_fills_it() -> None:
    size = len(event_record(a_start(), 0, 0).value or b"")
    bench = Bench(some_settings(max_bytes=size + 1))
    bench.send(a_start())
    assert bench.parts() == []
    bench.send(a_decision(1))
    assert [(p.close_reason, p.n_events) for p in bench.parts()] == [("bytes", 2)]


def test_the_end_that_fills_a_part_ends_it() -> None:
    bench = Bench(some_settings(max_bytes=400))
    bench.send(a_start(), an_end(1))
    assert bench.reasons() == ["ended"]


def test_limits_are_those_of_the_project() -> None:
    settings = Settings(
        cap_ms=10**9, default=limits(), projects={"other": limits(idle_ms=IDLE_MS // 2)}
    )
    bench = Bench(settings)
    bench.send(a_start(t="t-1"), a_start(t="t-2", project="other"))
    bench.wait(IDLE_MS // 2)
    assert [part.trajectory_id for part in bench.parts()] == ["t-2"]


# -- windows


def test_the_window_of_part_0_is_that_of_started_at() -> None:
    bench = Bench()
    bench.send(a_start(occurred_at=at(3600), started_at=at(3599.9)), an_end(1, started_at=T0))
    part = bench.part()
    assert part.window_id == window_id(T0_MS * 1000, 3600)
    assert (part.window_start, part.started_at) == (T0, at(3599.9))


def test_an_episode_is_not_cut_at_the_end_of_its_window() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(1, occurred_at=at(3601)))
    assert bench.parts() == []


def test_a_continuous_agent_is_cut_before_its_first_event_of_the_next_window() -> None:
    bench = Bench()
    bench.send(continuous(), a_decision(1, occurred_at=at(3599.999999)))
    assert bench.parts() == []
    bench.send(a_decision(2, occurred_at=at(3600)))
    assert [(p.close_reason, p.n_events, p.window_start) for p in bench.parts()] == [
        ("window", 2, T0)
    ]
    bench.wait(IDLE_MS)
    later = bench.parts()[1]
    assert (later.window_start, later.started_at) == (at(3600), at(3600))


def test_a_continuous_agent_is_cut_by_the_clock_when_nothing_comes_after_its_window() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS, duration_ms=FOREVER_MS))
    bench.send(continuous(occurred_at=at(3590)))
    bench.wait(10_000 + SETTLE_MS - 1)
    assert bench.parts() == []
    bench.wait(1)
    assert bench.reasons() == ["window"]


def test_what_is_left_of_a_window_counts_from_what_happened_not_from_when_it_came() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS, duration_ms=FOREVER_MS))
    bench.send(continuous(started_at=at(0), occurred_at=at(-5)))
    bench.wait(3_600_000 + SETTLE_MS - 1)  # an event before its window has all of it left
    assert bench.parts() == []
    bench.wait(1)
    assert bench.reasons() == ["window"]


def test_eight_quiet_hours_do_not_merge_two_windows() -> None:
    bench = Bench(some_settings(cap_ms=5_000))
    bench.send(continuous(), a_decision(1))
    bench.send(a_decision(2, occurred_at=at(8 * 3600)), after_ms=8 * 3_600_000)
    assert bench.reasons() == ["window"]
    bench.wait(5_000)
    bench.wait(5_000)
    assert [p.window_start for p in bench.parts()] == [T0, at(8 * 3600)]


def test_a_window_never_goes_back() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS, window_s=60, max_bytes=1))
    bench.send(continuous(started_at=at(120), occurred_at=at(120)))
    bench.send(a_decision(1, occurred_at=at(10)))
    assert [p.window_start for p in bench.parts()] == [at(120), at(120)]
    assert bench.parts()[1].started_at == at(10)


def test_a_life_keeps_the_window_length_it_began_with() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS))
    bench.send(continuous())
    bench.change(some_settings(idle_ms=FOREVER_MS, window_s=60))
    bench.send(a_decision(1, occurred_at=at(120)))
    bench.wait(DURATION_MS)
    assert [p.window_s for p in bench.parts()] == [3600]
    bench.send(a_start(t="t-2"), an_end(1, t="t-2"))
    assert bench.parts("t-2")[0].window_s == 60


# -- ties


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"settle_ms": 5_000, "idle_ms": 5_000, "duration_ms": 5_000}, "gaps"),
        ({"idle_ms": 5_000, "duration_ms": 5_000}, "idle"),
        ({"idle_ms": 6_000, "duration_ms": 5_000}, "duration"),
    ],
)
def test_at_equal_instants_what_closes_for_good_comes_first(
    changes: dict[str, int], wanted: str
) -> None:
    bench = Bench(some_settings(**changes))
    bench.send(a_start(), *([an_end(2)] if wanted == "gaps" else [a_decision(1)]))
    bench.wait(6_000)
    assert bench.reasons()[0] == wanted


def test_at_equal_instants_a_window_is_cut_before_the_duration() -> None:
    bench = Bench(some_settings(duration_ms=11_000, idle_ms=FOREVER_MS))
    bench.send(continuous(occurred_at=at(3590)))
    bench.wait(11_000)
    assert bench.reasons() == ["window"]


def test_timers_due_together_fire_by_deadline_then_by_first_offset() -> None:
    bench = Bench(some_settings(idle_ms=IDLE_MS))
    bench.send(a_start(t="t-2"), a_start(t="t-1"))
    bench.send(a_start(t="t-0"), after_ms=1)
    bench.wait(2 * IDLE_MS)
    assert [p.trajectory_id for p in bench.parts()] == ["t-2", "t-1", "t-0"]


def test_a_window_cut_comes_before_the_event_and_a_size_cut_after_it() -> None:
    size = len(event_record(a_start(), 0, 0).value or b"")
    bench = Bench(some_settings(max_bytes=size))
    bench.send(continuous(occurred_at=at(1)))  # fills part 0
    bench.send(a_decision(1, occurred_at=at(2), state="x" * 400))
    assert [(p.close_reason, p.first_offset) for p in bench.parts()] == [("bytes", 0), ("bytes", 1)]


# -- parts


def test_each_part_names_the_hash_of_the_one_before() -> None:
    bench = Bench(some_settings(max_bytes=1))
    bench.send(a_start(), a_decision(1), an_end(2))
    hashes = [""] + [part.content_hash for part in bench.parts()]
    assert [part.previous_hash for part in bench.parts()] == hashes[:-1]
    assert [(p.part, p.last) for p in bench.parts()] == [(0, False), (1, False), (2, True)]


def test_a_hash_knows_no_offsets_no_broker_time_and_no_rewards() -> None:
    plain, other = Bench(), Bench()
    plain.send(a_start(), an_end(1))
    other.wait(5_000)
    other.send(a_start())
    other.send(a_reward(), an_end(1), after_ms=77)
    assert plain.part().content_hash == other.part().content_hash


def test_a_hash_tells_another_content_another_reason_and_another_chain_apart() -> None:
    def hashes(events: list[LifeEvent], **changes: int) -> list[str]:
        bench = Bench(some_settings(**changes))
        bench.send(*events)
        bench.wait(IDLE_MS)
        return [part.content_hash for part in bench.parts()]

    (whole,) = hashes([a_start(), an_end(1)])
    (changed,) = hashes([a_start(goal="win"), an_end(1)])
    (silent,) = hashes([a_start(), a_decision(1)])
    _, tail = hashes([a_start(), an_end(1)], max_bytes=1)
    _, other_tail = hashes([a_start(goal="win"), an_end(1)], max_bytes=1)
    assert len({whole, changed, silent, tail, other_tail}) == 5


def test_a_cut_of_an_empty_part_publishes_nothing() -> None:
    bench = Bench(some_settings(max_bytes=1))
    bench.send(continuous())
    bench.wait(IDLE_MS)
    assert bench.reasons() == ["bytes"]
    assert bench.open == ["t-1"]
    bench.send(an_end(1))
    assert [p.part for p in bench.parts()] == [0, 1]


def test_an_empty_last_part_tells_that_it_is_the_last_and_what_is_missing() -> None:
    bench = Bench(some_settings(max_bytes=1))
    bench.send(a_start(), an_end(3))
    assert [p.last for p in bench.parts()] == [False, False]
    bench.wait(SETTLE_MS)
    last = bench.parts()[2]
    assert (last.last, last.n_events, last.complete, last.n_missing) == (True, 0, False, 2)
    assert [(s.from_seq, s.to_seq, s.missing) for s in last.writers] == [(1, 2, [1, 2])]
    assert (last.status, last.close_reason) == ("completed", "gaps")
    assert last.started_at == last.ended_at == at(3)


def test_an_empty_last_part_of_an_episode_that_fell_silent_is_told() -> None:
    bench = Bench(some_settings(max_bytes=1))
    bench.send(a_start())
    bench.wait(IDLE_MS)
    assert [(p.close_reason, p.last, p.n_events) for p in bench.parts()] == [
        ("bytes", False, 1),
        ("idle", True, 0),
    ]


def test_spans_of_later_parts_go_on_where_the_part_before_stopped() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS))
    bench.send(a_start(), a_decision(3))
    bench.wait(DURATION_MS)
    bench.send(a_decision(1), a_decision(5))
    bench.wait(DURATION_MS)
    bench.send(an_end(6))
    bench.wait(SETTLE_MS)
    spans = [[(s.from_seq, s.to_seq, s.missing) for s in part.writers] for part in bench.parts()]
    assert spans == [
        [(0, 3, [1, 2])],
        [(1, 2, [2]), (4, 5, [4])],
        [(2, 2, [2]), (4, 4, [4]), (6, 6, [])],
    ]
    assert [part.complete for part in bench.parts()] == [False, False, False]


def test_parts_without_gaps_are_complete() -> None:
    bench = Bench(some_settings(max_bytes=1))
    bench.send(a_start(), a_decision(1), an_end(2))
    assert [part.complete for part in bench.parts()] == [True, True, True]


# -- headless and late


def test_a_trajectory_without_its_start_ends_in_quarantine() -> None:
    bench = Bench()
    bench.send(a_decision(1), an_end(2))
    bench.wait(SETTLE_MS)
    assert bench.parts() == []
    assert bench.why_refused() == ["headless", "headless"]
    assert [(r.offset, r.trajectory_id) for r in bench.refused()] == [(0, "t-1"), (1, "t-1")]


@pytest.mark.parametrize("changes", [{"max_bytes": 1}, {"duration_ms": 1_000}, {"idle_ms": 1_000}])
def test_the_first_limit_closes_a_trajectory_without_start(changes: dict[str, int]) -> None:
    bench = Bench(some_settings(**changes))
    bench.send(a_decision(1))
    bench.wait(1_000)
    assert (bench.why_refused(), bench.open) == (["headless"], [])


def test_an_event_after_the_end_ends_in_quarantine() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(1), a_decision(2))
    bench.wait(IDLE_MS)
    assert bench.reasons() == ["ended"]
    assert bench.why_refused() == ["headless"]


def test_a_trajectory_sent_again_whole_is_published_again_the_same() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(1))
    bench.send(a_start(), an_end(1), after_ms=3_600_000)
    first, again = bench.parts()
    assert (first.part, first.content_hash) == (again.part, again.content_hash)


# -- duplicates, conflicts


def test_the_same_event_twice_is_a_duplicate() -> None:
    bench = Bench()
    bench.send(a_start(), a_start(), a_decision(1), a_decision(1), an_end(2))
    assert bench.part().n_events == 3
    assert bench.account().counts.duplicate == 2


def test_another_event_in_the_same_place_is_a_conflict() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(1), a_decision(1, event_id="another"), an_end(2))
    assert bench.why_refused() == ["seq_conflict"]
    assert bench.part().steps[0].event_id == "w-a-1"


def test_after_a_cut_the_same_place_is_a_duplicate_whatever_its_event_id() -> None:
    bench = Bench(some_settings(max_bytes=1))
    bench.send(a_start(), a_decision(1), a_decision(1, event_id="another"))
    assert bench.refused() == []
    assert bench.account().counts.duplicate == 1


# -- rewards


def test_a_reward_is_passed_on_and_opens_nothing() -> None:
    bench = Bench()
    offset = bench.send(a_reward("r-9", metadata={"a": 1}))
    (entry,) = bench.ledger()
    assert (entry.reward_id, entry.source_offset, entry.metadata) == ("r-9", offset, {"a": 1})
    assert bench.open == []


def test_a_reward_is_copied_into_the_part_that_holds_an_event() -> None:
    bench = Bench(some_settings(max_bytes=700, idle_ms=FOREVER_MS))
    bench.send(a_reward("before"), a_start(), a_reward("during"), a_decision(1, state="x" * 400))
    bench.send(a_reward("between"), an_end(2), a_reward("after"))
    assert [[r.reward_id for r in part.rewards] for part in bench.parts()] == [["during"], []]
    assert [e.reward_id for e in bench.ledger()] == ["before", "during", "between", "after"]


def test_a_reward_holds_nothing_back() -> None:
    bench = Bench()
    bench.send(a_reward(), a_reward("r-2"))
    assert bench.account().replay_offset == 2


# -- delta chains over cuts

# The full calls of these tests come a little after the part's begin: when its duration is over
# they are not yet too old to be kept.


def calls(bench: Bench) -> list[list[int] | None]:
    return [call.input for part in bench.parts() for call in part.llm_calls]


def test_a_delta_finds_its_base_over_a_cut() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS))
    bench.send(a_start())
    bench.wait(1)
    bench.send(a_call(1, messages=[user("Hi")]))
    bench.wait(DURATION_MS - 1)
    bench.send(a_call(2, base_call="call-1", base_messages=1, messages=[user("Go")]), an_end(3))
    assert calls(bench) == [[0], [0, 1]]
    assert [m.content for m in bench.parts()[1].messages] == ["Hi", "Go"]


def test_a_kept_base_holds_the_replay_point_used_or_not() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS))
    bench.send(a_start())
    bench.wait(1)
    bench.send(a_call(1, messages=[user("Hi")]), a_decision(2), after_ms=1)
    bench.wait(DURATION_MS - 2)
    assert bench.account().replay_offset == 2
    bench.send(a_decision(3))
    bench.restart()
    bench.send(a_call(4, base_call="call-1", base_messages=1), an_end(5))
    assert calls(bench) == [[0], [0]]


def test_no_base_is_kept_over_an_idle_gap() -> None:
    bench = Bench()
    bench.send(continuous(), a_call(1, messages=[user("Hi")]))
    bench.wait(IDLE_MS)
    assert bench.account().replay_offset == bench.account().next_offset
    bench.send(a_call(2, base_call="call-1", base_messages=1), an_end(3))
    assert calls(bench) == [[0], None]


def test_a_chain_whose_full_call_is_older_than_the_maximum_duration_is_not_kept() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS))
    bench.send(a_start())
    bench.wait(1)
    bench.send(a_call(1, messages=[user("Hi")]))
    bench.wait(DURATION_MS - 1)
    bench.send(a_call(2, base_call="call-1", base_messages=1))
    bench.wait(DURATION_MS)  # call-2 is young enough, but its full call is not
    bench.send(a_call(3, base_call="call-2", base_messages=1), an_end(4))
    assert calls(bench) == [[0], [0], None]


def test_only_the_chain_of_the_last_call_is_kept() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS))
    bench.send(a_start())
    bench.wait(1)
    bench.send(a_call(1, messages=[user("Hi")]), a_call(2, messages=[user("Ho")]))
    bench.wait(DURATION_MS - 1)
    bench.send(
        a_call(3, base_call="call-1", base_messages=1),
        a_call(4, base_call="call-2", base_messages=1),
        an_end(5),
    )
    assert calls(bench)[2:] == [None, [0]]


def test_every_writers_last_call_is_kept() -> None:
    bench = Bench(some_settings(idle_ms=FOREVER_MS))
    bench.send(a_start())
    bench.wait(1)
    bench.send(
        a_call(1, messages=[user("Hi")]),
        a_call(0, w="w-b", call_id="other", messages=[user("Ho")]),
    )
    bench.wait(DURATION_MS - 1)
    bench.send(
        a_call(2, base_call="call-1", base_messages=1),
        a_call(1, w="w-b", call_id="more", base_call="other", base_messages=1),
    )
    bench.send(a_close(2, w="w-b"), an_end(3))
    assert calls(bench)[2:] == [[0], [1]]


# -- clock and settings


def test_a_tick_moves_only_the_clock() -> None:
    bench = Bench()
    bench.wait(1_000)
    progress = bench.account()
    assert progress.counts.received == 0
    assert progress.next_offset == progress.replay_offset == 1
    assert bench.given == []


def test_the_first_record_sets_the_clock() -> None:
    bench = Bench(some_settings(cap_ms=1))
    bench.send(a_start())
    assert bench.engine.clock_ms == bench.engine.broker_ms == T0_MS


def test_each_step_of_the_clock_is_capped_but_broker_time_is_not() -> None:
    bench = Bench(some_settings(cap_ms=2_000))
    bench.send(a_start())
    bench.wait(20_000)
    assert bench.engine.clock_ms == T0_MS + 2_000
    assert bench.engine.broker_ms == T0_MS + 20_000


def test_a_broker_clock_that_steps_back_moves_nothing() -> None:
    bench = Bench()
    bench.wait(0)
    bench.append(tick_record(0, T0_MS - 5_000))
    assert bench.engine.clock_ms == bench.engine.broker_ms == T0_MS
    bench.append(tick_record(0, T0_MS + 10))
    assert bench.engine.clock_ms == T0_MS + 10


def test_settings_hold_from_their_offset_on() -> None:
    bench = Bench()
    bench.send(a_start(t="t-1"))
    bench.change(some_settings(idle_ms=2 * IDLE_MS))
    bench.send(a_start(t="t-2"))
    bench.wait(IDLE_MS)
    assert [part.trajectory_id for part in bench.parts()] == ["t-1"]
    assert bench.account().counts.received == 2


def test_a_part_is_finalized_at_the_brokers_time() -> None:
    bench = Bench(some_settings(cap_ms=1_000))
    bench.send(a_start())
    bench.send(an_end(1), after_ms=50_000)
    assert bench.part().finalized_at == at(50)


def test_a_record_that_was_applied_before_is_an_error() -> None:
    bench = Bench()
    offset = bench.send(a_start())
    with pytest.raises(ValueError, match="already applied"):
        bench.engine.apply(tick_record(offset, T0_MS))
