"""The benchmark's Kafka: its topics, its input, and what the contenders left in it."""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from ropewalk_deploy.kafka import LogScanner, create_topics
from ropewalk_deploy.stack.paths import layout_of
from ropewalk_schemas.partitioning import LIBRDKAFKA_PARTITIONER
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.published import decode_published
from ropewalk_schemas.topics import AGENT_EVENTS, PROGRESS, TRAJECTORIES, TopicSpec

DELETED_WITHIN_S = 30.0
QUIET = 2  # librdkafka tells only what is critical; failures are raised

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Input(NamedTuple):
    """What was produced into `agent-events`; `on_disk` is compressed."""

    n_events: int
    n_trajectories: int
    n_bytes: int
    on_disk: int


class Published(NamedTuple):
    """What one contender left in its output topic; `on_disk` is compressed."""

    hashes: list[str]
    n_bytes: int
    on_disk: int


class Broker:
    """The local Kafka of a home.

    Args:
        bootstrap_servers: Where it answers.
        home: Whose data directory holds its logs.
    """

    def __init__(self, bootstrap_servers: str, home: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._data = layout_of(home).kafka / "data"
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": QUIET})

    def fresh(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics, deleting those that are there."""
        specs = list(specs)
        self.delete(spec.name for spec in specs)
        create_topics(self.bootstrap_servers, specs)

    def delete(self, names: Iterable[str]) -> None:
        """Delete those of the topics that are there, and wait until they are gone."""
        gone = set(names)
        there = sorted(gone & set(self._admin.list_topics(timeout=10).topics))
        for future in self._admin.delete_topics(there).values() if there else ():
            future.result(30)
        deadline = time.monotonic() + DELETED_WITHIN_S
        while gone & set(self._admin.list_topics(timeout=10).topics):
            if time.monotonic() > deadline:
                msg = f"topics {there} are still there {DELETED_WITHIN_S:.0f} s after deletion"
                raise TimeoutError(msg)
            time.sleep(0.05)

    def holds_records(self, names: Iterable[str]) -> list[str]:
        """Those of the topics that exist and are not empty."""
        there = set(self._admin.list_topics(timeout=10).topics)
        return [name for name in names if name in there and self.n_records(name)]

    def produce(self, records: Iterable[tuple[bytes, bytes]]) -> Input:
        """Fill `agent-events` as a recorder would; durable when it returns."""
        failed: list[str] = []
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "enable.idempotence": True,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "compression.type": "zstd",
                "linger.ms": 20,
                "log_level": QUIET,
                "on_delivery": lambda error, _: failed.append(str(error)) if error else None,
            }
        )
        n_events = n_bytes = 0
        keys: set[bytes] = set()
        for key, value in records:
            while True:
                try:
                    producer.produce(AGENT_EVENTS.name, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
            producer.poll(0)
            n_events, n_bytes = n_events + 1, n_bytes + len(value)
            keys.add(key)
        waiting = producer.flush(120)
        if waiting or failed:
            msg = f"{waiting + len(failed)} of {n_events} events were not acknowledged {failed[:1]}"
            raise RuntimeError(msg)
        return Input(n_events, len(keys), n_bytes, self.on_disk(AGENT_EVENTS.name))

    def n_records(self, topic: str) -> int:
        """How many records a topic holds."""
        return self.end(topic) - self._offsets(topic, _EARLIEST)

    def end(self, topic: str) -> int:
        """The sum of a topic's next offsets; one request, cheap enough to poll."""
        return self._offsets(topic, _LATEST)

    def _offsets(self, topic: str, at: OffsetSpec) -> int:
        asked = {TopicPartition(topic, p): at for p in range(AGENT_EVENTS.partitions)}
        return sum(future.result(10).offset for future in self._admin.list_offsets(asked).values())

    def on_disk(self, topic: str) -> int:
        """Bytes of a topic's log segments."""
        files = self._data.glob(f"{topic}-[0-9]*/*.log")
        return sum(file.stat().st_size for file in files)

    def published(self, topic: str) -> Published:
        """The content hashes of all trajectories of a topic, and its bytes."""
        hashes: list[str] = []
        n_bytes = 0
        with LogScanner(self.bootstrap_servers) as scanner:
            for partition in scanner.partitions(topic):
                for record in scanner.records(topic, partition):
                    value = record.value or b""
                    row = decode_published(value)
                    hashes.append(getattr(row, "content_hash", "not a trajectory"))
                    n_bytes += len(value)
        return Published(hashes, n_bytes, self.on_disk(topic))

    def accounted_events(self) -> int:
        """Events with a fate, by the worker's newest accounts; zero while one is missing."""
        newest: dict[int, Progress] = {}
        with LogScanner(self.bootstrap_servers) as scanner:
            for partition in range(PROGRESS.partitions):
                for record in scanner.records(PROGRESS.name, partition):
                    if record.key == str(partition).encode() and record.value:
                        newest[partition] = Progress.model_validate_json(record.value)
        return sum(progress.counts.assembled for progress in newest.values())


def output_topic(name: str) -> TopicSpec:
    """A topic like `trajectories`, under another name."""
    return replace(TRAJECTORIES, name=name)
