"""Tumbling windows: UTC, epoch-aligned, half-open, with their length in the id."""

from datetime import UTC, datetime, timedelta

from ropewalk_schemas.errors import ContractError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_WINDOW_S = 3600
_US = timedelta(microseconds=1)


def to_micros(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - EPOCH) // _US


def from_micros(micros: int) -> datetime:
    """The aware UTC instant of microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=micros)


def window_start(instant_us: int, length_s: int) -> int:
    """Where the window that holds an instant begins: ``[start, start + length_s)``.

    Args:
        instant_us: Microseconds since the epoch.
        length_s: Window length in seconds, at least 1.

    Returns:
        Microseconds since the epoch.
    """
    if length_s < 1:
        msg = f"a window is at least 1 s long, not {length_s}"
        raise ContractError(msg)
    length_us = length_s * 1_000_000
    return instant_us // length_us * length_us


def window_id(start_us: int, length_s: int) -> str:
    """The window's name: its UTC begin and its length.

    >>> window_id(0, 3600)
    '1970-01-01T00:00:00Z/3600s'
    """
    return f"{from_micros(start_us).strftime('%Y-%m-%dT%H:%M:%SZ')}/{length_s}s"
