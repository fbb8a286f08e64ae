"""What `verify` proves: each check holds for what is right and fails for each thing that is not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.support.published import a_part, an_entry, value_of

from ropewalk_deploy.audit.accounts import Accounts, PartKey, Place, is_control
from ropewalk_deploy.audit.checks import MAX_IDS, Span, check_counts, check_equation, check_sets
from ropewalk_deploy.audit.quarantine import Filter
from ropewalk_deploy.audit.truth import check_ledger
from ropewalk_deploy.kafka import LogRecord
from ropewalk_deploy.simulation.ledger import Ledger, LedgerEvent
from ropewalk_deploy.simulation.ledger_lines import Intent, Opened
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.progress import Counts, Progress
from ropewalk_schemas.published import WriterSpanRow
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.reasons import Reason
from ropewalk_schemas.topics import AGENT_EVENTS, KIND_HEADER, SETTINGS, TICK, TRAJECTORIES


def a_record(
    offset: int,
    value: bytes | None = b"{}",
    *,
    key: bytes | None = b"k",
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> LogRecord:
    return LogRecord(0, offset, 1_000, key, value, headers)


def an_account(*, open_events: int = 0, **counts: Any) -> Progress:
    return Progress(
        engine_version="1",
        worker="w",
        partition=0,
        replay_offset=0,
        next_offset=10,
        clock_ms=0,
        broker_ms=0,
        settings=Settings(),
        skip={},
        headers=[],
        counts=Counts(**counts),
        open_events=open_events,
        open_trajectories=0,
        clock_at_next_ms=0,
        watermark_ms=0,
    )


def refused(offset: int, reason: Reason = "not_json", topic: str = AGENT_EVENTS.name) -> LogRecord:
    record = Quarantined(
        topic, 0, offset, b"k", b"v", [], reason, "why", "assembler", "1", "t-1", 0, 0
    )
    return a_record(offset, b"v", headers=record.to_headers())


# -- counting


@pytest.mark.parametrize(
    ("record", "is_ours"),
    [
        (a_record(0, key=None, headers=[(KIND_HEADER, TICK)]), True),
        (a_record(0, b"{}", key=None, headers=[(KIND_HEADER, SETTINGS)]), True),
        (a_record(0, b"{]", key=None, headers=[(KIND_HEADER, SETTINGS)]), False),
        (a_record(0, key=None, headers=[(KIND_HEADER, b"other")]), False),
        (a_record(0, key=None, headers=[(KIND_HEADER, b"x"), (KIND_HEADER, TICK)]), True),
        (a_record(0, key=None, headers=[(KIND_HEADER, TICK), (KIND_HEADER, b"x")]), True),
        (a_record(0, key=None), False),
        (a_record(0, headers=[(KIND_HEADER, TICK)]), False),
        (a_record(0, None, key=None, headers=[(KIND_HEADER, None)]), False),
    ],
)
def test_ticks_and_readable_settings_are_not_received(record: LogRecord, *, is_ours: bool) -> None:
    assert is_control(record) == is_ours
    accounts = Accounts()
    accounts.take_inputs([record])
    assert accounts.received[0] == int(not is_ours)


def outputs(*rows: object) -> Accounts:
    accounts = Accounts()
    accounts.take_outputs(
        TRAJECTORIES.name, [a_record(n, value_of(row)) for n, row in enumerate(rows)]
    )
    return accounts


def test_a_part_published_again_by_a_restarted_worker_counts_once() -> None:
    (seen,) = outputs(a_part(), a_part()).parts.values()
    assert len(seen) == 1


def test_a_trajectory_sent_again_whole_counts_twice_and_is_stored_once() -> None:
    accounts = outputs(a_part(), a_part(first_offset=99))
    assert len(accounts.parts[PartKey("t-1", 0)]) == 2
    assert len(accounts.stored_parts()) == 1


def test_what_a_sink_refused_need_not_be_stored() -> None:
    accounts = outputs(a_part(), a_part(content_hash="other", first_offset=99))
    assert accounts.stored_parts()[PartKey("t-1", 0)].place.offset == 0
    accounts.take_quarantine("quarantine", [refused(0, "conflict", TRAJECTORIES.name)])
    assert accounts.stored_parts()[PartKey("t-1", 0)].content_hash == "other"
    accounts.take_quarantine("quarantine", [refused(1, "conflict", TRAJECTORIES.name)])
    assert accounts.stored_parts() == {}


def test_a_reward_counts_by_its_place_and_by_its_id() -> None:
    accounts = outputs(an_entry(), an_entry(), an_entry(source_offset=31), an_entry("r-2"))
    assert set(accounts.rewards) == {Place(AGENT_EVENTS.name, 0, n) for n in (30, 31)}
    assert set(accounts.reward_ids) == {"r-1", "r-2"}


def test_a_refusal_told_twice_is_one_and_what_cannot_be_read_is_said() -> None:
    accounts = Accounts()
    accounts.take_quarantine("quarantine", [refused(5), refused(5), a_record(9)])
    accounts.take_outputs(TRAJECTORIES.name, [a_record(3, b"?"), a_record(4, None)])
    assert set(accounts.refused) == {Place(AGENT_EVENTS.name, 0, 5)}
    assert [place.offset for place in accounts.undecodable] == [9, 3, 4]


# -- checks


def test_the_equation_holds_only_when_each_record_has_one_fate() -> None:
    counts = {"received": 10, "assembled": 4, "ledger": 1, "duplicate": 2}
    right = an_account(open_events=1, **counts, quarantined={"not_json": 2})
    check = check_equation(0, Span(right, right))
    assert (check.ok, check.expected, check.found) == (True, 10, 10)
    assert check.detail == (
        "4 assembled + 1 open + 1 ledger + 2 duplicate + 2 quarantined not_json"
    )
    for wrong in (
        an_account(open_events=1, **counts),
        an_account(open_events=2, **counts, quarantined={"not_json": 2}),
        an_account(open_events=1, **counts | {"received": 11}, quarantined={"not_json": 2}),
    ):
        assert not check_equation(0, Span(wrong, wrong)).ok


def counted() -> tuple[Progress, Accounts]:
    accounts = outputs(a_part(n_events=6), an_entry())
    accounts.take_inputs(a_record(n) for n in range(9))
    accounts.take_quarantine("quarantine", [refused(7)])
    account = an_account(
        received=9, assembled=6, ledger=1, duplicate=1, quarantined={"not_json": 1}
    )
    return account, accounts


def test_counters_agree_with_the_log() -> None:
    account, accounts = counted()
    checks = check_counts(0, Span(account, account), accounts)
    assert [check.ok for check in checks] == [True] * 4


@pytest.mark.parametrize("fate", ["received", "assembled", "ledger", "quarantined"])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_counter_that_is_one_off_is_found(fate: str, by: int) -> None:
    account, accounts = counted()
    now: Any = {"not_json": 1 + by} if fate == "quarantined" else getattr(account.counts, fate) + by
    counts = account.counts.model_copy(update={fate: now})
    wrong = account.model_copy(update={"counts": counts})
    bad = [c for c in check_counts(0, Span(wrong, wrong), accounts) if not c.ok]
    assert [check.name for check in bad] == [f"partition 0: {fate} in the log"]


def test_while_the_worker_goes_on_the_log_lies_between_two_accounts() -> None:
    account, accounts = counted()
    earlier = an_account(received=3)
    assert all(check.ok for check in check_counts(0, Span(earlier, account), accounts))
    later = an_account(received=8, assembled=6, ledger=1, quarantined={"not_json": 1})
    assert not check_counts(0, Span(earlier, later), accounts)[0].ok


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([("a", 1), ("b", 2)], None),
        ([("b", 2), ("a", 1)], None),
        ([("a", 1)], "b is missing"),
        ([("a", 1), ("b", 3)], "b has 3, the log 2"),
        ([("a", 1), ("b", 2), ("b", 2)], "b is there 2 times"),
        ([("a", 1), ("b", 2), ("c", 3)], "c is not in the log"),
    ],
)
def test_two_stores_agree_or_the_difference_is_named(
    found: list[tuple[str, int]], problem: str | None
) -> None:
    check = check_sets("things", {"a": 1, "b": 2}, found)
    assert check.ok == (problem is None)
    assert check.wrong == ([problem] if problem else [])


def test_at_most_some_ids_are_listed_and_all_are_counted() -> None:
    check = check_sets("things", {}, [(("t", n), 0) for n in range(50)])
    assert (len(check.wrong), check.n_wrong) == (MAX_IDS, 50)
    assert check.wrong[0] == "t/0 is not in the log"


# -- the simulator's truth


def sent(seq: int, **changes: Any) -> LedgerEvent:
    given: dict[str, Any] = {
        "event_id": f"e-{seq}",
        "type": "decision",
        "trajectory_id": "t-1",
        "sha256": "",
        "writer": "w-1",
        "seq": seq,
    }
    place = changes.pop("places", [(0, seq)])
    return LedgerEvent(Intent(**given | changes), place)


def a_ledger(*events: LedgerEvent) -> Ledger:
    opened = {"t-1": Opened("t-1", "", 0, 0)}
    return Ledger({event.intent.event_id: event for event in events}, opened)


def truth(part: Any, ledger: Ledger, **account: Any) -> list[str]:
    """The checks that fail."""
    found = check_ledger(ledger, outputs(part, an_entry()), {0: an_account(**account)})
    return [check.name.removeprefix("ledger: ") for check in found if not check.ok]


def whole(**changes: Any) -> Any:
    given: dict[str, Any] = {
        "n_events": 3,
        "steps": [],
        "writers": [WriterSpanRow(writer="w-1", from_seq=0, to_seq=2)],
    }
    return a_part(**given | changes)


EVENTS = (
    sent(0, type="trajectory_started"),
    sent(1, type="llm_call"),
    sent(2, type="trajectory_ended", status="completed"),
    LedgerEvent(Intent("r-1", "reward", "t-1", "", reward=2.5), [(0, 30)]),
)


def test_everything_sent_is_found() -> None:
    assert truth(whole(), a_ledger(*EVENTS)) == []


@pytest.mark.parametrize(
    ("part", "more", "problems"),
    [
        (whole(), [sent(3)], ["acknowledged events are in the result"]),
        (
            whole(writers=[WriterSpanRow(writer="w-1", from_seq=0, to_seq=2, missing=[1])]),
            [],
            [
                "acknowledged events are in the result",
                "parts hold the events that were sent, each once",
            ],
        ),
        (whole(n_events=4), [], ["parts hold the events that were sent, each once"]),
        (whole(status="failed"), [], ["final statuses are the sent ones"]),
        (
            whole(),
            [LedgerEvent(Intent("r-9", "reward", "t-1", "", reward=1.0), [(0, 31)])],
            ["acknowledged events are in the result", "rewards have the value that was sent"],
        ),
        (
            whole(),
            [LedgerEvent(Intent("r-1", "reward", "t-1", "", reward=9.0), [(0, 30)])],
            ["rewards have the value that was sent"],
        ),
        (whole(), [sent(3, places=[])], []),  # nobody acknowledged it
    ],
)
def test_what_differs_from_the_truth_is_found(
    part: Any, more: list[LedgerEvent], problems: list[str]
) -> None:
    assert truth(part, a_ledger(*EVENTS, *more)) == problems


def test_an_event_that_is_not_accounted_for_yet_is_open_not_lost() -> None:
    late = sent(3, places=[(0, 10)])
    assert truth(whole(), a_ledger(*EVENTS, late)) == []
    early = sent(3, places=[(0, 9)])
    assert truth(whole(), a_ledger(*EVENTS, early), open_events=1) == []
    assert truth(whole(), a_ledger(*EVENTS, early)) == ["acknowledged events are in the result"]


def test_what_the_decisions_earned_is_compared() -> None:
    paid = sent(1, reward=0.5)
    events = [paid if event.intent.seq == 1 else event for event in EVENTS]
    assert truth(whole(), a_ledger(*events)) == ["trajectories earned at once what was sent"]


# -- choosing refused records


def test_a_filter_takes_what_agrees_in_every_given_field() -> None:
    record = Quarantined(
        "agent-events", 1, 2, None, None, [], "nul", "why", "assembler", "1", "t-1", 0, 0
    )
    assert Filter().takes(record)
    right = Filter("nul", "agent-events", 1, 2, "t-1")
    assert right.takes(record)
    changes: list[dict[str, Any]] = [
        {"reason": "empty"},
        {"topic": "x"},
        {"partition": 0},
        {"offset": 0},
        {"trajectory_id": "x"},
    ]
    for change in changes:
        assert not replace(right, **change).takes(record)


def test_events_of_an_erased_subject_are_erased_and_not_lost_whatever_the_log_has() -> None:
    ledger = a_ledger(*EVENTS, sent(3))
    for log in (outputs(whole(), an_entry()), Accounts()):
        checks = check_ledger(ledger, log, {0: an_account()}, {"t-1"})
        assert [check.name for check in checks if not check.ok] == []
        assert checks[0].detail == "5 erased"
