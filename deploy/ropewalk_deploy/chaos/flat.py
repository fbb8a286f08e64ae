"""Whether what a system holds stays level while it runs, from samples taken of it; pure.

A slope is the median over pairs of samples of one process's life (Theil and Sen): single peaks, as
of a fault, do not move it. What happens in a process's first three minutes is its start, no growth.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot
from statistics import median

from ropewalk_deploy.audit.checks import Check

START_S = 180.0
APART_S = 60.0
HOUR_S = 3600.0
MOST_POINTS = 240

Point = tuple[float, float]
"""Seconds since the begin, and a value."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What counts as flat: a growth of at most `share` of the level, plus `least`, while judged.

    So twice the time allows half the slope: what is noise in minutes is growth in hours. Several
    lives tell of a slope as much as one life of the root of the sum of their squares does.
    """

    share: float
    least: float

    def allows(self, level: float, seconds: float) -> float:
        """The greatest growth per hour at a level."""
        return (self.share * level + self.least) * HOUR_S / seconds


@dataclass(frozen=True, slots=True)
class Slope:
    """How something grew.

    Args:
        name: Whose and what.
        level: Its median.
        per_hour: Its growth.
        allowed: The most that counts as flat, per hour.
        seconds: How long it was looked at, starts of processes aside.
    """

    name: str
    level: float
    per_hour: float
    allowed: float
    seconds: float

    @property
    def is_flat(self) -> bool:
        """Whether it did not grow by more than is allowed; what shrinks does not grow."""
        return self.per_hour <= self.allowed


def slope(
    name: str, lives: Iterable[Sequence[Point]], bound: Bound, span: tuple[float, float]
) -> Slope | None:
    """How something grew over the lives of a process; None where none lived long enough.

    Args:
        name: Whose and what.
        lives: Samples of each of its processes, from its begin.
        bound: What counts as flat.
        span: From when to when the whole system is judged, in seconds.
    """
    settled = [life for life in (_settled(life, span) for life in lives) if len(life) > 1]
    found = [
        (later - value) / (then - at)
        for life in settled
        for n, (at, value) in enumerate(life)
        for then, later in life[n + 1 :]
        if then - at >= APART_S
    ]
    if not found:
        return None
    level = median(value for life in settled for _, value in life)
    lived_s = [life[-1][0] - life[0][0] for life in settled]
    return Slope(
        name=name,
        level=round(level, 3),
        per_hour=round(median(found) * HOUR_S, 3),
        allowed=round(bound.allows(level, hypot(*lived_s)), 3),
        seconds=round(sum(lived_s), 1),
    )


def _settled(life: Sequence[Point], span: tuple[float, float]) -> list[Point]:
    """What of a life is judged: not its start; thinned out, for pairs are many."""
    if not life:
        return []
    begin, end = max(span[0], life[0][0] + START_S), span[1]
    rest = [point for point in life if begin <= point[0] <= end]
    return rest[:: max(1, len(rest) // MOST_POINTS)]


def check_flat(slopes: Sequence[Slope]) -> Check:
    """That everything stays level."""
    grew = [s for s in slopes if not s.is_flat]
    wrong = [f"{s.name} grows by {s.per_hour:g} an hour, allowed {s.allowed:g}" for s in grew]
    return Check(
        "soak: memory, handles and lag stay level",
        ok=not grew and bool(slopes),
        expected=len(slopes),
        found=len(slopes) - len(grew),
        detail="" if slopes else "nothing lived long enough to be measured",
        wrong=wrong,
        n_wrong=len(wrong),
    )
