"""A topic of a test's own on a real Kafka, and recorders that send to it."""

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.support.recorder_contract import RecorderSite

from ropewalk_producers import Recorder, RecorderSettings
from ropewalk_schemas.topics import AGENT_EVENTS

NOBODY = "127.0.0.1:1"  # a port no broker listens on
Log = list[tuple[bytes, bytes, int]]


class KafkaSite(RecorderSite):
    """Where real events go."""

    def __init__(self, bootstrap_servers: str, topic: str, **config: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self.topic = topic
        self.made: list[Recorder] = []
        spec = NewTopic(topic, self.n_partitions, 1, config={**AGENT_EVENTS.config(), **config})
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        for made in admin.create_topics([spec]).values():
            made.result(30)

    def settings(self, *, reachable: bool = True, **given: Any) -> RecorderSettings:
        servers = self._bootstrap_servers if reachable else NOBODY
        return RecorderSettings(
            project="tests", service="tests", bootstrap_servers=servers, topic=self.topic, **given
        )

    def recorder(self, *, reachable: bool = True, queue: int = 1000, **options: Any) -> Recorder:
        settings = self.settings(reachable=reachable, queue_messages=queue)
        self.made.append(Recorder(settings, **options))
        return self.made[-1]

    def log(self, n: int) -> Log:
        found = self.read(lambda log: len(log) >= n, within_s=30)
        assert len(found) == n
        return found

    def read(self, is_enough: Callable[[Log], bool], *, within_s: float) -> Log:
        """The log as of when it is enough, or of a deadline."""
        consumer = Consumer({"bootstrap.servers": self._bootstrap_servers, "group.id": self.topic})
        found: Log = []
        try:
            consumer.assign([TopicPartition(self.topic, p, 0) for p in range(self.n_partitions)])
            deadline = time.monotonic() + within_s
            while not is_enough(found) and time.monotonic() < deadline:
                for message in consumer.consume(1000, 0.5):
                    assert message.error() is None
                    found.append(
                        (message.key() or b"", message.value() or b"", message.partition() or 0)
                    )
        finally:
            consumer.close()
        return sorted(found, key=lambda record: record[2])
