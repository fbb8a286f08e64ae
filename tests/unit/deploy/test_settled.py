"""The check that claims were paid what outcomes say: it holds, and each kind of wrong fails it."""

from datetime import UTC, datetime
from typing import Any

from ropewalk_deploy.audit.settled import check_settled
from ropewalk_deploy.simulation.earned import ClaimId
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.published import LedgerEntryRow, decode_published
from ropewalk_schemas.trajectory import LedgerEntry

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXPECTED = {ClaimId("t", "e", 0): 1.0, ClaimId("t", "e", 1): -2.5, ClaimId("t", "gone", 0): 1.0}


def an_entry(reward_id: str, value: float, **changes: Any) -> LedgerEntry:
    given: dict[str, Any] = {
        "trajectory_id": "t",
        "project": "market",
        "target_event_id": "e",
        "name": "prediction_market",
        "source": "outcome",
        "metadata": {"claim": 0},
        "occurred_at": AT,
        "recorded_at": AT,
        "source_partition": 0,
        "source_offset": 1,
    }
    row = LedgerEntryRow(reward_id=reward_id, value=value, **given | changes)
    decoded: LedgerEntry = decode_published(to_json(row))  # type: ignore[assignment]
    return decoded


RIGHT = (
    an_entry("first", -1.0),
    an_entry("corrected", 1.0, supersedes="first"),
    an_entry("other", -2.5, metadata={"claim": 1}),
    an_entry("void", 0.0, metadata={"claim": 1, "retracts": 1}, supersedes="older"),
    an_entry("by a person", 5.0, source="human"),
    an_entry("no claim", 5.0, metadata={}),
)


def test_claims_of_stored_decisions_are_paid() -> None:
    check = check_settled(EXPECTED, {"e"}, RIGHT)
    assert (check.ok, check.expected, check.found, check.detail) == (True, 2, 2, "")


def test_what_is_missing_wrong_or_paid_twice_is_named() -> None:
    missing = check_settled(EXPECTED, {"e"}, RIGHT[:2])
    twice = check_settled(EXPECTED, {"e"}, [*RIGHT, an_entry("again", 1.0)])
    assert missing.wrong == ["e claim 1: None, expected -2.5"]
    assert twice.wrong == ["e claim 0: 2.0, expected 1.0"]
    assert (missing.ok, twice.ok) == (False, False)
    assert "ropewalk settle --once" in missing.detail
