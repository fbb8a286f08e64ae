"""When to send what: several trajectories merged by time, and how long to wait in between."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

Play = Iterator[datetime]
"""Sends one event per step, and gives the instant of the next one before sending it."""


def merged(plays: Iterable[Play]) -> Iterator[datetime]:
    """Runs all plays in the order of their instants; equal instants in the order given.

    Yields the instant of each event before it is sent.
    """
    due = [(at, number, play) for number, play in enumerate(plays) for at in [next(play)]]
    heapq.heapify(due)
    while due:
        at, number, play = due[0]
        yield at
        following = next(play, None)
        if following is None:
            heapq.heappop(due)
        else:
            heapq.heapreplace(due, (following, number, play))


@dataclass(frozen=True, slots=True)
class Pacing:
    """A log's own pace, `speed` times as fast; 0 is as fast as possible.

    Args:
        begin: The log's first instant.
    """

    speed: float
    begin: datetime

    def wait_s(self, at: datetime, *, elapsed_s: float) -> float:
        """How long to wait before what the log dates `at`, `elapsed_s` after the start."""
        if self.speed <= 0:
            return 0.0
        return max(0.0, (at - self.begin).total_seconds() / self.speed - elapsed_s)
