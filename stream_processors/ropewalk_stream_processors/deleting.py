"""Which chunks may be deleted, and when; pure.

A chunk that no account of N or beyond names may go as soon as an account of N or beyond is durable
under a key that nobody else writes again: its floor. An account under the partition's own key is
not enough. A process that was frozen may put an older one in its place, which compaction leaves
alone, and which names the chunk. An older floor may go once a newer one is durable.
"""

from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter

from ropewalk_schemas.chunks import end_of
from ropewalk_schemas.progress import Progress
from ropewalk_stream_processors.trajectory.account import named_chunks

Unnamed = list[tuple[int, bytes]]
"""Chunks, each with the N from which on no account names it; sorted by that."""


def orphans(keys: Iterable[bytes], progress: Progress) -> Unnamed:
    """Of the chunks found at a restart, those that no account of N or beyond names.

    The record at its end made it: one that ends at N or beyond may be written again, and named.
    """
    named, n = named_chunks(progress), progress.next_offset
    return [(n, key) for key in sorted(keys) if key not in named and end_of(key) < n]


def take_deletable(unnamed: Unnamed, next_offset: int) -> list[bytes]:
    """Take out the chunks that may go once the floor of an account is durable."""
    n = bisect_right(unnamed, next_offset, key=itemgetter(0))
    taken = [key for _, key in unnamed[:n]]
    del unnamed[:n]
    return taken
