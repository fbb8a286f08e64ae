from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_producers.importers.pacing import Pacing, merged

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def playing(sent: list[tuple[int, int]], number: int, seconds: list[int]) -> Iterator[datetime]:
    for second in seconds:
        yield at(second)
        sent.append((second, number))


@given(st.lists(st.lists(st.integers(0, 50), min_size=1).map(sorted), max_size=6))
def test_everything_is_sent_once_in_the_order_of_the_log_s_clock(plays: list[list[int]]) -> None:
    sent: list[tuple[int, int]] = []
    told = list(merged([playing(sent, n, seconds) for n, seconds in enumerate(plays)]))
    assert sent == sorted((second, n) for n, seconds in enumerate(plays) for second in seconds)
    assert told == [at(second) for second, _ in sent]


def test_an_instant_is_told_before_its_event_is_sent() -> None:
    sent: list[tuple[int, int]] = []
    merging = merged([playing(sent, 0, [1, 2])])
    assert (next(merging), sent) == (at(1), [])
    assert (next(merging), sent) == (at(2), [(1, 0)])


@pytest.mark.parametrize(
    ("speed", "second", "elapsed_s", "wait_s"),
    [(0, 100, 0, 0), (1, 10, 4, 6), (10, 10, 0.25, 0.75), (1, 10, 11, 0)],
)
def test_the_wait_is_what_is_left_of_the_log_s_pace(
    speed: float, second: float, elapsed_s: float, wait_s: float
) -> None:
    assert Pacing(speed, BEGIN).wait_s(at(second), elapsed_s=elapsed_s) == wait_s
