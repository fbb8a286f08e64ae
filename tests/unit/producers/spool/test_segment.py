from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.spool import records

from ropewalk_producers.spool.format import HEADER_BYTES, Found, Record, encode
from ropewalk_producers.spool.segment import Segment


def written(path: Path, given: list[Record]) -> Segment:
    segment = Segment.create(path)
    for record in given:
        segment.append(encode(record), 1)
    segment.publish(durable=True)
    return segment


def taken(segment: Segment) -> list[Record]:
    found = []
    while (item := segment.take()) is not None:
        if isinstance(item, Found):
            found.append(item.record)
    return found


def some(n: int) -> list[Record]:
    return [Record(b"k", str(i).encode() * 400, f"id-{i}", i) for i in range(n)]


def test_a_segment_gives_what_was_published_and_not_more(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path / "1.spool")
    segment.append(encode(some(1)[0]), 1)
    assert segment.take() is None
    segment.publish(durable=False)
    assert taken(segment) == some(1)
    assert not segment.exhausted
    segment.sealed = True
    assert segment.exhausted
    segment.remove()
    assert list(tmp_path.iterdir()) == []


def test_records_of_any_size_are_read_across_chunks(tmp_path: Path) -> None:
    large = [Record(b"k", bytes([65 + i]) * 3_000_000, f"{i}", i) for i in range(3)]
    mixed = [*some(5), *large, *some(5)]
    assert taken(written(tmp_path / "1.spool", mixed)) == mixed


def test_reading_begins_at_the_mark(tmp_path: Path) -> None:
    segment = written(tmp_path / "1.spool", some(5))
    for _ in range(2):
        segment.take()
    segment.mark(segment.read)
    segment.close()
    assert taken(Segment.left_behind(tmp_path / "1.spool")) == some(5)[2:]


def test_cut_back_forgets_what_was_not_published(tmp_path: Path) -> None:
    segment = written(tmp_path / "1.spool", some(2))
    segment.append(encode(some(3)[2]), 1)
    segment.cut_back(1)
    assert taken(segment) == some(2)
    assert segment.exhausted
    segment.close()
    assert taken(Segment.left_behind(tmp_path / "1.spool")) == some(2)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=st.lists(records, max_size=5), data=st.data())
def test_a_torn_tail_is_cut_and_told(
    tmp_path: Path, given: list[Record], data: st.DataObject
) -> None:
    path = tmp_path / "1.spool"
    path.unlink(missing_ok=True)
    written(path, given).close()
    ends = [HEADER_BYTES]
    for record in given:
        ends.append(ends[-1] + len(encode(record)))
    cut = data.draw(st.integers(0, ends[-1]))
    path.write_bytes(path.read_bytes()[:cut])
    segment = Segment.left_behind(path)
    whole = max((n for n, end in enumerate(ends) if end <= cut), default=0)
    assert taken(segment) == given[:whole]
    assert segment.exhausted
    assert segment.torn == (cut - ends[whole] if cut >= HEADER_BYTES else cut)
    assert segment.unreadable == 0
    assert path.stat().st_size == cut - segment.torn


@pytest.mark.parametrize("where", ["magic", "body", "head"])
def test_what_cannot_be_read_is_told_and_kept(tmp_path: Path, where: str) -> None:
    path = tmp_path / "1.spool"
    written(path, some(3)).close()
    data = bytearray(path.read_bytes())
    second = HEADER_BYTES + len(encode(some(1)[0]))
    data[{"magic": 0, "head": second, "body": second + 50}[where]] ^= 1
    path.write_bytes(data)
    segment = Segment.left_behind(path)
    kept = {"magic": [], "head": some(1), "body": [some(3)[0], some(3)[2]]}[where]
    assert taken(segment) == kept
    assert segment.exhausted
    assert segment.unreadable > 0
    segment.remove()
    assert [p.name for p in tmp_path.iterdir()] == ["1.damaged"]
    assert (tmp_path / "1.damaged").read_bytes() == data
