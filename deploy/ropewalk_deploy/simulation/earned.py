"""What the claims of a simulation must have earned, by arithmetic of the simulator's own. Pure."""

from typing import NamedTuple

from ropewalk_deploy.simulation.ledger import Ledger
from ropewalk_deploy.simulation.ledger_lines import Resolved, SentClaim


class ClaimId(NamedTuple):
    """A claim: its decision, and its place among the decision's claims."""

    trajectory_id: str
    event_id: str
    idx: int


def expected_rewards(ledger: Ledger) -> dict[ClaimId, float]:
    """What every claim with a known outcome is worth by the newest version of that.

    Only claims of decisions that were acknowledged; others may have arrived as well.
    """
    newest: dict[str, Resolved] = {}
    for line in ledger.resolved:
        if line.outcome_key not in newest or newest[line.outcome_key].version < line.version:
            newest[line.outcome_key] = line
    return {
        ClaimId(event.intent.trajectory_id, event_id, idx): _worth(claim, newest[claim.outcome_key])
        for event_id, event in ledger.acknowledged.items()
        for idx, claim in enumerate(event.intent.claims)
        if claim.outcome_key in newest
    }


def _worth(claim: SentClaim, outcome: Resolved) -> float:
    terms, values = claim.terms, outcome.values
    if "resolved" in values:
        return 1.0 if terms["side"] == values["resolved"] else -1.0
    gain = float(terms["size"] * (values["price"] - terms["price"]))
    return gain if terms["side"] == "long" else -gain
