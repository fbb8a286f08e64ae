"""When what is buffered must go out. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """Flush at the first of three limits.

    Attributes:
        max_records: Records, at least 1.
        max_bytes: Bytes of record values, at least 1.
        max_age_s: How long a record may wait, on the monotonic clock.
    """

    max_records: int
    max_bytes: int
    max_age_s: float

    def due(self, *, records: int, size: int, opened_at: float, now: float) -> bool:
        """Whether a buffer of `records` and `size` bytes, opened at `opened_at`, goes out now."""
        if records == 0:
            return False
        full = records >= self.max_records or size >= self.max_bytes
        return full or now - opened_at >= self.max_age_s
