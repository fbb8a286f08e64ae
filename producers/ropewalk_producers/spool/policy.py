"""When the disk must have it, and when there is too little room: decisions without I/O."""

from dataclasses import dataclass

from ropewalk_producers.config import Fsync

RESERVED = 0.2
"""The fraction of `spool_max_bytes` that only trajectories already begun may use."""


@dataclass(frozen=True, slots=True)
class Room:
    """What the spool may still take, in bytes.

    Attributes:
        max_bytes: What all of the folder may take.
        used: What it takes.
        free: What the disk has left.
    """

    max_bytes: int
    used: int
    free: int

    @property
    def left(self) -> int:
        """Bytes that may be written."""
        return min(self.max_bytes - self.used, self.free)

    @property
    def why_no_more(self) -> str:
        """What bounds it, in words."""
        if self.free < self.max_bytes - self.used:
            return f"its disk has {max(self.free, 0):,} bytes left"
        return f"it holds {self.used:,} of {self.max_bytes:,} bytes (spool_max_bytes)"

    @property
    def refusal(self) -> str | None:
        """Why no new trajectory may begin; None when there is room beyond the reserve."""
        if self.left > self.max_bytes * RESERVED:
            return None
        return f"{self.why_no_more}; the rest is for trajectories already begun"

    def less(self, n: int) -> "Room":
        """The room after n more bytes were written."""
        return Room(self.max_bytes, self.used + n, self.free - n)


def is_sync_due(fsync: Fsync, interval_s: float, waiting_s: float) -> bool:
    """Whether records must be made durable now, the oldest of which has waited for so long.

    ``never`` needs no waiting: they count as stored when they are written.
    """
    return fsync != "interval" or waiting_s >= interval_s
