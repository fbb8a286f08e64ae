from typing import Any

import pytest
from tests.support.recorder_contract import RecorderContract, RecorderSite

from ropewalk_producers.testing import MemoryPublisher, MemoryRecorder
from ropewalk_schemas.partitioning import partition_of


class MemorySite(RecorderSite):
    def __init__(self) -> None:
        self._publisher = MemoryPublisher()

    def recorder(
        self, *, reachable: bool = True, queue: int = 1000, **options: Any
    ) -> MemoryRecorder:
        self._publisher = MemoryPublisher(capacity=queue, reachable=reachable)
        return MemoryRecorder(publisher=self._publisher, **options)

    def log(self, n: int) -> list[tuple[bytes, bytes, int]]:
        records = self._publisher.records
        assert len(records) == n
        return [(key, value, partition_of(key, self.n_partitions)) for key, value in records]


@pytest.fixture
def site() -> MemorySite:
    return MemorySite()


class TestMemoryRecorder(RecorderContract):
    """The contract, on the double."""
