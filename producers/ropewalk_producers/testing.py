"""A recorder without Kafka, for tests of agent services: its events are kept in memory."""

from threading import RLock
from typing import Any, NamedTuple, Self

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.errors import QueueFullError, UnsendableError
from ropewalk_producers.publisher import Delivery, Listener
from ropewalk_producers.recorder import Recorder
from ropewalk_schemas.codec import decode_event_with_models
from ropewalk_schemas.events import LifeEvent, Reward
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.topics import AGENT_EVENTS


class Record(NamedTuple):
    """An event as it would lie in the log."""

    key: bytes
    value: bytes


class MemoryPublisher:
    """A `Publisher` whose log is `records`, acknowledged at once.

    Args:
        capacity: Events that may wait; more are refused. May be set later.
        reachable: Whether the broker answers; while it does not, events wait. May be set later.
    """

    def __init__(self, *, capacity: int = 100_000, reachable: bool = True) -> None:
        self.records: list[Record] = []
        self.reachable = reachable
        self.capacity = capacity
        self._waiting: list[tuple[Record, str]] = []
        self._offsets: dict[int, int] = {}
        self._closed = False
        self._lock = RLock()

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of outcomes, in the thread that publishes."""
        self._listener = listener

    def publish(self, key: bytes, value: bytes, event_id: str) -> None:
        """Queue an event, and store all that wait when the broker is reachable."""
        with self._lock:
            if self._closed:
                message = "the publisher is closed"
                raise UnsendableError(message)
            if len(self._waiting) >= self.capacity:
                message = "the queue is full; the broker is away or too slow"
                raise QueueFullError(message)
            self._waiting.append((Record(key, value), event_id))
            self.flush(0)

    def flush(self, timeout: float) -> None:
        """Store what waits, when the broker is reachable."""
        with self._lock:
            while self.reachable and self._waiting:
                record, event_id = self._waiting.pop(0)
                self._listener.delivered(self._stored(record, event_id))

    def fail(self, reason: str) -> None:
        """Give up everything that waits, as a broker does that stayed away too long."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            for (key, value), event_id in waiting:
                self._listener.delivered(Delivery(key, value, event_id, None, None, reason))

    def close(self) -> None:
        """Give up what waits."""
        self._closed = True
        self.fail("given up when closing")

    def reopened(self) -> Self:
        """An empty one: a forked child's memory is its own."""
        return type(self)(capacity=self.capacity, reachable=self.reachable)

    def _stored(self, record: Record, event_id: str) -> Delivery:
        partition = partition_of(record.key, AGENT_EVENTS.partitions)
        offset = self._offsets.get(partition, 0)
        self._offsets[partition] = offset + 1
        self.records.append(record)
        return Delivery(record.key, record.value, event_id, partition, offset, None)


class MemoryRecorder(Recorder):
    """A `Recorder` that keeps its events; takes the same arguments."""

    def __init__(
        self,
        settings: RecorderSettings | None = None,
        *,
        publisher: MemoryPublisher | None = None,
        **options: Any,
    ) -> None:
        self._memory = publisher or MemoryPublisher()
        settings = settings or RecorderSettings(project="tests", service="tests")
        super().__init__(settings, publisher=self._memory, **options)

    @property
    def records(self) -> list[Record]:
        """Keys and values as they would lie in the log."""
        return list(self._memory.records)

    @property
    def events(self) -> list[LifeEvent | Reward]:
        """The same, decoded."""
        return [decode_event_with_models(record.value) for record in self._memory.records]
