"""Claims, outcomes and settled entries, as Postgres holds them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from ropewalk_schemas.events import Reward
from ropewalk_schemas.outcomes import Outcome
from ropewalk_sinks.postgres_connection import connect, in_our_words, place
from ropewalk_sinks.postgres_migrations import require_migrations
from ropewalk_sinks.settlement.entries import OpenClaim
from ropewalk_sinks.sql import query

CLAIMS_PER_BATCH = 2_000


class Batch(NamedTuple):
    """Some claims, the outcomes known of them, and what is in the ledger for their trajectories."""

    claims: Sequence[OpenClaim]
    outcomes: dict[str, list[Outcome]]
    entries: list[Reward]


class SettlementStore:
    """Reads what settlement settles, and remembers what needs no look any more.

    Raises:
        UnreachableError: If the database does not answer.
        MigrationError: If it lacks a migration.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        with ExitStack() as on_failure, in_our_words(dsn):
            self._connection = on_failure.enter_context(closing(connect(dsn)))
            require_migrations(self._connection, place(dsn))
            on_failure.pop_all()

    def unsettled(self, rules: str) -> Iterator[Batch]:
        """Claims with an outcome that `mark` has not yet been told of, for these rules."""
        return self._batches("unsettled_claims", {"rules": rules})

    def claims(self) -> Iterator[Batch]:
        """All claims, with or without an outcome."""
        return self._batches("all_claims", {})

    def mark(self, done: Sequence[tuple[OpenClaim, int]], rules: str) -> None:
        """Remember claims whose entries are in the ledger, with the number of known versions."""
        if not done:
            return
        values = {
            "trajectories": [claim.trajectory_id for claim, _ in done],
            "events": [claim.event_id for claim, _ in done],
            "idxs": [claim.idx for claim, _ in done],
            "versions": [n_versions for _, n_versions in done],
            "rules": rules,
        }
        with in_our_words(self._dsn), self._connection.transaction():
            self._connection.execute(query("lock_erasures"))
            self._connection.execute(query("mark_settled"), values)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _batches(self, name: str, values: dict[str, str]) -> Iterator[Batch]:
        """By a server-side cursor of a connection of its own: marking goes on beside it."""
        with (
            in_our_words(self._dsn),
            closing(connect(self._dsn)) as connection,
            connection.transaction(),
            connection.cursor(name=name) as cursor,
        ):
            cursor.execute(query(name), values)
            while rows := cursor.fetchmany(CLAIMS_PER_BATCH):
                yield self._with_known([OpenClaim(*row) for row in rows])

    def _with_known(self, claims: Sequence[OpenClaim]) -> Batch:
        keys = {"keys": sorted({claim.outcome_key for claim in claims})}
        ids = {"ids": sorted({claim.trajectory_id for claim in claims})}
        outcomes: dict[str, list[Outcome]] = {}
        for key, version, at, given in self._connection.execute(query("outcomes_of"), keys):
            outcome = Outcome(outcome_key=key, version=version, occurred_at=at, values=given)
            outcomes.setdefault(key, []).append(outcome)
        found = self._connection.execute(query("settled_entries"), ids)
        names = [column.name for column in found.description or ()]
        entries = [dict(zip(names, row, strict=True)) for row in found]
        return Batch(claims, outcomes, [_reward(entry) for entry in entries])


def _reward(row: dict[str, object]) -> Reward:
    return Reward.model_validate(
        {"event_id": row.pop("reward_id"), "source": "outcome", "outcome_version": None} | row
    )
