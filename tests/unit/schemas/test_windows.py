"""Tumbling windows: half-open, epoch-aligned, the same in every zone."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_schemas.errors import ContractError
from ropewalk_schemas.fields import MAX_YEAR, MIN_YEAR
from ropewalk_schemas.windows import from_micros, to_micros, window_id, window_start

FIRST = to_micros(datetime(MIN_YEAR, 1, 1, tzinfo=UTC))
LAST = to_micros(datetime(MAX_YEAR + 1, 1, 1, tzinfo=UTC)) - 1
LONGEST_S = 366 * 86_400


@pytest.mark.parametrize(
    ("instant", "length_s", "window"),
    [
        ("1970-01-01T00:00:00+00:00", 3600, "1970-01-01T00:00:00Z/3600s"),
        ("1969-12-31T23:59:59.999999+00:00", 3600, "1969-12-31T23:00:00Z/3600s"),
        ("2026-01-31T12:59:59.999999+00:00", 3600, "2026-01-31T12:00:00Z/3600s"),
        ("2026-01-31T13:00:00+00:00", 3600, "2026-01-31T13:00:00Z/3600s"),
        ("2026-01-31T13:00:00+05:30", 3600, "2026-01-31T07:00:00Z/3600s"),
        ("2026-03-29T02:30:00+01:00", 86400, "2026-03-29T00:00:00Z/86400s"),
        ("2026-01-31T12:00:00.999999+00:00", 1, "2026-01-31T12:00:00Z/1s"),
        ("2026-01-31T12:00:00+00:00", 7 * 86400, "2026-01-29T00:00:00Z/604800s"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
def test_window_of_an_instant_is_the_same_whatever_zone_the_host_has(
    instant: str, length_s: int, window: str, zone: str, host_zone: "HostZone"
) -> None:
    host_zone.set(zone)
    start = window_start(to_micros(datetime.fromisoformat(instant)), length_s)
    assert window_id(start, length_s) == window


@given(st.integers(FIRST, LAST), st.integers(1, LONGEST_S))
def test_an_instant_lies_in_its_window_and_windows_are_aligned(at: int, length_s: int) -> None:
    start = window_start(at, length_s)
    assert start <= at < start + length_s * 1_000_000
    assert start % (length_s * 1_000_000) == 0
    assert window_id(start, length_s).endswith(f"Z/{length_s}s")


@given(st.integers(FIRST, LAST))
def test_microseconds_and_instants_are_the_same_thing(at: int) -> None:
    assert to_micros(from_micros(at)) == at


@pytest.mark.parametrize("length_s", [0, -1])
def test_a_window_without_length_is_refused(length_s: int) -> None:
    with pytest.raises(ContractError, match=f"not {length_s}"):
        window_start(0, length_s)


class HostZone:
    """Sets the zone of this process."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def set(self, zone: str) -> None:
        self._patch.setenv("TZ", zone)
        time.tzset()


@pytest.fixture
def host_zone() -> Iterator[HostZone]:
    with pytest.MonkeyPatch.context() as patch:
        yield HostZone(patch)
    time.tzset()
