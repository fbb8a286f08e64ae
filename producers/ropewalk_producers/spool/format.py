"""The bytes of a segment: records that any later process can read, and tell from damage.

A segment is a header, then records. The header holds a mark: how far every record is acknowledged.
A record is its head (length and CRC-32 of the body, then the CRC-32 of those), then its body.
"""

from struct import Struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"RWSPOOL1"
_MARK = Struct(">QI")
HEADER_BYTES = 32
_HEAD = Struct(">II")
_CHECK = Struct(">I")
_BODY = Struct(">QHH")
_HEAD_BYTES = _HEAD.size + _CHECK.size


class Record(NamedTuple):
    """An event as it will lie in the log; `at_ms` is when the recorder took it, in Unix time."""

    key: bytes
    value: bytes
    event_id: str
    at_ms: int


class Found(NamedTuple):
    """A whole record, and the bytes of the segment it lies in: from `begin` up to `end`."""

    record: Record
    begin: int
    end: int


class Damage(NamedTuple):
    """A record whose body is not what was written: its bytes, from `begin` up to `end`."""

    begin: int
    end: int


class Scan(NamedTuple):
    """What some bytes hold.

    Attributes:
        found: Records and damage, in order.
        end: Where the first record begins that could not be told; the bytes' end when all could.
        readable: False when no more bytes would help: what is at `end` is no record's head.
    """

    found: list[Found | Damage]
    end: int
    readable: bool


def size_of(record: Record) -> int:
    """How many bytes `encode` gives, for ids in ASCII."""
    n = _HEAD_BYTES + _BODY.size + len(record.key) + len(record.event_id)
    return n + len(record.value)


def encode(record: Record) -> bytes:
    """A record's bytes.

    Raises:
        struct.error: If key or id are too long.
    """
    event_id = record.event_id.encode()
    lengths = _BODY.pack(record.at_ms, len(record.key), len(event_id))
    body = b"".join((lengths, record.key, event_id, record.value))
    head = _HEAD.pack(len(body), crc32(body))
    return b"".join((head, _CHECK.pack(crc32(head)), body))


def scan(data: bytes, at: int = 0) -> Scan:
    """The records in `data`, whose first byte is byte `at` of its segment and begins a record.

    Where the body alone is damaged, reading goes on behind it. Zeros are what a file has that a
    crash of the machine kept from being filled: they count as missing bytes.
    """
    found: list[Found | Damage] = []
    pos, size = 0, len(data)
    while size - pos >= _HEAD_BYTES:
        head = data[pos : pos + _HEAD.size]
        if _CHECK.unpack_from(data, pos + _HEAD.size)[0] != crc32(head):
            return Scan(found, at + pos, readable=not any(data[pos:]))
        length, expected = _HEAD.unpack(head)
        begin, end = pos + _HEAD_BYTES, pos + _HEAD_BYTES + length
        if end > size:
            break
        body = data[begin:end]
        is_whole = crc32(body) == expected
        place = (at + pos, at + end)
        found.append(Found(_record(body), *place) if is_whole else Damage(*place))
        pos = end
    return Scan(found, at + pos, readable=True)


def _record(body: bytes) -> Record:
    """A record of a body that is as it was written."""
    at_ms, n_key, n_id = _BODY.unpack_from(body)
    id_at = _BODY.size + n_key
    value_at = id_at + n_id
    return Record(body[_BODY.size : id_at], body[value_at:], body[id_at:value_at].decode(), at_ms)


def header(mark: int = HEADER_BYTES) -> bytes:
    """The first bytes of a segment."""
    return (MAGIC + encode_mark(mark)).ljust(HEADER_BYTES, b"\0")


MARK_AT = len(MAGIC)


def encode_mark(mark: int) -> bytes:
    """The bytes at `MARK_AT`: every record before byte `mark` is acknowledged."""
    place = mark.to_bytes(8)
    return place + _CHECK.pack(crc32(place))


def mark_of(data: bytes) -> int | None:
    """The mark of a segment's first bytes; None when they are not those of a segment.

    A mark that is damaged counts as none: then all is sent again, which is harmless.
    """
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        return None
    mark, expected = _MARK.unpack_from(data, MARK_AT)
    is_whole = crc32(data[MARK_AT : MARK_AT + 8]) == expected
    return max(int(mark), HEADER_BYTES) if is_whole else HEADER_BYTES
