"""What became of every event, readable at any time."""

from dataclasses import dataclass
from threading import Lock
from typing import Literal


@dataclass(frozen=True, slots=True)
class Counters:
    """Events so far; ``accepted = delivered + failed + in_flight``.

    Attributes:
        accepted: Taken into the queue.
        delivered: Acknowledged by Kafka.
        dropped_full: Not taken, because the queue was full.
        rejected: Not taken, because they could not be recorded; see `Recorder.last_error`.
        failed: Taken, but given up: no acknowledgement in time, or refused by the broker.
        in_flight: Taken, outcome not known yet.
        fatal_errors: Errors after which the Kafka client can send nothing more.
    """

    accepted: int = 0
    delivered: int = 0
    dropped_full: int = 0
    rejected: int = 0
    failed: int = 0
    in_flight: int = 0
    fatal_errors: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What `Recorder.close` leaves behind.

    Attributes:
        undelivered: Events given up because the time to close had passed.
    """

    delivered: int
    undelivered: int
    dropped: int
    rejected: int
    failed: int

    @property
    def complete(self) -> bool:
        """Whether every event the agent recorded was acknowledged."""
        return not (self.undelivered or self.dropped or self.rejected or self.failed)


Count = Literal["accepted", "delivered", "dropped_full", "rejected", "failed", "fatal_errors"]


class Tally:
    """Counts from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[Count, int] = {
            "accepted": 0,
            "delivered": 0,
            "dropped_full": 0,
            "rejected": 0,
            "failed": 0,
            "fatal_errors": 0,
        }

    def add(self, name: Count, n: int = 1) -> None:
        """Count `n` more."""
        with self._lock:
            self._counts[name] += n

    @property
    def failed(self) -> int:
        """Events given up so far."""
        return self._counts["failed"]

    def read(self) -> Counters:
        """All counts as of one moment."""
        with self._lock:
            counts = dict(self._counts)
        in_flight = counts["accepted"] - counts["delivered"] - counts["failed"]
        return Counters(in_flight=in_flight, **counts)
