"""Which lives hold the replay point back, the one that holds it furthest first."""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from ropewalk_schemas.limits import Settings
from ropewalk_stream_processors.trajectory.life import Life

# Entries of lives that are over stay a while; fewer than this are not worth a sweep.
MIN_TO_SWEEP = 1000


class Holding:
    """One entry per life that holds something, at or before what it holds.

    What a life holds only ever moves on: its entry stays where it is until it is looked at.
    """

    __slots__ = ("_heap", "_sweep_at")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str]] = []  # offset, clock just before it, id
        self._sweep_at = MIN_TO_SWEEP

    def add(self, life: Life) -> None:
        """See to it that `life` has an entry, if it holds anything."""
        if life.holding is None and (held := life.held()) is not None:
            life.holding = held.offset
            heappush(self._heap, (held.offset, held.before.clock_ms, life.trajectory_id))

    def is_due(self, clock_ms: int, offset: int, settings: Settings) -> bool:
        """Whether the first entry is so old and so far back that it is to be spilled."""
        if not self._heap or not settings.spill_ms:
            return False
        first = self._heap[0]
        return (
            first[0] + settings.spill_records <= offset and first[1] + settings.spill_ms <= clock_ms
        )

    def sweep(self, lives: Mapping[str, Life]) -> None:
        """Let entries of lives that are over go, once they may be the greater part."""
        if len(self._heap) > self._sweep_at:
            self._heap = [e for e in self._heap if e[2] in lives and lives[e[2]].holding == e[0]]
            heapify(self._heap)
            self._sweep_at = MIN_TO_SWEEP + 2 * len(self._heap)

    def settle(self, lives: Mapping[str, Life]) -> Life | None:
        """The life that holds the replay point; its entry is then exact, and the first."""
        while self._heap:
            offset, _, trajectory_id = self._heap[0]
            life = lives.get(trajectory_id)
            if life is not None and life.holding == offset:
                held = life.held()
                if held is not None and held.offset == offset:
                    return life
                life.holding = None
            heappop(self._heap)
            if life is not None:
                self.add(life)
        return None
