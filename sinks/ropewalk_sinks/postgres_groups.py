"""The groups in Postgres, for those who train."""

from contextlib import closing

from ropewalk_sinks.groups import Group
from ropewalk_sinks.postgres_connection import connect, in_our_words
from ropewalk_sinks.sql import query


def postgres_groups(dsn: str, *, trainable: bool = False) -> list[Group]:
    """All groups, or those that can be trained on, by project, scenario, key, window and policy.

    Raises:
        UnreachableError: If the database does not answer.
    """
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        found = connection.execute(query("stored_groups"), {"trainable": trainable}).fetchall()
    return list(map(Group._make, found))
