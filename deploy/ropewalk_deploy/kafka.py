"""The command's Kafka client: creating topics, and reading logs from begin to end."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ropewalk_deploy import config
from ropewalk_deploy.errors import CommandError, SettingError
from ropewalk_schemas.kafka_acls import ADVICE, denied
from ropewalk_schemas.kafka_security import is_refusal, no_answer, telling
from ropewalk_schemas.quarantine import Headers
from ropewalk_schemas.topics import CLIENT_MESSAGE_BYTES, TopicSpec

Answer = TypeVar("Answer")

# What a broker says while it or a topic is only just starting: asked again a little later.
STARTING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)
DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)
STARTED_WITHIN_S = 15.0
ANSWER_WITHIN_S = 10.0
DELETED_WITHIN_S = 60.0
LOOK_S = 2.0
OWN_PARTITION = -1  # where the key belongs
SCANNER_GROUP = "ropewalk-scanner"


class LogRecord(NamedTuple):
    """One record of a log."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Bounds(NamedTuple):
    """The first offset still there, and the next one to be written."""

    start: int
    end: int


def client_config(bootstrap_servers: str) -> dict[str, Any]:
    """Whom to talk to, and how, as the environment says; what fails is raised, not logged."""
    security = config.kafka_security().librdkafka()
    return {"bootstrap.servers": bootstrap_servers, **security, "log_level": 0}


def unreachable(
    bootstrap_servers: str, error: KafkaException, told: Sequence[str] = ()
) -> CommandError:
    """The error a person meets when the broker does not answer, or refuses; `told` says why."""
    why = telling([*told, error.args[0].str() if error.args else str(error)])
    kind = SettingError if is_refusal(why) else CommandError
    return kind(no_answer(bootstrap_servers, why))


def asked(bootstrap_servers: str, ask: Callable[[], Answer]) -> Answer:
    """What the broker answers; it is given time to start.

    Raises:
        CommandError: If it does not answer, or refuses.
    """
    until = time.monotonic() + STARTED_WITHIN_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in STARTING or time.monotonic() > until:
                raise unreachable(bootstrap_servers, error) from error
        time.sleep(0.1)


def greet(client: AdminClient | Consumer, told: Sequence[str]) -> set[str]:
    """The topics' names; asked in short turns, so that a refusal is told at once.

    Args:
        client: To ask.
        told: What its errors said, filled by its callback.

    Raises:
        KafkaException: If there is no answer in time.
    """
    until = time.monotonic() + ANSWER_WITHIN_S
    while True:
        try:
            return set(client.list_topics(timeout=LOOK_S).topics)
        except KafkaException:
            client.poll(0)  # here it says why
            if any(map(is_refusal, told)) or time.monotonic() > until:
                raise


def _listening(bootstrap_servers: str, told: list[str]) -> AdminClient:
    """A client that writes down what its errors say, as `greet` needs it."""
    callback: dict[str, Any] = {"error_cb": lambda error: told.append(error.str())}
    return AdminClient(client_config(bootstrap_servers) | callback)


def create_topics(bootstrap_servers: str, specs: Iterable[TopicSpec]) -> list[str]:
    """Create the topics that are missing; gives their names.

    Raises:
        CommandError: If the broker does not answer or refuses.
    """
    told: list[str] = []
    admin = _listening(bootstrap_servers, told)
    try:
        there = greet(admin, told)
        missing = [spec for spec in specs if spec.name not in there]
        if not missing:
            return []
        new = [
            NewTopic(spec.name, num_partitions=spec.partitions, config=spec.config())
            for spec in missing
        ]
        for name, future in admin.create_topics(new, operation_timeout=30).items():
            _created(name, future)
    except KafkaException as error:
        raise unreachable(bootstrap_servers, error, told) from error
    return [spec.name for spec in missing]


def delete_topics(bootstrap_servers: str, names: Iterable[str]) -> list[str]:
    """Delete those of the topics that are there, and wait until they are gone; gives their names.

    Raises:
        CommandError: If the broker does not answer, refuses, or does not get them done.
    """
    told: list[str] = []
    admin = _listening(bootstrap_servers, told)
    until = time.monotonic() + DELETED_WITHIN_S
    try:
        doomed = sorted(set(names) & greet(admin, told))
        if not doomed:
            return []
        for future in admin.delete_topics(doomed, operation_timeout=30).values():
            future.result()
        while left := sorted(set(doomed) & greet(admin, told)):
            if time.monotonic() > until:
                msg = f"the broker has not deleted {', '.join(left)}; run this again later"
                raise CommandError(msg)
            time.sleep(0.1)
    except KafkaException as error:
        raise unreachable(bootstrap_servers, error, told) from error
    return doomed


def delete_before(bootstrap_servers: str, topic: str, partition: int, offset: int) -> None:
    """Let a partition begin at an offset, as retention does.

    Raises:
        CommandError: If the broker does not answer or refuses.
    """
    admin = AdminClient(client_config(bootstrap_servers))
    at = TopicPartition(topic, partition, offset)
    try:
        admin.delete_records([at])[at].result()
    except KafkaException as error:
        raise unreachable(bootstrap_servers, error) from error


def _created(name: str, future: Any) -> None:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() in DENIED:
            raise SettingError(denied("Create", name, error.args[0].str())) from error
        raise


class LogScanner:
    """Reads whole partitions, outside of any group."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._is_known = False
        self._told: list[str] = []
        self._consumer = Consumer(
            {
                **client_config(bootstrap_servers),
                "error_cb": lambda error: self._told.append(error.str()),
                "group.id": SCANNER_GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": CLIENT_MESSAGE_BYTES,
                "fetch.max.bytes": CLIENT_MESSAGE_BYTES,
                "receive.message.max.bytes": CLIENT_MESSAGE_BYTES + 1024 * 1024,
                # What is read is there already; a fetch that waits delays the next partition.
                "fetch.wait.max.ms": 5,
            },
        )

    def __enter__(self) -> "LogScanner":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def _ask(self, ask: Callable[[], Answer]) -> Answer:
        if not self._is_known:
            try:
                greet(self._consumer, self._told)
            except KafkaException as error:
                raise unreachable(self._bootstrap_servers, error, self._told) from error
            self._is_known = True
        return asked(self._bootstrap_servers, ask)

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic.

        Raises:
            CommandError: If the topic does not exist or the broker does not answer.
        """
        found = self._ask(lambda: self._consumer.list_topics(topic, timeout=10).topics[topic])
        if found.error is not None:
            if found.error.code() in DENIED:
                raise SettingError(denied("Describe", topic, found.error.str()))
            msg = f"topic {topic!r} does not exist; create it with `ropewalk topics apply`"
            raise CommandError(msg)
        return sorted(found.partitions)

    def bounds(self, topic: str, partition: int) -> Bounds:
        """Where a partition begins and ends as of now."""
        at = TopicPartition(topic, partition)
        return Bounds(*self._ask(lambda: self._consumer.get_watermark_offsets(at, timeout=10)))

    def offset_at(self, topic: str, partition: int, at_ms: int) -> int | None:
        """The first offset written at or after a broker time; None if there is none."""
        at = [TopicPartition(topic, partition, at_ms)]
        found = self._ask(lambda: self._consumer.offsets_for_times(at, timeout=10))
        return found[0].offset if found[0].offset >= 0 else None

    def records(
        self, topic: str, partition: int, start: int | None = None, end: int | None = None
    ) -> Iterator[LogRecord]:
        """The records of ``[start, end)``, by default all there are as of now."""
        bounds = self.bounds(topic, partition)
        position = bounds.start if start is None else max(start, bounds.start)
        stop = bounds.end if end is None else min(end, bounds.end)
        if position >= stop:
            return
        self._consumer.assign([TopicPartition(topic, partition, position)])
        while position < stop:
            # Asked for many at once, it waits out its time even when there are some.
            first = self._consumer.consume(1, 0.05)
            for message in [*first, *self._consumer.consume(1000, 0.0)]:
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                        needed = f"Describe on group {SCANNER_GROUP}"
                        msg = f"Kafka does not allow us {needed}: {ADVICE}"
                        raise SettingError(msg)
                    if error.code() in DENIED:
                        raise SettingError(denied("Read", topic, error.str()))
                    raise unreachable(self._bootstrap_servers, KafkaException(error))
                record = _record(message)
                if record.offset < stop:
                    yield record
            at = self._consumer.position([TopicPartition(topic, partition)])[0].offset
            position = max(position, at)
        self._consumer.unassign()


def _record(message: Message) -> LogRecord:
    _, timestamp = message.timestamp()
    return LogRecord(
        message.partition() or 0,
        message.offset() or 0,
        timestamp,
        message.key(),
        message.value(),
        message.headers() or [],  # type: ignore[arg-type] # a list of pairs with bytes
    )


def _durably(bootstrap_servers: str) -> dict[str, Any]:
    """Settings of a producer whose records are there once, on every replica, where keys belong."""
    return {
        **client_config(bootstrap_servers),
        "enable.idempotence": True,
        "partitioner": "murmur2",
        "compression.type": "zstd",
        "message.max.bytes": CLIENT_MESSAGE_BYTES,
    }


def send_again(
    bootstrap_servers: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]
) -> list[int]:
    """Send records as a recorder would; durable when it returns. Gives their broker times in ms.

    Raises:
        CommandError: If not all were acknowledged.
    """
    failed: list[str] = []
    times_ms: list[int] = []

    def delivered(number: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error.str())
        else:
            times_ms[number] = message.timestamp()[1]

    producer = Producer(_durably(bootstrap_servers))
    for number, (key, value) in enumerate(records):
        times_ms.append(0)
        producer.produce(topic, value, key, on_delivery=partial(delivered, number))
        producer.poll(0)
    waiting = producer.flush(60)
    if failed and "authorization failed" in failed[0]:
        raise SettingError(denied("Write", topic, failed[0]))
    if failed or waiting:
        n_failed = len(failed) + waiting
        msg = f"{n_failed} of {len(times_ms)} records were not acknowledged: {failed[:1]}"
        raise CommandError(msg)
    return times_ms


def send_many(
    bootstrap_servers: str,
    topic: str,
    records: Iterable[tuple[bytes | None, bytes | None]],
    *,
    partition: int = OWN_PARTITION,
) -> int:
    """Send records as fast as the broker takes them; all are durable when it returns.

    Args:
        bootstrap_servers: Where to.
        topic: The topic.
        records: Keys and values.
        partition: Where all go; by default each goes where its key belongs.

    Returns:
        How many.

    Raises:
        CommandError: If not all were acknowledged.
    """
    failed: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error.str())

    producer = Producer(_durably(bootstrap_servers) | {"linger.ms": 20})
    n_sent = 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key, partition, on_delivery=delivered)
                break
            except BufferError:  # the queue is full: let some go
                producer.poll(0.05)
        n_sent += 1
        producer.poll(0)
    waiting = producer.flush(120)
    if failed or waiting:
        msg = f"{len(failed) + waiting} of {n_sent} records were not acknowledged: {failed[:1]}"
        raise CommandError(msg)
    return n_sent
