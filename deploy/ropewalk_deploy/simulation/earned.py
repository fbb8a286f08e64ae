"""What a simulation must have earned as of any moment, by the simulator's own arithmetic. Pure."""

from collections.abc import Collection
from typing import NamedTuple

from ropewalk_deploy.simulation.ledger import Ledger, LedgerEvent
from ropewalk_deploy.simulation.ledger_lines import Intent, Resolved, SentClaim
from ropewalk_deploy.simulation.scripted_model import score_of


class ClaimId(NamedTuple):
    """A claim: its decision, and its place among the decision's claims."""

    trajectory_id: str
    event_id: str
    idx: int


def sent_rewards(
    ledger: Ledger, as_of_ms: int | None = None, *, unsure: Collection[str] = ()
) -> dict[str, float]:
    """By id, the entries that the simulation sent itself and that no other of them replaces.

    Args:
        ledger: The truth.
        as_of_ms: Broker time; None for all.
        unsure: Ids that nobody acknowledged and that are in the log by then all the same.
    """
    known = [
        event.intent
        for event in ledger.events.values()
        if event.intent.type == "reward"
        and (_has_arrived(event, as_of_ms) or event.intent.event_id in unsure)
    ]
    replaced = {intent.supersedes for intent in known}
    return {i.event_id: i.reward for i in known if i.event_id not in replaced}


def _has_arrived(event: LedgerEvent, as_of_ms: int | None) -> bool:
    if as_of_ms is None or not event.times_ms:
        return event.is_acknowledged
    return any(at_ms <= as_of_ms for at_ms in event.times_ms)


def claim_rewards(
    ledger: Ledger, stored: Collection[str], as_of_ms: int | None = None
) -> dict[ClaimId, float]:
    """What each claim of the `stored` decisions is worth by the newest outcome told by then.

    Claims without an outcome are not in it: they earn nothing yet.
    """
    newest: dict[str, Resolved] = {}
    for (key, version), outcome in ledger.resolved.items():
        told_ms = ledger.told_ms.get((key, version))
        is_known = told_ms is not None and (as_of_ms is None or told_ms <= as_of_ms)
        if is_known and (key not in newest or newest[key].version < version):
            newest[key] = outcome
    return {
        ClaimId(event.intent.trajectory_id, event_id, idx): _worth(claim, newest[claim.outcome_key])
        for event_id, event in ledger.events.items()
        if event_id in stored
        for idx, claim in enumerate(event.intent.claims)
        if claim.outcome_key in newest and _is_settleable(claim, newest[claim.outcome_key])
    }


def _is_settleable(claim: SentClaim, outcome: Resolved) -> bool:
    """A position of an agent that is all but broke can be too small to have a size."""
    return "resolved" in outcome.values or bool(claim.terms["size"])


def _worth(claim: SentClaim, outcome: Resolved) -> float:
    terms, values = claim.terms, outcome.values
    if "resolved" in values:
        return 1.0 if terms["side"] == values["resolved"] else -1.0
    gain = float(terms["size"] * (values["price"] - terms["price"]))
    return gain if terms["side"] == "long" else -gain


def judge_scores(ledger: Ledger, stored: Collection[str]) -> dict[str, float]:
    """By trajectory, what the scripted model says of it: its `stored` decisions tell."""
    last: dict[str, Intent] = {}
    for event_id, event in ledger.events.items():
        intent = event.intent
        if event_id in stored and intent.round is not None and intent.owned is not None:
            before = last.get(intent.trajectory_id)
            if before is None or (before.round or 0) <= intent.round:
                last[intent.trajectory_id] = intent
    return {key: score_of(intent.owned) for key, intent in last.items() if intent.owned is not None}
