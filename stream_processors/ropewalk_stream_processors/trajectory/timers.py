"""Timers of one partition, fired in the order (deadline, first offset of the life)."""

from heapq import heapify, heappop, heappush

from ropewalk_stream_processors.trajectory.life import NEVER, Due, Life

# Entries of lives that are over keep them in memory; fewer than this are not worth a sweep.
MIN_TO_SWEEP = 1000


class Timers:
    """One entry per life, at or before its next deadline.

    A deadline that moves later leaves its entry where it is; the entry moves on when it is due.
    """

    __slots__ = ("_heap", "_n_stale", "_serial")

    def __init__(self) -> None:
        # The serial number keeps lives themselves from being compared.
        self._heap: list[tuple[int, int, int, Life]] = []
        self._serial = 0
        self._n_stale = 0

    def arm(self, life: Life) -> None:
        """See to it that `life` has an entry no later than its next deadline."""
        at, _ = life.due()
        if at != NEVER and (life.armed is None or at < life.armed):
            self._n_stale += life.armed is not None
            life.armed = at
            self._serial += 1
            heappush(self._heap, (at, life.first, self._serial, life))

    def disarm(self, life: Life) -> None:
        """The life is over: its entry no longer counts, and goes away before long."""
        self._n_stale += life.armed is not None
        life.armed = None
        if self._n_stale > MIN_TO_SWEEP and 2 * self._n_stale > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[3].armed == entry[0]]
            heapify(self._heap)
            self._n_stale = 0

    @property
    def n_entries(self) -> int:
        """How many entries there are, those of lives that are over included."""
        return len(self._heap)

    def is_due(self, clock_ms: int) -> bool:
        """Whether the first entry's time has come."""
        return bool(self._heap) and self._heap[0][0] <= clock_ms

    def next_due(self, clock_ms: int) -> tuple[Life, int, Due] | None:
        """The life whose deadline passed first, with the deadline; None when none has."""
        while self.is_due(clock_ms):
            at, _, _, life = heappop(self._heap)
            if life.armed != at:
                self._n_stale -= 1  # an earlier entry replaced it, or its life is over
                continue
            life.armed = None
            due, why = life.due()
            if due == at:
                return life, due, why
            self.arm(life)
        return None
