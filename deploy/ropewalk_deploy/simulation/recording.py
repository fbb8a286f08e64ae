"""A publisher between the recorder and Kafka that keeps the ledger, and sends as it is told."""

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Self

from ropewalk_deploy.simulation.ledger import LedgerWriter
from ropewalk_deploy.simulation.ledger_lines import Ack, intent_of
from ropewalk_producers.errors import QueueFullError, UnsendableError
from ropewalk_producers.publisher import Delivery, Listener, Publisher

MAX_DELAY_EVENTS = 50


@dataclass(frozen=True, slots=True)
class Unruly:
    """What goes wrong on the way to Kafka; see `SimulationOptions`."""

    duplicates: float = 0.0
    lost: float = 0.0
    reordered: float = 0.0


class WitnessedPublisher:
    """Writes each event's intent before it is sent, and its acknowledgement after.

    A fraction of events is sent a second time, byte for byte, up to 50 events later; the recorder
    hears of the first copy only. A fraction is refused, as by a queue that is full. All events of
    a fraction of writers are held back until as many others were sent, each writer's in order.
    """

    def __init__(
        self, inner: Publisher, ledger: LedgerWriter, *, rng: Random, unruly: Unruly
    ) -> None:
        self._inner, self._ledger = inner, ledger
        self._rng, self._unruly = rng, unruly
        self._late: dict[str | None, int] = {}
        self._held: deque[tuple[int, bytes, bytes, str]] = deque()
        self._n_sent = 0
        self._again: deque[tuple[int, bytes, bytes, str]] = deque()
        # How often an event that is sent twice was heard of; its first copy is heard of first.
        self._heard: dict[str, int] = {}
        self._listener: Listener | None = None

    def listen(self, listener: Listener) -> None:
        """As `Publisher`."""
        self._listener = listener
        self._inner.listen(Listener(delivered=self._delivered, failing=listener.failing))

    def publish(self, key: bytes, value: bytes, event_id: str) -> None:
        """As `Publisher`."""
        intent = intent_of(value)
        self._ledger.write(intent)
        if self._unruly.lost and self._rng.random() < self._unruly.lost:
            msg = "the simulation has no room for this event"
            raise QueueFullError(msg)
        self._n_sent += 1
        while self._held and self._held[0][0] <= self._n_sent:
            self._send(*self._held.popleft()[1:])
        if intent.writer not in self._late:
            share = self._unruly.reordered
            is_late = share and self._rng.random() < share
            self._late[intent.writer] = MAX_DELAY_EVENTS if is_late else 0
        if delay := self._late[intent.writer]:
            self._held.append((self._n_sent + delay, key, value, event_id))
        else:
            self._send(key, value, event_id)

    def release(self) -> None:
        """Send what is held back."""
        while self._held:
            self._send(*self._held.popleft()[1:])

    def _send(self, key: bytes, value: bytes, event_id: str) -> None:
        again = self._rng.random() < self._unruly.duplicates
        if again:
            self._heard[event_id] = 0
        self._inner.publish(key, value, event_id)
        if again:
            due = self._n_sent + self._rng.randrange(MAX_DELAY_EVENTS)
            self._again.append((due, key, value, event_id))
        while self._again and self._again[0][0] <= self._n_sent:
            self._send_again()

    def _send_again(self) -> None:
        _, key, value, event_id = self._again.popleft()
        try:
            self._inner.publish(key, value, event_id)
        except (QueueFullError, UnsendableError):
            return  # nobody waits for this copy

    def flush(self, timeout: float) -> None:
        """As `Publisher`."""
        self.release()
        while self._again:
            self._send_again()
        self._inner.flush(timeout)

    def close(self) -> None:
        """As `Publisher`."""
        self._inner.close()

    def reopened(self) -> Self:
        """Simulated processes are started afresh, never forked."""
        msg = "a simulated process does not fork"
        raise NotImplementedError(msg)

    def _delivered(self, delivery: Delivery) -> None:
        if delivery.error is None:
            place = (delivery.partition or 0, delivery.offset or 0)
            self._ledger.acknowledge(Ack(delivery.event_id, *place, delivery.at_ms))
        if self._is_first(delivery.event_id) and self._listener is not None:
            self._listener.delivered(delivery)

    def _is_first(self, event_id: str) -> bool:
        heard = self._heard.get(event_id)
        if heard is not None:
            self._heard[event_id] = heard + 1
        return not heard
