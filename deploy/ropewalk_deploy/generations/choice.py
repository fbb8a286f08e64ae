"""Which trajectories a person means by windows; pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ropewalk_deploy.errors import SettingError
from ropewalk_schemas.windows import from_micros, to_micros, window_start

_LENGTH = re.compile(r"([1-9]\d{0,8})s", re.ASCII)


class Range(NamedTuple):
    """A stretch of time ``[begin, end)``, aware UTC."""

    begin: datetime
    end: datetime

    def text(self) -> str:
        """As the option takes it."""
        return "/".join(at.isoformat().replace("+00:00", "Z") for at in self)


@dataclass(frozen=True, slots=True)
class Choice:
    """Parts whose window has a moment in common with one of the ranges.

    Attributes:
        project: Only this project's, if it is given.
    """

    ranges: tuple[Range, ...]
    project: str | None = None

    def takes(self, start_us: int, length_s: int, project: str) -> bool:
        """Whether a part is meant.

        Args:
            start_us: Where its window begins, microseconds since the epoch.
            length_s: The window's length.
            project: The part's.
        """
        if self.project not in (None, project):
            return False
        begin = from_micros(start_us)
        end = begin + timedelta(seconds=length_s)
        return any(begin < each.end and each.begin < end for each in self.ranges)


def parse_ranges(texts: Sequence[str]) -> tuple[Range, ...]:
    """The ranges that windows' ids or ``FROM/TO`` name.

    Raises:
        SettingError: Naming what cannot be read.
    """
    return tuple(_range(text) for text in texts)


def _range(text: str) -> Range:
    first, slash, second = text.partition("/")
    begin = _instant(first)
    length = _LENGTH.fullmatch(second)
    if begin is None or not slash:
        raise SettingError(_unreadable(text))
    if length is None:
        end = _instant(second)
        if end is None or end <= begin:
            raise SettingError(_unreadable(text))
        return Range(begin, end)
    seconds = int(length[1])
    starts = from_micros(window_start(to_micros(begin), seconds))
    if starts != begin:
        msg = (
            f"--window {text}: no window of {seconds} s begins then; the one that holds that "
            f"moment begins {starts.isoformat()}"
        )
        raise SettingError(msg)
    return Range(begin, begin + timedelta(seconds=seconds))


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)


def _unreadable(text: str) -> str:
    return (
        f"--window {text[:80]}: write a window's id, such as 2026-03-01T00:00:00Z/3600s, or "
        "FROM/TO, two moments with their zone, such as 2026-03-01T00:00:00Z/2026-03-02T00:00:00Z"
    )
