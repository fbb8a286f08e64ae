"""The port between reading a group's topics and owning their partitions."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from ropewalk_sinks.sink import TopicPartition


class Ownership(Protocol):
    """Who decides what owning partitions means; called while `TopicReader.poll` runs."""

    def assigned(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """These partitions are ours now; gives the next offset to store of each."""

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """These go to another process as soon as this returns."""

    def lost(self, partitions: Iterable[TopicPartition]) -> None:
        """These belong to another process already."""
