"""Which refused records were sent again: the log itself knows, by a header of each copy."""

from collections.abc import Iterable
from typing import NamedTuple

from ropewalk_deploy.audit.accounts import Place
from ropewalk_deploy.audit.quarantine import place_of, text_of
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.quarantine import Headers, Quarantined
from ropewalk_schemas.topics import AGENT_EVENTS, OUTCOMES

REPLAYED_HEADER = "ropewalk-replayed"
"""Names the place a record was sent again from; one more each time. The engine ignores it."""

SENDABLE = (AGENT_EVENTS.name, OUTCOMES.name)
"""Topics whose records can be sent again: what others say, not what our programs derive."""

# Clocks of brokers differ. What is read in vain costs only time.
_MARGIN_MS = 600_000


class Copy(NamedTuple):
    """A refused record as it was sent again: where, and when by the broker's clock."""

    place: Place
    at_ms: int


def origins_of(headers: Headers) -> list[Place]:
    """The places a record was sent again from, first one first; none if it is no copy."""
    values = (value for name, value in headers if name == REPLAYED_HEADER)
    return [place for value in values if (place := _place(value or b"")) is not None]


def _place(value: bytes) -> Place | None:
    topic, _, rest = value.decode("utf-8", "replace").partition("/")
    partition, _, offset = rest.partition("/")
    if not (partition.isdecimal() and offset.isdecimal()):
        return None  # anybody may write a header
    return Place(topic, int(partition), int(offset))


def copy_headers(refused: Quarantined) -> list[tuple[str, bytes | None]]:
    """The headers of a copy: those that came, and where it came from."""
    return [*refused.headers, (REPLAYED_HEADER, text_of(place_of(refused)).encode())]


def target_of(refused: Quarantined, n_partitions: int) -> int:
    """The partition a copy goes to: its key's, or the old one when it has no key."""
    if refused.key is None:
        return min(refused.partition, n_partitions - 1)
    return partition_of(refused.key, n_partitions)


class Copies:
    """The copies of some refused records, as far as the log was looked through.

    Args:
        scanner: Reads the logs.
        records: Nothing before these records is read, as copies come later.
    """

    def __init__(self, scanner: LogScanner, records: Iterable[Quarantined]) -> None:
        self._scanner = scanner
        self._found: dict[Place, Copy] = {}
        self._next: dict[tuple[str, int], int] = {}
        self._begins_ms: dict[tuple[str, int], int | None] = {}
        self.n_partitions: dict[str, int] = {}
        since: dict[str, int] = {}
        for record in records:
            if record.topic in SENDABLE:
                since[record.topic] = min(record.broker_ms, since.get(record.topic, 2**62))
        for topic, at_ms in since.items():
            self._prepare(topic, max(0, at_ms - _MARGIN_MS))

    def _prepare(self, topic: str, since_ms: int) -> None:
        partitions = self._scanner.partitions(topic)
        self.n_partitions[topic] = len(partitions)
        for p in partitions:
            start, end = self._scanner.bounds(topic, p)
            at = self._scanner.offset_at(topic, p, since_ms)
            self._next[topic, p] = end if at is None else max(at, start)
            self._begins_ms[topic, p] = self._first_ms(topic, p, start) if start else 0

    def _first_ms(self, topic: str, partition: int, start: int) -> int | None:
        """When the oldest record that is left was written; None if none is left."""
        first = next(iter(list(self._scanner.records(topic, partition, start, start + 1))), None)
        return None if first is None else first.timestamp_ms

    def look(self) -> None:
        """Read on to the end of the log as of now."""
        for (topic, partition), start in self._next.items():
            end = self._scanner.bounds(topic, partition).end
            for record in self._scanner.records(topic, partition, start, end):
                copy = Copy(Place(topic, partition, record.offset), record.timestamp_ms)
                for origin in origins_of(record.headers):
                    known = self._found.get(origin)
                    if known is None or known.at_ms <= copy.at_ms:
                        self._found[origin] = copy
            self._next[topic, partition] = max(start, end)

    def of(self, refused: Quarantined) -> Copy | None:
        """The newest copy of a record."""
        return self._found.get(place_of(refused))

    def reach_back(self, refused: Quarantined) -> bool:
        """Whether every copy there ever was is still in the log."""
        target = target_of(refused, self.n_partitions[refused.topic])
        begins_ms = self._begins_ms[refused.topic, target]
        return begins_ms is not None and begins_ms <= refused.quarantined_ms
