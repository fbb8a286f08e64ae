"""A broker in memory that outlives its publishers, and spools over it."""

from collections import defaultdict
from pathlib import Path
from typing import Any, Self

from hypothesis import strategies as st

from ropewalk_producers import Delivery, Recorder, RecorderSettings
from ropewalk_producers.spool.format import Record
from ropewalk_producers.spool.publisher import SpoolPublisher
from ropewalk_producers.testing import MemoryPublisher
from ropewalk_schemas.codec import decode_event_with_models
from ropewalk_schemas.events import Reward

records = st.builds(
    Record,
    key=st.binary(max_size=20),
    value=st.binary(max_size=60),
    event_id=st.text(st.characters(codec="ascii"), max_size=10),
    at_ms=st.integers(0, 2**48),
)


class BrokerInMemory:
    """Switches, and the log that all publishers of it write to."""

    def __init__(self, *, reachable: bool = True) -> None:
        self.reachable = reachable
        self.refused: set[bytes] = set()
        self.log: list[tuple[bytes, bytes]] = []
        self.publishers: list[BrokerPublisher] = []

    def publisher(self) -> "BrokerPublisher":
        return BrokerPublisher(self)

    def comes_back(self) -> None:
        self.reachable = True
        for publisher in self.publishers:
            publisher.reachable = True
            publisher.flush(0)

    def fails(self, reason: str, *, lasting: bool = False) -> None:
        """What waits has failed: by a fatal error of the client, or its batch was refused."""
        for publisher in self.publishers:
            publisher.is_lasting = lasting
            publisher.fail(reason)


class BrokerPublisher(MemoryPublisher):
    """One connection."""

    def __init__(self, broker: BrokerInMemory) -> None:
        super().__init__(reachable=broker.reachable)
        self._broker = broker
        self.is_lasting = False
        broker.publishers.append(self)

    def reopened(self) -> Self:
        return type(self)(self._broker)

    def publish(self, key: bytes, value: bytes, event_id: str) -> None:
        if value in self._broker.refused:
            why = "Broker: Message size too large"
            self._listener.delivered(Delivery(key, value, event_id, None, None, why, lasting=True))
        else:
            super().publish(key, value, event_id)

    def fail(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, []
        for (key, value), event_id in waiting:
            failed = Delivery(key, value, event_id, None, None, reason, lasting=self.is_lasting)
            self._listener.delivered(failed)

    def _stored(self, record: Any, event_id: str) -> Delivery:
        self._broker.log.append((record.key, record.value))
        return super()._stored(record, event_id)


def spool_settings(folder: Path, **given: Any) -> RecorderSettings:
    return RecorderSettings(
        **{"project": "tests", "service": "tests", "durability": "spool",
           "spool_path": str(folder), **given}
    )  # fmt: skip


def spooling(broker: BrokerInMemory, folder: Path, **given: Any) -> Recorder:
    """A recorder with a spool in `folder` over a broker in memory."""
    on_delivery = given.pop("on_delivery", None)
    settings = spool_settings(folder, **given)
    publisher = SpoolPublisher(settings, broker.publisher())
    return Recorder(settings, publisher=publisher, on_delivery=on_delivery)


def seqs_by_writer(log: list[tuple[bytes, bytes]]) -> dict[tuple[str, str], list[int]]:
    """The seqs of each trajectory and writer, each where it first appears in the log."""
    found: dict[tuple[str, str], dict[int, None]] = defaultdict(dict)
    for _, value in log:
        event = decode_event_with_models(value)
        if not isinstance(event, Reward):
            found[event.trajectory_id, event.writer][event.seq] = None
    return {writer: list(seqs) for writer, seqs in found.items()}
