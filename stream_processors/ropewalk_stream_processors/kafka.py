"""The worker's Kafka client: publishing, reading accounts back, describing topics."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from ropewalk_schemas.kafka_acls import Need, refusal
from ropewalk_schemas.kafka_security import KafkaSecurity, is_refusal, no_answer, telling
from ropewalk_schemas.topics import CHUNKS, CLIENT_MESSAGE_BYTES, PROGRESS
from ropewalk_stream_processors.checks import READER_GROUP, TopicState
from ropewalk_stream_processors.errors import PublishError, SettingError, WorkerError

CLIENT_LOG = logging.getLogger("librdkafka")

# What a broker says while it or a topic is only just starting: asked again a little later.
STARTING = frozenset({KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION})
STARTED_WITHIN_S = 15.0
ANSWER_WITHIN_S = 10.0
LOOK_S = 2.0
OPEN = KafkaSecurity()


class Publisher:
    """Writes outputs, ticks, settings and accounts; durable once `flush` returned.

    Args:
        bootstrap_servers: Where the broker is.
        timeout_s: After this long without an acknowledgement publishing has failed.
        security: TLS and SASL.
    """

    def __init__(
        self, bootstrap_servers: str, *, timeout_s: float, security: KafkaSecurity = OPEN
    ) -> None:
        self._timeout_s = timeout_s
        self._failed: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                **security.librdkafka(),
                "client.id": "ropewalk-worker",
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "zstd",
                "compression.level": 1,
                "linger.ms": 20,
                "message.max.bytes": CLIENT_MESSAGE_BYTES,
                "queue.buffering.max.kbytes": 4 * CLIENT_MESSAGE_BYTES // 1024,
                "delivery.timeout.ms": int(timeout_s * 1000),
                "on_delivery": self._delivered,
            },
            logger=CLIENT_LOG,
        )

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = error

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        """Hand one record over; waits while the queue is full.

        Raises:
            PublishError: If a record before this one could not be delivered.
        """
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=list(headers))
            except BufferError:
                self._producer.poll(0.05)
                self.check()
            else:
                return

    def check(self) -> None:
        """Take delivery reports in.

        Raises:
            PublishError: If a record could not be delivered.
        """
        self._producer.poll(0)
        if self._failed is not None:
            msg = (
                f"an output could not be delivered: {self._failed.str()}; nothing is lost, a "
                "restart replays it. Check the broker and ROPEWALK_BOOTSTRAP_SERVERS"
            )
            raise PublishError(msg)

    def flush(self) -> None:
        """Wait until everything sent is durable.

        Raises:
            PublishError: If something is not.
        """
        waiting = self._producer.flush(self._timeout_s)
        self.check()
        if waiting:
            msg = f"{waiting} outputs were not acknowledged within {self._timeout_s:.0f} s"
            raise PublishError(msg)


class GroupBroker:
    """What a broker says of one topic and of the group that reads it."""

    def __init__(
        self, bootstrap_servers: str, topic: str, group: str, security: KafkaSecurity = OPEN
    ) -> None:
        self._servers, self._topic, self._group = bootstrap_servers, topic, group
        self._admin = AdminClient(
            {"bootstrap.servers": bootstrap_servers, **security.librdkafka(), "log_level": 0}
        )

    def topic_id(self) -> str | None:
        """Which topic has the name now: one made anew has another id; None if there is none.

        Raises:
            WorkerError: If the broker does not answer.
        """
        try:
            asked = self._admin.describe_topics(
                TopicCollection([self._topic]), request_timeout=ANSWER_WITHIN_S
            )
            return str(asked[self._topic].result().topic_id)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise unreachable(self._servers, error, []) from error

    def n_owned(self) -> int:
        """How many partitions the members of the group own.

        Raises:
            WorkerError: If the broker does not answer.
        """
        try:
            asked = self._admin.describe_consumer_groups(
                [self._group], request_timeout=ANSWER_WITHIN_S
            )
            members = asked[self._group].result().members
        except KafkaException as error:
            raise unreachable(self._servers, error, []) from error
        return sum(len(member.assignment.topic_partitions) for member in members)


def describe_topics(
    bootstrap_servers: str,
    names: Iterable[str],
    security: KafkaSecurity = OPEN,
    needs: Sequence[Need] = (),
) -> dict[str, TopicState]:
    """Partitions and settings of those of the topics that exist.

    Raises:
        SettingError: If the broker refuses who we say we are, or does not allow what we need.
        WorkerError: If the broker does not answer.
    """
    told: list[str] = []
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        **security.librdkafka(),
        "error_cb": lambda error: told.append(error.str()),
        "log_level": 0,
    }
    admin = AdminClient(config)
    try:
        found = _topics(admin, told)
        _check_allowed(admin, needs)
        there = [name for name in names if name in found]
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
        futures = admin.describe_configs(resources, request_timeout=10)
        configs = {resource.name: future.result() for resource, future in futures.items()}
    except KafkaException as error:
        raise unreachable(bootstrap_servers, error, told) from error
    return {name: TopicState(len(found[name].partitions), _plain(configs[name])) for name in there}


def _check_allowed(admin: AdminClient, needs: Sequence[Need]) -> None:
    names: dict[str, list[str]] = {"topic": [], "group": []}
    for need in needs:
        names[need.kind].append(need.name)
    if not needs:
        return
    asking: dict[str, Any] = {"include_authorized_operations": True, "request_timeout": 10}
    described = {
        "topic": admin.describe_topics(TopicCollection(names["topic"]), **asking),
        "group": admin.describe_consumer_groups(names["group"], **asking),
    }
    problem = refusal(needs, described)
    if problem is not None:
        raise SettingError(problem)


def _topics(admin: AdminClient, told: Sequence[str]) -> Mapping[str, Any]:
    """All topics; asked in short turns, so that a refusal is told at once."""
    until = time.monotonic() + ANSWER_WITHIN_S
    while True:
        try:
            return admin.list_topics(timeout=LOOK_S).topics
        except KafkaException:
            admin.poll(0)  # here it says why
            if any(map(is_refusal, told)) or time.monotonic() > until:
                raise


def _plain(config: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry.value for name, entry in config.items()}


def unreachable(
    bootstrap_servers: str, error: KafkaException, told: Sequence[str] = ()
) -> WorkerError:
    """The error a person meets when the broker does not answer, or refuses; `told` says why."""
    why = telling([*told, error.args[0].str() if error.args else str(error)])
    kind = SettingError if is_refusal(why) else WorkerError
    return kind(no_answer(bootstrap_servers, why))


class LogReader:
    """Reads offsets and short topics back, outside of any group."""

    def __init__(self, bootstrap_servers: str, security: KafkaSecurity = OPEN) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                **security.librdkafka(),
                "group.id": READER_GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": CLIENT_MESSAGE_BYTES,
                "fetch.max.bytes": CLIENT_MESSAGE_BYTES,
                "receive.message.max.bytes": CLIENT_MESSAGE_BYTES + 1024 * 1024,
                "fetch.wait.max.ms": 50,
                "log_level": 0,  # what fails is raised
            },
        )

    def __enter__(self) -> "LogReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset still there, and the next one to be written."""
        at = TopicPartition(topic, partition)
        until = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(at, timeout=10)
            except KafkaException as error:
                if error.args[0].code() not in STARTING or time.monotonic() > until:
                    raise unreachable(self._bootstrap_servers, error) from error
                time.sleep(0.1)
            else:
                return int(low), int(high)

    def records(self, topic: str, partition: int, *, batch: int = 1000) -> Iterator[Message]:
        """The records of a partition, from its begin to its end as of now; `batch` in memory."""
        low, high = self.bounds(topic, partition)
        if high <= low:
            return
        self._consumer.assign([TopicPartition(topic, partition, low)])
        position = low
        while position < high:
            # A long timeout would be waited out at the end of a partition.
            for message in self._consumer.consume(batch, 0.05):
                if message.error():
                    raise unreachable(self._bootstrap_servers, KafkaException(message.error()))
                yield message
            at = self._consumer.position([TopicPartition(topic, partition)])[0].offset
            position = max(position, at)
        self._consumer.unassign()


def progress_records(
    reader: LogReader, partition: int
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Key and value of every account record of a partition."""
    for message in reader.records(PROGRESS.name, partition):
        yield message.key(), message.value()


def chunk_records(reader: LogReader, partition: int) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Key and value of every chunk of a partition; they are large, so few at a time."""
    for message in reader.records(CHUNKS.name, partition, batch=16):
        yield message.key(), message.value()
