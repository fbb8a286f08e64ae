"""Timers of one partition, fired in the order (deadline, first offset of the life)."""

from heapq import heappop, heappush

from ropewalk_stream_processors.trajectory.life import NEVER, Due, Life


class Timers:
    """One entry per life, at or before its next deadline.

    A deadline that moves later leaves its entry where it is; the entry moves on when it is due.
    """

    __slots__ = ("_heap", "_serial")

    def __init__(self) -> None:
        # The serial number keeps lives themselves from being compared.
        self._heap: list[tuple[int, int, int, Life]] = []
        self._serial = 0

    def arm(self, life: Life) -> None:
        """See to it that `life` has an entry no later than its next deadline."""
        at, _ = life.due()
        if at != NEVER and (life.armed is None or at < life.armed):
            life.armed = at
            self._serial += 1
            heappush(self._heap, (at, life.first, self._serial, life))

    def next_due(self, clock_ms: int) -> tuple[Life, int, Due] | None:
        """The life whose deadline passed first, with the deadline; None when none has."""
        while self._heap and self._heap[0][0] <= clock_ms:
            at, _, _, life = heappop(self._heap)
            if life.armed != at:
                continue  # an entry that an earlier one replaced, or of a life that is over
            life.armed = None
            due, why = life.due()
            if due == at:
                return life, due, why
            self.arm(life)
        return None
