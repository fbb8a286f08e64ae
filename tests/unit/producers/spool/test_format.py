from hypothesis import given
from hypothesis import strategies as st
from tests.support.spool import records

from ropewalk_producers.spool.format import (
    HEADER_BYTES,
    MARK_AT,
    Damage,
    Found,
    Record,
    encode,
    encode_mark,
    header,
    mark_of,
    scan,
    size_of,
)

many = st.lists(records, max_size=6)


@given(many)
def test_what_was_written_is_read(written: list[Record]) -> None:
    data = b"".join(map(encode, written))
    got = scan(data, 100)
    assert [item.record for item in got.found if isinstance(item, Found)] == written
    assert (got.end, got.readable) == (100 + len(data), True)
    assert len(data) == sum(map(size_of, written))


@given(many, st.data())
def test_of_a_cut_segment_every_whole_record_is_read(
    written: list[Record], data: st.DataObject
) -> None:
    encoded = list(map(encode, written))
    whole = b"".join(encoded)
    cut = data.draw(st.integers(0, len(whole)))
    n_whole = sum(1 for n in range(len(encoded)) if len(b"".join(encoded[: n + 1])) <= cut)
    for tail in (b"", bytes(40)):  # a file may have been made longer before it was filled
        got = scan(whole[:cut] + tail)
        assert [item.record for item in got.found[:n_whole]] == written[:n_whole]  # type: ignore[union-attr]
        assert not any(isinstance(item, Found) for item in got.found[n_whole:])
        is_told = got.end < cut + len(tail) or any(isinstance(item, Damage) for item in got.found)
        assert is_told or (cut == len(b"".join(encoded[:n_whole])) and not tail)


@given(st.lists(records, min_size=1, max_size=6), st.data())
def test_a_flipped_bit_costs_its_record_and_invents_nothing(
    written: list[Record], data: st.DataObject
) -> None:
    encoded = list(map(encode, written))
    whole = bytearray(b"".join(encoded))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    ends = [len(b"".join(encoded[: n + 1])) for n in range(len(encoded))]
    hit = next(n for n, end in enumerate(ends) if bit // 8 < end)
    got = scan(bytes(whole))
    found = [item.record for item in got.found if isinstance(item, Found)]
    assert found[:hit] == written[:hit]
    assert found[hit:] in ([], written[hit + 1 :])  # behind a damaged body, but not a damaged head
    damage = [item for item in got.found if isinstance(item, Damage)]
    assert damage or got.end < len(whole)
    assert len(damage) <= 1


@given(st.integers(HEADER_BYTES, 2**62), st.integers(0, 8 * 12 - 1))
def test_a_damaged_mark_counts_as_none(place: int, bit: int) -> None:
    data = bytearray(header(place))
    assert mark_of(bytes(data)) == place
    data[MARK_AT + bit // 8] ^= 1 << bit % 8
    assert mark_of(bytes(data)) == HEADER_BYTES


@given(st.binary(max_size=HEADER_BYTES + 8))
def test_what_is_no_segment_has_no_mark(data: bytes) -> None:
    assert mark_of(data) is None or data.startswith(b"RWSPOOL1")


def test_a_mark_fits_its_place() -> None:
    assert MARK_AT + len(encode_mark(2**62)) <= HEADER_BYTES
