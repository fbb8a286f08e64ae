"""The check of what counts as of a moment: it holds, and each kind of wrong fails it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.published import a_part, an_entry, value_of

from ropewalk_deploy.audit.accounts import Accounts
from ropewalk_deploy.audit.earned import check_earned, due_as_of, judgeable
from ropewalk_deploy.kafka import LogRecord
from ropewalk_deploy.simulation.ledger import Ledger, LedgerEvent
from ropewalk_deploy.simulation.ledger_lines import Intent, Moment, Opened, Resolved, SentClaim
from ropewalk_deploy.simulation.scripted_model import score_of
from ropewalk_schemas.topics import TRAJECTORIES
from ropewalk_sinks.ledger import Counting

EARLY, LATE = Moment(1_000, "the play", judged=False), Moment(9_000, "round 1", judged=True)
BETS = [SentClaim("m", {"side": "yes"}), SentClaim("never", {"side": "yes"})]
OWNED = 11_000.0
ENTRIES: dict[str, dict[str, Any]] = {
    "late": {"source": "outcome"},
    "review": {"source": "human", "supersedes": "late"},
    "wrong": {"source": "outcome", "metadata": {"claim": 0}, "target_event_id": "e"},
    "paid": {
        "source": "outcome",
        "metadata": {"claim": 0},
        "target_event_id": "e",
        "supersedes": "wrong",
    },
    "void": {"source": "outcome", "metadata": {"claim": 0, "retracts": 1}},
    "judge-1": {"source": "judge"},
    "judge-2": {"source": "judge", "trajectory_id": "t-2"},
    "stranger": {"source": "human", "recorded_at": datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)},
}


def sent(event_id: str, at_ms: int | None, **given: Any) -> LedgerEvent:
    intent = Intent(
        **{"event_id": event_id, "type": "reward", "trajectory_id": "t-1", "sha256": ""} | given
    )
    return LedgerEvent(intent, [] if at_ms is None else [(0, 0)], [] if at_ms is None else [at_ms])


def the_truth(**changes: Any) -> Ledger:
    decision = {"type": "decision", "round": 3, "owned": OWNED}
    events = (
        sent("late", 500, reward=2.5),
        sent("review", 5_000, reward=-1.0, supersedes="late"),
        sent("e", 500, claims=BETS, **decision),
        sent("e-2", 500, **decision | {"trajectory_id": "t-2"}),
    )
    given: dict[str, Any] = {
        "events": {event.intent.event_id: event for event in events},
        "opened": {key: Opened(key, "", 0, 0) for key in ("t-1", "t-2")},
        "resolved": {
            ("m", 2): Resolved("m", 2, "", {"resolved": "yes"}),
            ("m", 1): Resolved("m", 1, "", {"resolved": "no"}),
        },
        "told_ms": {("m", 1): 900, ("m", 2): 5_000},
        "moments": [EARLY, LATE],
    }
    return Ledger(**given | changes)


STORED = {"e", "e-2"}


def the_log(**changes: dict[str, Any]) -> Accounts:
    parts = [a_part(trajectory_id=f"t-{n}", **changes.get(f"t-{n}", {})) for n in (1, 2)]
    entries = [
        an_entry(
            key,
            given.get("trajectory_id", "t-1"),
            **{k: v for k, v in given.items() if k != "trajectory_id"},
        )
        for key, given in ENTRIES.items()
    ]
    rows = [*parts, *entries]
    records = [LogRecord(0, n, 1, b"k", value_of(row), []) for n, row in enumerate(rows)]
    accounts = Accounts()
    accounts.take_outputs(TRAJECTORIES.name, records)
    return accounts


def counts(
    reward_id: str, value: float, trajectory_id: str = "t-1", step: int | None = None
) -> Counting:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    source = ENTRIES[reward_id]["source"] if reward_id in ENTRIES else "human"
    part = None if step is None else 0
    return Counting(trajectory_id, part, step, reward_id, "n", source, value, at)


BEFORE = (counts("late", 2.5), counts("wrong", -1.0, step=0))
NOW = (
    counts("review", -1.0),
    counts("paid", 1.0, step=0),
    counts("void", 0.0),
    counts("judge-1", score_of(OWNED)),
    counts("judge-2", score_of(OWNED), "t-2"),
)


def problems(
    counting: tuple[Counting, ...],
    moment: Moment | None,
    truth: Ledger | None = None,
    log: Accounts | None = None,
) -> list[str]:
    ledger, accounts = truth or the_truth(), log or the_log()
    due = due_as_of(ledger, accounts, STORED, moment)
    check = check_earned("postgres", due, counting, accounts, moment)
    assert check.ok == (check.n_wrong == 0)
    return check.wrong


def test_each_moment_has_its_own_truth() -> None:
    assert problems(BEFORE, EARLY) == []
    assert problems(NOW, LATE) == problems(NOW, None) == []
    assert problems(NOW, EARLY)
    assert problems(BEFORE, LATE)


@pytest.mark.parametrize("missing", range(4))
def test_what_is_missing_is_named(missing: int) -> None:
    needed = [entry for entry in NOW if entry.reward_id != "void"]
    del needed[missing]
    assert [
        line.endswith(f"is missing, should be {line.rsplit(' ', 1)[1]}")
        for line in problems(tuple(needed), None)
    ] == [True]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (counts("late", 2.5), "sent late counts 2.5 (late), and should not"),
        (counts("stranger", 5.0), "sent stranger counts 5.0 (stranger), and should not"),
        (counts("unheard", 5.0), "sent unheard counts 5.0 (unheard), and should not"),
        (counts("wrong", 1.0, step=0), "claim t-1/e/0 counts 2 times"),
        (counts("judge-1", score_of(OWNED)), "judge t-1 counts 2 times"),
    ],
)
def test_what_should_not_count_is_named(more: Counting, told: str) -> None:
    assert problems((*NOW, more), None) == [told]


def test_a_wrong_value_or_place_is_named() -> None:
    assert "should be 1.0" in problems((*NOW[:1], counts("paid", 0.5, step=0), *NOW[2:]), None)[0]
    assert "is placed at step None" in problems((*NOW[:1], counts("paid", 1.0), *NOW[2:]), None)[0]
    assert "should be" in problems((*NOW[:-1], counts("judge-2", 0.1, "t-2")), None)[0]


def test_before_anyone_judged_no_judgment_counts() -> None:
    early = replace(the_truth(), moments=[EARLY])
    assert problems((*BEFORE, NOW[3]), EARLY, early) == [
        f"judge t-1 counts {score_of(OWNED)} (judge-1), and should not"
    ]
    # Now a judge may be at work: what it says must be right, and nobody waits for it.
    assert problems((*NOW[:4],), None, early) == []


def test_nobody_waits_for_the_judgment_of_a_group_that_is_not_whole() -> None:
    gaps = the_log(**{"t-2": {"complete": False}})
    assert judgeable(the_log()) == {"t-1", "t-2"}
    assert judgeable(gaps) == set()
    assert problems(NOW[:3], None, log=gaps) == []


def test_what_nobody_acknowledged_counts_from_when_the_log_has_it() -> None:
    truth = the_truth()
    unsure = sent("stranger", None, reward=5.0)
    truth.events["stranger"] = unsure
    log = the_log()
    assert problems((*NOW, counts("stranger", 5.0)), LATE, truth, log) == []
    assert problems(NOW, LATE, truth, log) == ["sent stranger is missing, should be 5.0"]
    assert problems(BEFORE, EARLY, truth, log) == []


def test_nothing_is_due_to_who_was_erased_and_the_judges_word_on_the_rest_may_count() -> None:
    whole = due_as_of(the_truth(), the_log(), STORED, None)
    rest = due_as_of(the_truth(), the_log(), STORED, None, {"t-2"})
    assert {str(key) for key in whole.must if "t-2" in str(key)}
    assert not [key for key in (*rest.must, *rest.may) if "t-2" in str(key)]
    # A group of one is not judged; what was said while there were two still counts.
    gone = {str(key) for key in whole.must} - {str(key) for key in rest.must}
    assert gone == {"judge t-1", "judge t-2"}
    assert "judge t-1" in {str(key) for key in rest.may}
