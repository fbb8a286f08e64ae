from hypothesis import given
from hypothesis import strategies as st

from ropewalk_producers.spool.window import Window


def send_all(window: Window[int]) -> list[tuple[int, int]]:
    sent = []
    while (found := window.next()) is not None:
        sent.append(found)
        window.sent()
    return sent


@given(
    st.lists(st.sampled_from(["add", "send", "settle", "again", "singly"]), max_size=60), st.data()
)
def test_every_item_is_sent_in_order_until_it_is_settled(
    steps: list[str], data: st.DataObject
) -> None:
    window: Window[int] = Window(1000, 1000)
    added = 0
    settled: set[int] = set()
    on_its_way: set[int] = set()
    for step in steps:
        if step == "add":
            window.add(added, 1)
            added += 1
        elif step == "send" and (found := window.next()) is not None:
            token, item = found
            assert token == item
            assert item not in settled | on_its_way
            assert all(earlier in settled | on_its_way for earlier in range(item))
            on_its_way.add(item)
            window.sent()
        elif step == "settle" and len(window):
            item = data.draw(st.sampled_from(window.items))  # late words of old connections too
            assert window.settle(item) == item
            settled.add(item)
            on_its_way.discard(item)
            assert window.settle(item) is None
        elif step in {"again", "singly"}:
            window.again(singly=step == "singly")
            on_its_way = set()
        assert window.items == [n for n in range(added) if n not in settled]
        assert window.first == next(iter(window.items), None)


def test_what_is_sent_singly_waits_for_the_one_before() -> None:
    window: Window[int] = Window(10, 1000)
    for n in range(3):
        window.add(n, 1)
    assert len(send_all(window)) == 3
    window.again(singly=True)
    window.add(3, 1)
    window.add(4, 1)
    for n in range(3):
        assert send_all(window) == [(n, n)]
        assert window.alone
        window.settle(n)
    assert send_all(window) == [(3, 3), (4, 4)]
    assert not window.alone


def test_room_is_bounded_by_number_and_bytes() -> None:
    window: Window[str] = Window(2, 100)
    assert window.has_room
    window.add("a", 10)
    assert window.has_room
    window.add("b", 10)
    assert not window.has_room
    window.settle(0)
    window.add("c", 90)
    window.settle(1)
    assert window.has_room
    window.add("d", 10)
    window.settle(2)
    assert window.has_room
