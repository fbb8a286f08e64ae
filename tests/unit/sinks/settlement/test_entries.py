"""What a claim has in the ledger follows from what is known, not from when it became known."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_schemas.codec import decode_event, encode_event
from ropewalk_schemas.events import Reward
from ropewalk_schemas.outcomes import Outcome
from ropewalk_sinks.settlement.entries import OpenClaim, is_of_claim, retraction, settle_claim
from ropewalk_sinks.settlement.rulebook import RuleBook
from ropewalk_sinks.settlement.rules import SHIPPED

BOOK = RuleBook(SHIPPED, {"market:": "prediction_market"})
RESOLVED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_claim(idx: int = 0, **terms: Any) -> OpenClaim:
    bet = {"side": "yes"} | terms
    return OpenClaim("shop", "t-1", "e-1", idx, "market:1", bet)


def an_outcome(version: int, resolved: str) -> Outcome:
    at = RESOLVED_AT + timedelta(hours=version)
    values = {"resolved": resolved}
    return Outcome(outcome_key="market:1", version=version, occurred_at=at, values=values)


def entries(claim: OpenClaim, *outcomes: Outcome) -> Sequence[Reward]:
    return settle_claim(claim, outcomes, BOOK).entries


def current(ledger: dict[str, Reward]) -> list[Reward]:
    replaced = {entry.supersedes for entry in ledger.values()}
    return [entry for entry in ledger.values() if entry.event_id not in replaced]


def test_an_entry_says_what_it_is_for_and_by_what_rule() -> None:
    (entry,) = entries(a_claim(idx=2), an_outcome(1, "yes"))
    assert decode_event(encode_event(entry)).type == "reward"
    assert entry.model_dump(exclude_defaults=True) == {
        "event_id": entry.event_id,
        "occurred_at": RESOLVED_AT + timedelta(hours=1),
        "project": "shop",
        "trajectory_id": "t-1",
        "name": "prediction_market",
        "value": 1.0,
        "source": "outcome",
        "source_version": "prediction_market@1",
        "target_event_id": "e-1",
        "outcome_key": "market:1",
        "outcome_version": 1,
        "metadata": {"claim": 2},
    }


def test_the_id_covers_claim_version_and_rule() -> None:
    once = an_outcome(1, "yes")
    found = [
        *entries(a_claim(), once),
        *entries(a_claim(idx=1), once),
        *entries(a_claim(), an_outcome(2, "yes")),
        *entries(a_claim(rule="prediction_market_by_size", size=1.0), once),
    ]
    assert len({entry.event_id for entry in found}) == 4


def test_a_correction_supersedes_the_version_before() -> None:
    first, second, third = entries(a_claim(), *(an_outcome(v, "no") for v in (1, 2, 3)))
    assert (first.supersedes, second.supersedes, third.supersedes) == (
        None,
        first.event_id,
        second.event_id,
    )


def test_a_correction_that_comes_first_is_the_same_entry() -> None:
    (early,) = entries(a_claim(), an_outcome(2, "no"))
    _, late = entries(a_claim(), an_outcome(1, "yes"), an_outcome(2, "no"))
    assert encode_event(early) == encode_event(late)


@pytest.mark.parametrize("between", [(), ((2, "void"),)])
def test_what_has_no_successor_is_retracted(between: tuple[tuple[int, str], ...]) -> None:
    known = [an_outcome(1, "yes"), *(an_outcome(*v) for v in between), an_outcome(3, "no")]
    ledger = {entry.event_id: entry for entry in entries(a_claim(), *known)}
    assert sorted(entry.value for entry in current(ledger)) == [-1.0, 0.0]


def test_an_outcome_called_off_takes_its_reward_back() -> None:
    settled = settle_claim(a_claim(), [an_outcome(1, "yes"), an_outcome(2, "void")], BOOK)
    ledger = {entry.event_id: entry for entry in settled.entries}
    assert [entry.value for entry in current(ledger)] == [0.0]
    assert settled.problem(newest=2) == "resolved of the outcome is 'void'; known are " + ", ".join(
        ("yes", "no", "true", "false")
    )


def test_an_entry_knows_its_claim() -> None:
    (entry,) = entries(a_claim(), an_outcome(1, "yes"))
    assert is_of_claim(entry, a_claim())
    assert not is_of_claim(entry, a_claim(idx=1))
    assert not is_of_claim(retraction(entry), a_claim())
    assert not is_of_claim(entry.model_copy(update={"outcome_version": None}), a_claim())


def earned(ledger: dict[str, Reward]) -> dict[str, float]:
    """What counts; a retraction only says that something does not."""
    return {e.event_id: e.value for e in current(ledger) if "retracts" not in e.metadata}


SIDES = st.sampled_from(["yes", "no", "NO", None, "maybe"])
CLAIMS = st.lists(SIDES, min_size=1, max_size=4)
RESOLUTIONS = st.lists(st.sampled_from(["yes", "no", "void"]), min_size=1, max_size=5)


@given(CLAIMS, RESOLUTIONS, st.integers(0, 1), st.data())
def test_order_of_arrival_and_repeated_runs_change_nothing(
    sides: list[str | None], resolutions: list[str], first: int, data: st.DataObject
) -> None:
    claims = [a_claim(idx=i, side=side) for i, side in enumerate(sides)]
    outcomes = [an_outcome(version, r) for version, r in enumerate(resolutions, first)]
    arriving: list[OpenClaim | Outcome] = [*claims, *outcomes]

    ledger: dict[str, Reward] = {}
    seen_claims: list[OpenClaim] = []
    seen_outcomes: list[Outcome] = []
    for arrival in data.draw(st.permutations(arriving)):
        if isinstance(arrival, OpenClaim):
            seen_claims.append(arrival)
        else:
            seen_outcomes.append(arrival)
        for _ in range(data.draw(st.integers(0, 2), label="runs")):
            for claim in seen_claims:
                for entry in entries(claim, *seen_outcomes):
                    known = ledger.setdefault(entry.event_id, entry)
                    assert encode_event(known) == encode_event(entry)  # an id has one content
    at_once = {e.event_id: e for claim in claims for e in entries(claim, *outcomes)}
    ledger = {**at_once, **ledger}
    assert earned(ledger) == earned(at_once)
    assert all(e.value == 0 for e in ledger.values() if e.event_id not in at_once)
