"""Marks refused records that were sent again."""

from collections.abc import Sequence
from contextlib import closing

from ropewalk_sinks.postgres_connection import connect, in_our_words
from ropewalk_sinks.sql import query


def mark_replayed(dsn: str, sent: Sequence[tuple[str, int, int, int]]) -> int:
    """Set `replayed_at` of refused records; gives how many carry it now.

    The log is what knows; this repeats it for those who ask in SQL. A record that the sink has not
    stored yet is not marked.

    Args:
        dsn: The database.
        sent: Topic, partition and offset of each, and when it was sent again, ms since the epoch.
    """
    columns = zip(*sent, strict=True) if sent else ((), (), (), ())
    names = ("topics", "partitions", "offsets", "times_ms")
    given = {name: list(column) for name, column in zip(names, columns, strict=True)}
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        return connection.execute(query("mark_replayed"), given).rowcount
