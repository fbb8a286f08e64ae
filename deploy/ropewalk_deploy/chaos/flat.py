"""Whether what a system holds stays level while it runs, from samples taken of it; pure.

A slope is the median over pairs of samples of one process's life (Theil and Sen): single peaks, as
of a fault, do not move it. What happens in a process's first two minutes is its start, no growth.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ropewalk_deploy.audit.checks import Check

START_S = 120.0
APART_S = 60.0
HOUR_S = 3600.0
MOST_POINTS = 240

Point = tuple[float, float]
"""Seconds since the begin, and a value."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What counts as flat: a growth per hour of at most `share` of the level, plus `least`."""

    share: float
    least: float

    def allows(self, level: float) -> float:
        """The greatest growth per hour at a level."""
        return self.share * level + self.least


@dataclass(frozen=True, slots=True)
class Slope:
    """How something grew.

    Args:
        name: Whose and what.
        level: Its median.
        per_hour: Its growth.
        allowed: The most that counts as flat.
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


def slope(name: str, lives: Iterable[Sequence[Point]], bound: Bound) -> Slope | None:
    """How something grew over the lives of a process; None where none lived long enough."""
    settled = [life for life in map(_settled, lives) if len(life) > 1]
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
    return Slope(
        name=name,
        level=round(level, 3),
        per_hour=round(median(found) * HOUR_S, 3),
        allowed=round(bound.allows(level), 3),
        seconds=round(sum(life[-1][0] - life[0][0] for life in settled), 1),
    )


def _settled(life: Sequence[Point]) -> list[Point]:
    """A life without its start, thinned out: pairs are many."""
    if not life:
        return []
    rest = [point for point in life if point[0] >= life[0][0] + START_S]
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
