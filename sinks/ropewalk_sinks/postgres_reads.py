"""What the Postgres sink holds, streamed row by row, for those who check it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

from ropewalk_sinks.postgres_connection import connect, in_our_words
from ropewalk_sinks.sql import query
from ropewalk_sinks.stored import StoredPart, StoredRefusal, StoredReward

_ROWS_PER_FETCH = 10_000


class StoredOffset(NamedTuple):
    """Where a sink goes on in a partition."""

    sink: str
    topic: str
    partition: int
    next_offset: int


def stored_parts(dsn: str) -> Iterator[StoredPart]:
    """All parts, in no order."""
    return map(StoredPart._make, _stream(dsn, "stored_parts"))


def stored_rewards(dsn: str) -> Iterator[StoredReward]:
    """All ledger entries, in no order."""
    return map(StoredReward._make, _stream(dsn, "stored_rewards"))


def stored_quarantine(dsn: str) -> Iterator[StoredRefusal]:
    """All refused records, in no order."""
    return map(StoredRefusal._make, _stream(dsn, "stored_quarantine"))


def stored_offsets(dsn: str) -> Iterator[StoredOffset]:
    """Where each sink goes on, by sink, topic and partition."""
    return map(StoredOffset._make, _stream(dsn, "stored_offsets"))


def last_window(dsn: str) -> dict[str, Any] | None:
    """The newest window and what is in it; None when nothing is stored yet."""
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        cursor = connection.execute(query("last_window"))
        row = cursor.fetchone()
        names = [column.name for column in cursor.description or ()]
    return None if row is None else dict(zip(names, row, strict=True))


def _stream(dsn: str, name: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a query by a server-side cursor, all of one snapshot."""
    with (
        in_our_words(dsn),
        closing(connect(dsn)) as connection,
        connection.transaction(),
        connection.cursor(name=name) as cursor,
    ):
        cursor.itersize = _ROWS_PER_FETCH
        yield from cursor.execute(query(name))
