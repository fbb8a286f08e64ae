"""The ledger as of a moment, from Postgres."""

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from ropewalk_sinks.ledger import Counting, Earned, LedgerView, Unfollowed, Unmatched
from ropewalk_sinks.postgres_connection import Connection, connect, in_our_words, place
from ropewalk_sinks.postgres_migrations import require_migrations
from ropewalk_sinks.sql import query


def ledger_as_of(
    dsn: str, moment: datetime | None = None, trajectory_id: str | None = None
) -> LedgerView:
    """What counted at a moment, and what was wrong or waited then; all of one snapshot.

    Args:
        dsn: The database.
        moment: Aware; None for all that is recorded.
        trajectory_id: Only this trajectory.

    Raises:
        MigrationError: If the database lacks a migration.
        UnreachableError: If it does not answer.
    """
    asked = {"moment": moment, "trajectory_id": trajectory_id}
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        require_migrations(connection, place(dsn))
        with connection.transaction():
            connection.execute(query("one_snapshot"))
            return LedgerView(
                [Earned._make(row) for row in _rows(connection, "rewards_as_of", asked)],
                [Unfollowed._make(row) for row in _rows(connection, "problems_as_of", asked)],
                [Unmatched._make(row) for row in _rows(connection, "unmatched_as_of", asked)],
            )


def entries_as_of(
    dsn: str, moment: datetime | None = None, trajectory_id: str | None = None
) -> list[Counting]:
    """Each entry that counted at a moment; arguments and errors as of `ledger_as_of`."""
    asked = {"moment": moment, "trajectory_id": trajectory_id}
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        require_migrations(connection, place(dsn))
        return [Counting._make(row) for row in _rows(connection, "entries_as_of", asked)]


def _rows(connection: Connection, name: str, asked: Mapping[str, object]) -> list[tuple[Any, ...]]:
    return connection.execute(query(name), asked).fetchall()
