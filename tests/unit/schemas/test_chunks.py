"""What a chunk's bytes hold, and that what is no chunk is said to be none."""

import pytest

from ropewalk_schemas.chunks import (
    Chunk,
    ChunkRecord,
    chunk_key,
    decode_chunk,
    encode_chunk,
    end_of,
)
from ropewalk_schemas.errors import DecodeError

RECORDS = [
    ChunkRecord(7, 1_000, 900, False, (("h", b"\xff"), ("n", None)), b' {"type": "decision"}\n'),
    ChunkRecord(9, 0, 0, True, (), b"{}"),
]


def test_records_come_back_byte_for_byte() -> None:
    assert decode_chunk(encode_chunk(RECORDS, b"{}")) == Chunk(1, b"{}", RECORDS)


@pytest.mark.parametrize("value", [b"", b"{}", encode_chunk(RECORDS)[:-1], b"\x93\x01\xc4\x00\xc0"])
def test_what_is_no_chunk_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        decode_chunk(value)
    assert refused.value.reason == "invalid"


def test_a_chunk_of_another_version_is_refused_and_the_version_named() -> None:
    with pytest.raises(DecodeError, match="version is 2; this code reads 1"):
        decode_chunk(b"\x93\x02" + encode_chunk([])[2:])


def test_a_key_tells_the_end_whatever_the_id() -> None:
    assert end_of(chunk_key("a/b/1", (3, 40))) == 40
