"""The port between the Kafka runner and a sink: what a sink may assume and must promise."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from ropewalk_schemas.quarantine import Headers, Quarantined


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class SourceRecord(NamedTuple):
    """One record as the log holds it; `timestamp_ms` is the broker's append time."""

    at: TopicPartition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


Refuse = Callable[[Sequence[Quarantined]], None]
"""Writes records to quarantine; they are durable there when it returns, else it raises."""


class Sink(Protocol):
    """Where final rows go. The authoritative offsets live with the data, not in Kafka.

    One thread calls a sink. Any exception ends the process; a restart goes on from `claim`.
    """

    name: str
    counts: Counter[str]
    """What became of records so far: `rows`, `duplicates`, `conflicts`, `refused`, `erased`."""

    def claim(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Take these partitions over and say from which offset each goes on (0 if never seen).

        After it returns, no earlier owner can write to them. Unfinished work of an earlier owner
        is completed or undone.
        """

    def release(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are no longer ours: forget what is buffered for them, unwritten."""

    def add(self, records: Sequence[SourceRecord]) -> None:
        """Buffer records, in order per partition. Nothing is durable yet."""

    def due(self, now: float) -> bool:
        """Whether what is buffered must be flushed at `now` (monotonic seconds)."""

    def flush(self, refuse: Refuse) -> dict[TopicPartition, int]:
        """Make everything buffered durable, and give the next offset of each partition written.

        What conflicts with rows already there goes to `refuse` first. Writing the same records
        twice leaves one copy. On any error nothing of the batch counts as written.

        Raises:
            FencedError: If another process took a partition over.
        """

    def close(self) -> None:
        """Release what the sink holds; buffered records stay unwritten."""
