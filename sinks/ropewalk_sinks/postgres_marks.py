"""Marks refused records that were sent again."""

from collections.abc import Sequence
from contextlib import closing

from ropewalk_sinks.postgres_connection import connect, in_our_words
from ropewalk_sinks.sql import query


def mark_replayed(dsn: str, places: Sequence[tuple[str, int, int]]) -> int:
    """Set `replayed_at` of refused records by (topic, partition, offset); gives how many."""
    topics, partitions, offsets = zip(*places, strict=True) if places else ((), (), ())
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        given = {
            "topics": list(topics),
            "partitions": list(partitions),
            "offsets": list(offsets),
        }
        return connection.execute(query("mark_replayed"), given).rowcount
