"""What became of every event, readable at any time."""

from dataclasses import dataclass
from threading import Lock
from typing import Literal, get_args


@dataclass(frozen=True, slots=True)
class Counters:
    """Events so far; ``accepted = delivered + failed + in_flight``.

    Attributes:
        accepted: Taken into the queue.
        delivered: Acknowledged by Kafka.
        dropped_full: Not taken, because the queue was full or their trajectory refused.
        rejected: Not taken, because they could not be recorded; see `Recorder.last_error`.
        failed: Taken, but given up: no acknowledgement in time, or refused by the broker.
        in_flight: Taken, outcome not known yet.
        fatal_errors: Errors after which the Kafka client can send nothing more.
        spooled: Those in flight that are on disk.
        refused: Trajectories that were not recorded, because there is no room for new ones.
        recovered: Events of processes that died, found in the spool and delivered; not in the rest.
        redacted: Values of which something was replaced; not events.
        redaction_errors: Values replaced because redaction failed; see `Recorder.last_error`.
    """

    accepted: int = 0
    delivered: int = 0
    dropped_full: int = 0
    rejected: int = 0
    failed: int = 0
    in_flight: int = 0
    fatal_errors: int = 0
    spooled: int = 0
    refused: int = 0
    recovered: int = 0
    redacted: int = 0
    redaction_errors: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What `Recorder.close` leaves behind.

    Attributes:
        undelivered: Events given up because the time to close had passed.
        spooled: Events on disk that a later process or `ropewalk spool drain` delivers.
    """

    delivered: int
    undelivered: int
    dropped: int
    rejected: int
    failed: int
    spooled: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is lost: every event was acknowledged by Kafka or is on disk.

        Where the disk does not outlive the service, ask for `spooled` too.
        """
        return not (self.undelivered or self.dropped or self.rejected or self.failed)

    def __repr__(self) -> str:
        told = {name: getattr(self, name) for name in self.__slots__}
        if not self.spooled:
            del told["spooled"]  # nothing to explain to who has no spool
        return f"DeliveryReport({', '.join(f'{name}={n}' for name, n in told.items())})"


Count = Literal[
    "accepted",
    "delivered",
    "dropped_full",
    "rejected",
    "failed",
    "fatal_errors",
    "spooled",
    "refused",
    "recovered",
    "redacted",
    "redaction_errors",
]


class Tally:
    """Counts from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[Count, int] = dict.fromkeys(get_args(Count), 0)

    def add(self, name: Count, n: int = 1, *, unspooled: int = 0) -> None:
        """Count `n` more, and as many fewer on disk, at once."""
        with self._lock:
            self._counts[name] += n
            self._counts["spooled"] -= unspooled

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
