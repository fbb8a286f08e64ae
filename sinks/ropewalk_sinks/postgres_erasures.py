"""Who is erased, as Postgres knows it."""

from collections.abc import Sequence
from contextlib import closing

from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.erasure import Erasures, erasures_of, named_by
from ropewalk_sinks.incoming import Incoming, is_entry, is_part
from ropewalk_sinks.postgres_connection import Connection, connect, in_our_words, place
from ropewalk_sinks.postgres_migrations import require_migrations
from ropewalk_sinks.sql import query


def all_erasures(dsn: str) -> Erasures:
    """Everything that is erased.

    Raises:
        MigrationError: If the database lacks a migration.
        UnreachableError: If it does not answer.
    """
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        require_migrations(connection, place(dsn))
        return erasures_of(connection.execute(query("all_erased")).fetchall())


def erasures_among(connection: Connection, batch: Sequence[Incoming]) -> Erasures:
    """What is erased of what a batch names; valid until the transaction ends.

    It waits for an erasure that is under way, and a later one waits for the transaction.
    """
    connection.execute(query("lock_erasures"))
    agents: set[str] = set()
    trajectories: set[str] = set()
    judgments: set[str] = set()
    for _, content in batch:
        if is_part(content):
            agents.add(content.agent_id)
            trajectories.add(content.trajectory_id)
        elif is_entry(content):
            trajectories.add(content.trajectory_id)
        elif isinstance(content, Quarantined):
            named = named_by(content)
            trajectories |= named.trajectories
            agents |= {name for name in [named.agent_id] if name is not None}
            judgments |= {name for name in [named.judgment_id] if name is not None}
    asked = {
        "agents": sorted(agents),
        "trajectories": sorted(trajectories),
        "judgments": sorted(judgments),
    }
    return erasures_of(connection.execute(query("erased_among"), asked).fetchall())


def record_found(connection: Connection, found: dict[str, str]) -> None:
    """Remember trajectories that turned out to be an erased agent's."""
    if found:
        values = {"trajectories": [*found], "erasures": [*found.values()]}
        connection.execute(query("record_found"), values)
