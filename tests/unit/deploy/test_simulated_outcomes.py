"""What the simulator's markets come to, and what its claims must have earned."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ropewalk_deploy.simulation.afterwards import draw_rounds
from ropewalk_deploy.simulation.earned import ClaimId, claim_rewards
from ropewalk_deploy.simulation.ledger import Ledger, LedgerEvent
from ropewalk_deploy.simulation.ledger_lines import Intent, Opened, Resolved, SentClaim
from ropewalk_deploy.simulation.options import SimulationError, SimulationOptions
from ropewalk_deploy.simulation.outcomes import draw_outcomes
from ropewalk_deploy.simulation.scripts import draw_game_of
from ropewalk_schemas.outcomes import Outcome

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GAMES = range(60)


def options(**changes: float) -> SimulationOptions:
    given = {"resolved": 0.7, "corrected": 0.4, "hours_behind": 8.0} | changes
    return SimulationOptions(ledger=Path("unused"), run="run", **given)  # type: ignore[arg-type]


def drawn(given: SimulationOptions) -> list[Outcome]:
    return draw_outcomes(given, GAMES, played_until=NOW)


def test_outcomes_follow_from_the_seed() -> None:
    assert drawn(options()) == drawn(options())
    assert drawn(options()) != drawn(options(seed=2))


def test_some_are_corrected_some_never_come() -> None:
    versions = Counter(outcome.outcome_key for outcome in drawn(options()))
    n_markets = sum(len(draw_game_of(options(), number).markets) for number in GAMES)
    assert len(versions) / n_markets == pytest.approx(0.7, abs=0.1)
    assert Counter(versions.values())[2] / len(versions) == pytest.approx(0.4, abs=0.1)
    assert drawn(options(resolved=0.0)) == []
    assert set(Counter(o.outcome_key for o in drawn(options(corrected=0.0))).values()) == {1}


def test_corrections_may_be_told_first() -> None:
    told: dict[str, list[int]] = defaultdict(list)
    for outcome in drawn(options()):
        told[outcome.outcome_key].append(outcome.version)
    assert {(1, 2), (2, 1)} <= {tuple(versions) for versions in told.values()}


def test_outcomes_come_hours_later_and_never_in_our_future() -> None:
    ours = NOW + timedelta(hours=8)
    assert all(NOW + timedelta(hours=3) < o.occurred_at < ours for o in drawn(options()))


def test_the_newest_version_is_the_truth() -> None:
    truths = {m.key: m.outcome for n in GAMES for m in draw_game_of(options(), n).predictions}
    newest: dict[str, Outcome] = {}
    for outcome in sorted(drawn(options()), key=lambda o: o.version):
        newest[outcome.outcome_key] = outcome
    told = {key: o.values["resolved"] == "yes" for key, o in newest.items() if key in truths}
    assert told == {key: truths[key] for key in told}


@pytest.mark.parametrize("changes", [{"resolved": 1.1}, {"corrected": -0.1}, {"hours_behind": -1}])
def test_wrong_options_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(SimulationError):
        options(**changes)


def test_the_ledger_knows_what_claims_earned() -> None:
    bets = [
        SentClaim("yes-no", {"side": "no", "size": 3.0, "price": 0.4}),
        SentClaim("future", {"side": "short", "size": 2.0, "price": 40.0}),
        SentClaim("future", {"side": "long", "size": 0.0, "price": 40.0}),
        SentClaim("never", {"side": "yes", "size": 1.0, "price": 0.4}),
    ]
    sent = LedgerEvent(Intent("e", "decision", "t", "", claims=bets), [(0, 0)])
    unsure = LedgerEvent(Intent("f", "decision", "t", "", claims=bets))
    lines = (
        Resolved("yes-no", 2, "", {"resolved": "no"}),
        Resolved("yes-no", 1, "", {"resolved": "yes"}),
        Resolved("future", 1, "", {"price": 45.0}),
    )
    resolved = {(line.outcome_key, line.version): line for line in lines}
    told_ms = {("yes-no", 2): 20, ("yes-no", 1): 10, ("future", 1): 30}
    ledger = Ledger({"e": sent, "f": unsure}, resolved=resolved, told_ms=told_ms)
    now = {ClaimId("t", "e", 0): 1.0, ClaimId("t", "e", 1): -10.0}
    assert claim_rewards(ledger, {"e"}) == now
    assert claim_rewards(ledger, {"e"}, 10) == {ClaimId("t", "e", 0): -1.0}
    assert claim_rewards(ledger, {"e"}, 29) == {ClaimId("t", "e", 0): 1.0}
    assert claim_rewards(ledger, {"e"}, 9) == claim_rewards(ledger, set()) == {}
    assert {claim.event_id for claim in claim_rewards(ledger, {"e", "f"})} == {"e", "f"}


def test_what_comes_after_the_play_comes_in_rounds_each_piece_once_or_twice() -> None:
    given = options(reviewed=0.5, rounds=3, duplicates=0.3)
    opened = {f"t{n}": Opened(f"t{n}", "", 0, n) for n in GAMES}
    rewards = [Intent(f"r{n}", "reward", f"t{n}", "") for n in GAMES]
    events = {intent.event_id: LedgerEvent(intent, [(0, 0)]) for intent in rewards}
    rounds = draw_rounds(given, Ledger(events, opened), played_until=NOW)
    assert rounds == draw_rounds(given, Ledger(events, opened), played_until=NOW)
    assert len(rounds) == 3
    assert all(told.outcomes and told.reviews for told in rounds)
    told_outcomes = Counter((o.outcome_key, o.version) for told in rounds for o in told.outcomes)
    assert set(told_outcomes) == {(o.outcome_key, o.version) for o in drawn(given)}
    assert set(told_outcomes.values()) == {1, 2}
    reviews = [review for told in rounds for review in told.reviews]
    ids = [review.reward_id for review in reviews]
    assert len(set(ids)) == len(ids)
    assert {review.supersedes for review in reviews} <= {*events, *ids}
    assert any(review.supersedes in ids for review in reviews)  # a review of a review


def test_without_outcomes_or_reviews_there_is_no_round() -> None:
    ledger = Ledger(opened={"t": Opened("t", "", 0, 0)})
    assert draw_rounds(options(resolved=0.0, rounds=3), ledger, played_until=NOW) == []
