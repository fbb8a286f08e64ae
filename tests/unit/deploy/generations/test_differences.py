"""What a comparison says of one trajectory: fields, events, rewards, and why."""

from typing import Any

import pytest
from tests.support.published import a_call, a_part, a_step, raw

from ropewalk_deploy.generations.differences import Difference, EventId, Side, difference
from ropewalk_deploy.generations.reward_differences import RewardDifference
from ropewalk_schemas.published import ComponentRow, WriterSpanRow
from ropewalk_sinks.arrow_rows import TABLES
from ropewalk_sinks.scored_rows import StoredEntry


def rows(*parts: Any) -> list[dict[str, Any]]:
    """Parts as a reader of the dataset gets them."""
    return TABLES["trajectories"](parts).to_pylist()  # type: ignore[no-any-return]


def span(to_seq: int, missing: tuple[int, ...] = ()) -> Any:
    return WriterSpanRow(writer="w", from_seq=0, to_seq=to_seq, missing=list(missing))


def an_entry(reward_id: str, **target: str) -> StoredEntry:
    none: dict[str, Any] = dict.fromkeys(("target_event_id", "call_id", "response_id"))
    return StoredEntry(
        "t-1", reward_id, "settled", "outcome", 8.0, supersedes=None, **none | target
    )


def of(now: Side, rebuilt: Side) -> Difference:
    found = difference("t-1", now, rebuilt)
    assert found is not None
    return found


def test_the_same_is_no_difference() -> None:
    side = Side(rows(a_part()), ledger=[an_entry("r", call_id="call-0")])
    assert difference("t-1", side, side) is None


def test_events_that_were_late_are_gained_and_their_refusal_is_why() -> None:
    now = Side(
        rows(a_part(writers=[span(2)], close_reason="idle", complete=False)),
        refused={EventId("w", 3): "headless", EventId("w", 5): "in_the_future"},
    )
    found = of(now, Side(rows(a_part(writers=[span(4)]))))
    assert [tuple(e) for e in found.gained] == [("w", 3, "headless"), ("w", 4, None)]
    assert found.lost == []
    assert found.why == [
        "takes in 2 events (1 refused before as headless)",
        "closed by idle, now by ended",
    ]
    assert {f.field: (f.now, f.rebuilt) for f in found.fields} == {
        "close_reason": ("idle", "ended"),
        "complete": ("False", "True"),
        "writers[0].to_seq": ("2", "4"),
    }


def test_events_that_today_refuses_are_lost() -> None:
    found = of(
        Side(rows(a_part(writers=[span(4)]))),
        Side(rows(a_part(writers=[span(4, (1,))])), refused={EventId("w", 1): "invalid"}),
    )
    assert [tuple(e) for e in found.lost] == [("w", 1, "invalid")]
    assert found.why == ["lacks 1 events (1 refused now as invalid)"]


@pytest.mark.parametrize("only_now", [True, False])
def test_a_trajectory_that_only_one_has(*, only_now: bool) -> None:
    refused = {EventId("w", n): "headless" for n in range(3)}
    there, not_there = Side(rows(a_part())), Side(refused=refused, others=["poison"])
    found = of(*((there, not_there) if only_now else (not_there, there)))
    assert found.kind == ("only_now" if only_now else "only_rebuilt")
    reasons = "3 records refused as headless, 1 records refused as poison"
    said = "does not come out any more" if only_now else "was not stored"
    assert found.why == [f"{said}: {reasons}"]
    assert (found.total_now is None) is not only_now


def test_the_same_events_read_otherwise_by_new_code() -> None:
    now = rows(a_part(), a_part(part=1))
    rebuilt = rows(
        a_part(engine_version="engine-2", steps=[a_step(0), a_step(1, reasoning="x" * 200)])
    )
    found = of(Side(now), Side(rebuilt))
    assert found.why == ["2 parts, now 1", "assembled by engine engine-1, now by engine-2"]
    (reasoning,) = [f for f in found.fields if f.field == "steps[1].reasoning"]
    assert (reasoning.part, reasoning.now) == (0, "it looks cheap")
    assert reasoning.rebuilt == "x" * 79 + "…"


def test_many_fields_are_counted_and_some_are_listed() -> None:
    now = rows(a_part(steps=[a_step(n, calls=[]) for n in range(60)]))
    rebuilt = rows(a_part(steps=[a_step(n, calls=[], reasoning="no") for n in range(60)]))
    found = of(Side(now), Side(rebuilt))
    assert (found.n_fields, len(found.fields)) == (60, 40)


def test_an_immediate_reward_that_differs() -> None:
    better = a_step(0, components=[ComponentRow(name="pnl", value=3.0)])
    found = of(Side(rows(a_part())), Side(rows(a_part(steps=[better, a_step(1)]))))
    assert found.rewards == [
        RewardDifference("component", "fee", None, "-0.25 at step event-0", "- at step event-0"),
        RewardDifference("component", "pnl", None, "1.0 at step event-0", "3.0 at step event-0"),
    ]
    assert (found.total_now, found.total_rebuilt) == (1.5, 3.75)


def test_entries_that_find_their_step_or_another_one() -> None:
    short = a_part(steps=[a_step(0)], llm_calls=[a_call(0), a_call(1)])
    entries = [
        an_entry("whole"),
        an_entry("late", target_event_id="event-1"),
        an_entry("of-call", call_id="call-1"),
        an_entry("same", response_id="response-0"),
        an_entry("nowhere", call_id="call-9"),
    ]
    found = of(Side(rows(short), ledger=entries), Side(rows(a_part()), ledger=entries))
    step = "step event-1"
    assert found.rewards == [
        RewardDifference("step", "fee", -0.25, "-", step),
        RewardDifference("step", "pnl", 1.0, "-", step),
        RewardDifference("target", "late", 8.0, "nothing stored", step),
        RewardDifference("placed", "of-call", 8.0, "trajectory", step),
    ]
    back = of(Side(rows(a_part()), ledger=entries), Side(rows(short), ledger=entries))
    assert [r.why for r in back.rewards] == ["step", "step", "no_target", "placed"]


def test_an_entry_that_was_refused_before() -> None:
    side = Side(rows(a_part()))
    found = of(side, Side(rows(a_part()), ledger=[an_entry("r", target_event_id="event-0")]))
    assert found.rewards == [RewardDifference("entry", "r", 8.0, "-", "step event-0")]


def test_an_entry_that_was_superseded_counts_nowhere() -> None:
    entries = [an_entry("old", call_id="call-1"), an_entry("new")._replace(supersedes="old")]
    short = a_part(steps=[a_step(0, state=raw({}))])
    found = of(Side(rows(short), ledger=entries), Side(rows(a_part()), ledger=entries))
    assert "old" not in {r.what for r in found.rewards}
