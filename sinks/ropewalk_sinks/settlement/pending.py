"""Claims that are worth nothing yet, and why."""

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from ropewalk_sinks.config import SettlementSettings
from ropewalk_sinks.settlement.entries import OpenClaim, settle_claim
from ropewalk_sinks.settlement.rulebook import RuleBook
from ropewalk_sinks.settlement.store import SettlementStore

WAITING = "its outcome is not known yet"


class Pending(NamedTuple):
    """A claim that its outcome does not settle.

    Attributes:
        outcome_version: The newest one known; None when there is none.
    """

    claim: OpenClaim
    outcome_version: int | None
    reason: str


def is_settled(settings: SettlementSettings) -> bool:
    """Whether settlement has nothing to do: all it had to say is stored.

    Raises:
        SinkError: If the database does not answer, or a rule cannot be loaded.
    """
    book = RuleBook.load(settings.settlement_rules)
    with closing(SettlementStore(settings.postgres_dsn)) as store:
        return not any(store.unsettled(book.fingerprint))


def pending_claims(settings: SettlementSettings) -> Iterator[Pending]:
    """Claims without an outcome, and unsettleable ones.

    Raises:
        SinkError: If the database does not answer, or a rule cannot be loaded.
    """
    book = RuleBook.load(settings.settlement_rules)
    with closing(SettlementStore(settings.postgres_dsn)) as store:
        for batch in store.claims():
            for claim in batch.claims:
                outcomes = batch.outcomes.get(claim.outcome_key)
                if not outcomes:
                    yield Pending(claim, None, WAITING)
                    continue
                newest = outcomes[-1].version
                reason = settle_claim(claim, outcomes, book).problem(newest)
                if reason is not None:
                    yield Pending(claim, newest, reason)
