"""The `chunks` topic: what a spilled trajectory holds, so that a restart need not read it again.

A chunk holds records of one trajectory as its open part holds them, from offset `first` on; nothing
at or beyond `to` is in it. What a chunk holds follows from the log and its key alone, so whoever
writes one again writes the same. Chunks are MessagePack, as events are passed on byte for byte.
"""

from collections.abc import Sequence

import msgspec

from ropewalk_schemas.errors import DecodeError

VERSION = 1
Span = tuple[int, int]
"""First offset and end (exclusive) of a chunk."""


class ChunkRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One record of a chunk; a reward is stored as its ledger entry.

    Attributes:
        clock_ms: The partition's clock just before it.
    """

    offset: int
    timestamp_ms: int
    clock_ms: int
    is_reward: bool
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes


class Chunk(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The value of a record; `header` is the JSON of a `LifeHeader` as of `to`, or empty."""

    version: int
    header: bytes
    records: list[ChunkRecord]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Chunk).decode


def encode_chunk(records: Sequence[ChunkRecord], header: bytes = b"") -> bytes:
    """The value of a record of `chunks`."""
    return _encode(Chunk(VERSION, header, list(records)))


def decode_chunk(value: bytes) -> Chunk:
    """A record of `chunks`.

    Raises:
        DecodeError: If it is none that this code reads.
    """
    try:
        chunk = _decode(value)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise DecodeError("invalid", str(error)) from error
    if chunk.version != VERSION:
        detail = f"the chunk's version is {chunk.version}; this code reads {VERSION}"
        raise DecodeError("unknown_version", detail)
    return chunk


def chunk_key(trajectory_id: str, span: Span) -> bytes:
    """The key of a chunk."""
    return f"{span[0]}/{span[1]}/{trajectory_id}".encode()


def end_of(key: bytes) -> int:
    """Where the chunk of a key ends.

    Raises:
        ValueError: If it is no key of a chunk.
    """
    return int(key.split(b"/", 2)[1])
