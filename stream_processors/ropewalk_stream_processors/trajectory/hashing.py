"""Hashes that make equal content recognisable: of one event, and of a whole part."""

from collections.abc import Iterable
from hashlib import blake2b

from ropewalk_stream_processors.trajectory.records import KeptEvent

HASH_BYTES = 16


def event_digest(value: bytes) -> bytes:
    """The digest of an event's bytes."""
    return blake2b(value, digest_size=HASH_BYTES).digest()


def content_hash(
    identity: tuple[str, int], events: Iterable[KeptEvent], close_reason: str, previous_hash: str
) -> str:
    """The hash of a part: what it holds and why it closed, whenever and wherever it arrived.

    Covers (trajectory_id, part), the events as sorted (writer, seq, event_id, digest), the close
    reason and the hash before; no offsets, no broker times, no rewards.
    """
    hashed = blake2b(digest_size=HASH_BYTES)
    items = sorted((kept.writer, kept.seq, kept.event_id, kept.digest.hex()) for kept in events)
    hashed.update(repr((*identity, items, close_reason, previous_hash)).encode())
    return hashed.hexdigest()
