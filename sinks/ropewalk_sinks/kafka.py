"""Reading topics from offsets that somebody else keeps, and writing to quarantine."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection
from confluent_kafka import TopicPartition as Assigned
from confluent_kafka.admin import AdminClient

from ropewalk_schemas.kafka_acls import Need, group, refusal, topics
from ropewalk_schemas.kafka_security import advice, is_refusal, telling
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.config import SinkSettings
from ropewalk_sinks.errors import (
    ConfigError,
    MissingTopicError,
    QuarantineError,
    SinkError,
    UnreachableError,
)
from ropewalk_sinks.kafka_config import (
    QUARANTINE_WITHIN_S,
    client_config,
    consumer_config,
    producer_config,
)
from ropewalk_sinks.ownership import Ownership
from ropewalk_sinks.sink import SourceRecord, TopicPartition
from ropewalk_sinks.starting import deleted, start_offset

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 10.0
COMPLAIN_EVERY_S = 10.0
LOOK_S = 2.0


def require_topics(
    settings: SinkSettings,
    reads: Iterable[str],
    writes: Iterable[str] = (),
    *,
    member_of: str | None = None,
) -> None:
    """Check that the broker answers, knows us, has the topics and lets us at them.

    Raises:
        ConfigError: If the broker refuses who we say we are, or what we need.
        UnreachableError: If no broker answers.
        MissingTopicError: Naming the topics.
    """
    needs = [*topics(reads, "Read"), *topics(writes, "Write")]
    names = {need.name for need in needs}
    missing = sorted(names - _topics(settings))
    _check_allowed(settings, [*needs, *([group(member_of)] if member_of else [])])
    if missing:
        message = (
            f"topic {', '.join(missing)} is not on {settings.bootstrap_servers}: "
            "run `ropewalk topics apply`, then start again"
        )
        raise MissingTopicError(message)


def _check_allowed(settings: SinkSettings, needs: Sequence[Need]) -> None:
    client = AdminClient(client_config(settings))
    asking: dict[str, Any] = {"include_authorized_operations": True, "request_timeout": 10}
    names = sorted({need.name for need in needs if need.kind == "topic"})
    groups = [need.name for need in needs if need.kind == "group"]
    described = {
        "topic": client.describe_topics(TopicCollection(names), **asking),
        "group": client.describe_consumer_groups(groups, **asking) if groups else {},
    }
    problem = refusal(needs, described)
    if problem is not None:
        raise ConfigError(problem)


def _topics(settings: SinkSettings) -> set[str]:
    """The names of all topics; asked in short turns, so that a refusal is told at once."""
    told: list[str] = []
    listening: dict[str, Any] = {"error_cb": lambda error: told.append(error.str())}
    client = AdminClient(client_config(settings) | listening)
    until = time.monotonic() + ANSWER_WITHIN_S
    while True:
        try:
            return set(client.list_topics(timeout=LOOK_S).topics)
        except KafkaException as error:
            client.poll(0)  # here it says why
            if any(map(is_refusal, told)) or time.monotonic() > until:
                raise _unreachable(settings.bootstrap_servers, [*told, _text(error)]) from error


def _unreachable(servers: str, told: list[str]) -> SinkError:
    why = telling(told)
    if is_refusal(why):
        return ConfigError(f"Kafka at {servers} refuses us ({why}): {advice(why)}")
    look = advice(why) or "`ropewalk up` starts a local one"
    message = (
        f"no Kafka broker answers at {servers} (settings ROPEWALK_BOOTSTRAP_SERVERS, "
        f"ROPEWALK_KAFKA_SECURITY_PROTOCOL): {why}; {look}"
    )
    return UnreachableError(message)


class TopicReader:
    """A member of a consumer group that reads from the offsets its owner gives.

    Everything happens inside `poll` and `close`, on the caller's thread; so nothing of a partition
    arrives after it was revoked.
    """

    def __init__(
        self, settings: SinkSettings, group: str, topics: Sequence[str], *, owner: Ownership
    ) -> None:
        self._owner = owner
        self._servers = settings.bootstrap_servers
        self._accept_deleted = settings.accept_deleted_records
        self._positions: dict[TopicPartition, int] = {}
        self._complained_at = float("-inf")
        config = consumer_config(settings, group)
        self._consumer = Consumer({**config, "error_cb": self._complain, "on_commit": _on_commit})
        self._consumer.subscribe(
            list(topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, timeout_s: float) -> SourceRecord | None:
        """The next record, or None when there was none in time.

        Raises:
            DeletedRecordsError: If the next record to store is not in the log.
            MissingTopicError: If a topic was deleted.
            SinkError: What the owner raised.
        """
        message = self._consumer.poll(timeout_s)
        if message is None:
            return None
        error = message.error()
        if error is not None:
            self._on_error(error, message)
            return None
        record = _to_record(message)
        self._positions[record.at] = record.offset + 1
        return record

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Show progress to those who watch the group in Kafka; nothing depends on it."""
        marks = [Assigned(*at, offset) for at, offset in offsets.items() if at in self._positions]
        try:
            if marks:
                self._consumer.commit(offsets=marks, asynchronous=True)
        except KafkaException as error:
            log.warning("commit_failed error=%r", _text(error))

    def lag(self) -> int:
        """Records in the log and not read yet, as far as the last fetches told."""
        behind = 0
        for at, position in self._positions.items():
            marks = self._consumer.get_watermark_offsets(Assigned(*at), cached=True)
            behind += max(0, marks[1] - position) if marks else 0
        return behind

    def close(self) -> None:
        """Leave the group; what is still owned is revoked first."""
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, assigned: list[Assigned]) -> None:
        claimed = self._owner.assigned(_names(assigned))
        starts = {at: self._start(at, offset) for at, offset in claimed.items()}
        self._positions.update(starts)
        consumer.incremental_assign([Assigned(*at, offset) for at, offset in starts.items()])
        for at, offset in starts.items():
            log.info("assigned topic=%s partition=%d offset=%d", *at, offset)

    def _on_revoke(self, consumer: Consumer, revoked: list[Assigned]) -> None:
        self._owner.revoked(_names(revoked))
        self._forget(consumer, revoked)

    def _on_lost(self, consumer: Consumer, lost: list[Assigned]) -> None:
        self._owner.lost(_names(lost))
        self._forget(consumer, lost)

    def _forget(self, consumer: Consumer, gone: list[Assigned]) -> None:
        consumer.incremental_unassign(gone)
        for at in _names(gone):
            self._positions.pop(at, None)
            log.info("released topic=%s partition=%d", *at)

    def _start(self, at: TopicPartition, claimed: int) -> int:
        low, high = self._watermarks(at)
        if claimed < low and self._accept_deleted:
            log.error("accepted %r", deleted(at, claimed, low=low))
            return low
        return start_offset(at, claimed, low=low, high=high)

    def _watermarks(self, at: TopicPartition) -> tuple[int, int]:
        """The first offset in the log, and the next one."""
        detail = "no answer in time"
        try:
            found = self._consumer.get_watermark_offsets(Assigned(*at), timeout=ANSWER_WITHIN_S)
            if found is not None:
                return found
        except KafkaException as error:
            detail = _text(error)
        message = f"{self._servers} does not say where {at.topic}[{at.partition}] begins: {detail}"
        raise UnreachableError(message)

    def _on_error(self, error: KafkaError, message: Message) -> None:
        code = error.code()
        if code == KafkaError._AUTO_OFFSET_RESET:
            at = TopicPartition(message.topic() or "", message.partition() or 0)
            low, high = self._watermarks(at)
            start_offset(at, self._positions.get(at, 0), low=low, high=high)
        if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            text = f"topic {message.topic()} is gone from {self._servers}: {error.str()}"
            raise MissingTopicError(text)
        if error.fatal():
            text = f"the Kafka client cannot go on: {error.str()}"
            raise SinkError(text)
        self._complain(error)

    def _complain(self, error: KafkaError) -> None:
        """Say that the broker is in trouble; the client goes on trying by itself."""
        if time.monotonic() - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = time.monotonic()
            log.warning("broker_trouble servers=%s error=%r", self._servers, error.str())


class QuarantineWriter:
    """Writes refused records to the quarantine topic."""

    def __init__(self, settings: SinkSettings) -> None:
        self._topic = settings.topics.quarantine
        self._producer = Producer(producer_config(settings))

    def __call__(self, refused: Sequence[Quarantined]) -> None:
        """Write records; all are on every in-sync replica when it returns.

        Raises:
            QuarantineError: If one of them is not.
        """
        errors: list[KafkaError | None] = []
        try:
            for record in refused:
                self._producer.produce(
                    self._topic,
                    value=record.value,
                    key=record.key,
                    headers=list[tuple[str, Any]](record.to_headers()),
                    on_delivery=lambda error, _: errors.append(error),
                )
            self._producer.flush(QUARANTINE_WITHIN_S)
        except (BufferError, KafkaException) as error:
            raise QuarantineError(self._failure(len(refused), str(error))) from error
        failed = [error.str() for error in errors if error is not None]
        n_missing = len(refused) - len(errors) + len(failed)
        if n_missing:
            raise QuarantineError(self._failure(n_missing, (*failed, "no answer in time")[0]))

    def _failure(self, n_missing: int, reason: str) -> str:
        return (
            f"{n_missing} refused records could not be written to topic {self._topic}: {reason}; "
            "their batch was not stored and comes again at the next start"
        )


def _on_commit(error: KafkaError | None, _: list[Assigned]) -> None:
    if error is not None:
        log.warning("commit_failed error=%r", error.str())


def _to_record(message: Message) -> SourceRecord:
    headers: Any = message.headers() or []
    return SourceRecord(
        at=TopicPartition(message.topic() or "", message.partition() or 0),
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=[(name, _bytes(value)) for name, value in headers],
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _names(partitions: Iterable[Assigned]) -> list[TopicPartition]:
    return [TopicPartition(given.topic, given.partition) for given in partitions]


def _text(error: KafkaException) -> str:
    inner = error.args[0]
    return inner.str() if isinstance(inner, KafkaError) else str(inner)
