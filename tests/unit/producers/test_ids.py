import time
from uuid import UUID

from ropewalk_producers.ids import derived_ids, uuid7


def test_a_uuid7_is_one_and_carries_the_time() -> None:
    before = time.time_ns() // 1_000_000
    text = uuid7()
    after = time.time_ns() // 1_000_000
    value = UUID(text)
    assert (str(value), value.version, value.variant) == (text, 7, "specified in RFC 4122")
    assert before <= value.int >> 80 <= after


def test_uuid7s_differ() -> None:
    assert len({uuid7() for _ in range(10_000)}) == 10_000


def test_derived_ids_depend_on_all_that_they_name() -> None:
    one, other = derived_ids("one"), derived_ids("other")
    ids = [
        one.event_id("t", "w", 0),
        one.event_id("t", "w", 1),
        one.event_id("t", "w2", 0),
        one.event_id("t2", "w", 0),
        other.event_id("t", "w", 0),
        one.reward_id("t", "w", 0),
        one.of("t", "w", 0),
        one.of("tw", 0),
    ]
    assert len(set(ids)) == len(ids)
    assert ids[0] == derived_ids("one").event_id("t", "w", 0)
