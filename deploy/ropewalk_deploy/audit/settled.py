"""What settlement paid against what a simulator's claims must have earned; pure."""

from collections.abc import Iterable
from math import isclose

from ropewalk_deploy.audit.checks import MAX_IDS, Check
from ropewalk_deploy.simulation.earned import ClaimId
from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.published import raw_json
from ropewalk_schemas.trajectory import LedgerEntry


def paid_claims(entries: Iterable[LedgerEntry]) -> dict[ClaimId, float]:
    """What the entries of settlement that count today say of each claim."""
    entries = list(entries)
    replaced = {entry.supersedes for entry in entries}
    found: dict[ClaimId, float] = {}
    for entry in entries:
        about = parse_json(raw_json(entry.metadata) or "{}", otherwise={})
        settles = entry.source == "outcome" and entry.target_event_id and "claim" in about
        if settles and "retracts" not in about and entry.reward_id not in replaced:
            claim = ClaimId(entry.trajectory_id, entry.target_event_id or "", about["claim"])
            found[claim] = found.get(claim, 0.0) + entry.value
    return found


def check_settled(
    expected: dict[ClaimId, float], stored: set[str], entries: Iterable[LedgerEntry]
) -> Check:
    """Each claim of a stored trajectory whose outcome is known is paid once, and rightly."""
    wanted = {claim: value for claim, value in expected.items() if claim.event_id in stored}
    paid = paid_claims(entries)
    wrong = [
        f"{claim.event_id} claim {claim.idx}: {paid.get(claim)}, expected {value}"
        for claim, value in wanted.items()
        if not isclose(paid.get(claim, float("nan")), value, rel_tol=1e-9, abs_tol=1e-9)
    ]
    return Check(
        "ledger: claims are paid what the outcomes say",
        not wrong,
        len(wanted),
        len(wanted) - len(wrong),
        "run `ropewalk settle --once`, then verify again" if wrong else "",
        wrong=wrong[:MAX_IDS],
        n_wrong=len(wrong),
    )
