"""When to ask again, and how long to wait before. Pure: the clock is an argument."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

Kind = Literal["answered", "later", "refused", "setting"]
"""What a status means: check the answer; try later; no for this request; no for all requests."""

_OK, _SERVER_ERRORS = 200, 500
_LATER = frozenset({408, 409, 425, 429})
_THIS_REQUEST = frozenset({400, 413, 422})


class Patience(NamedTuple):
    """How often a group is asked about at most, and how long is waited in between, in seconds."""

    attempts: int
    first_wait_s: float
    longest_wait_s: float


def kind_of(status: int) -> Kind:
    """What to make of an HTTP status."""
    if status == _OK:
        return "answered"
    if status in _LATER or status >= _SERVER_ERRORS:
        return "later"
    return "refused" if status in _THIS_REQUEST else "setting"


def wait_s(
    patience: Patience, attempt: int, retry_after: str | None, *, now: datetime
) -> float | None:
    """Seconds to wait before the next request; None when there should be none.

    Args:
        patience: The bounds.
        attempt: Requests made so far, from 1.
        retry_after: The answer's ``Retry-After``: seconds or an HTTP date. It prolongs the
            doubling wait and never shortens it.
        now: Aware.
    """
    if attempt >= patience.attempts:
        return None
    doubled = patience.first_wait_s * 2.0 ** min(attempt - 1, 60)
    told = _told_s(retry_after, now)
    return min(max(doubled, told), patience.longest_wait_s)


def _told_s(retry_after: str | None, now: datetime) -> float:
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
