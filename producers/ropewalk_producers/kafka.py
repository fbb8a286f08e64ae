"""Events to Kafka: the only module that knows confluent-kafka."""

import logging
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from typing import Any, Self

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.errors import QueueFullError, SettingsError, UnsendableError
from ropewalk_producers.publisher import Delivery, Listener
from ropewalk_schemas.kafka_acls import denied
from ropewalk_schemas.partitioning import LIBRDKAFKA_PARTITIONER
from ropewalk_schemas.topics import CLIENT_MESSAGE_BYTES

_POLL_S = 0.1
_LAST_OUTCOMES_S = 2.0
_LASTING = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
_CRITICAL_ONLY = 2  # librdkafka's own log; what matters of the rest comes as errors, once per kind


def producer_config(settings: RecorderSettings) -> dict[str, Any]:
    """The settings by librdkafka's names.

    With a spool, an event is owed until it is acknowledged: no event times out, and none overtakes
    another that failed.
    """
    spooled = {"delivery.timeout.ms": 0, "enable.gapless.guarantee": True}
    return {
        "client.id": settings.service,
        "compression.type": "zstd",
        "log_level": _CRITICAL_ONLY,
        **settings.kafka_security.librdkafka(),
        **settings.kafka_options,
        "acks": "all",
        "bootstrap.servers": settings.bootstrap_servers,
        "delivery.timeout.ms": settings.delivery_timeout_ms,
        "enable.idempotence": True,
        "linger.ms": settings.linger_ms,
        "message.max.bytes": CLIENT_MESSAGE_BYTES,
        "partitioner": LIBRDKAFKA_PARTITIONER,
        "queue.buffering.max.kbytes": settings.queue_kbytes,
        "queue.buffering.max.messages": settings.queue_messages,
        **(spooled if settings.durability == "spool" else {}),
    }


class KafkaPublisher:
    """A `Publisher` on an idempotent Kafka producer.

    Raises:
        SettingsError: If there are no brokers to talk to, or librdkafka refuses a setting.
    """

    def __init__(self, settings: RecorderSettings) -> None:
        if not settings.bootstrap_servers:
            problem = "is empty; name the Kafka brokers, such as localhost:9092"
            raise SettingsError("bootstrap_servers", problem)
        self._settings = settings
        self._topic = settings.topic
        self._stopping = Event()

    def listen(self, listener: Listener) -> None:
        """Connect, and tell `listener` of outcomes from the polling thread."""
        self._listener = listener
        config = producer_config(self._settings) | {"error_cb": self._failing}
        try:
            self._producer = Producer(config, logger=logging.getLogger("ropewalk_producers"))
        except KafkaException as error:
            problem = f"are refused: {error.args[0].str()}"
            raise SettingsError("Kafka settings", problem) from error
        self._polling = Thread(target=self._poll, name="ropewalk-recorder", daemon=True)
        self._polling.start()

    def publish(self, key: bytes, value: bytes, event_id: str) -> None:
        """Queue an event for sending."""
        report = partial(self._report, event_id)
        try:
            self._producer.produce(self._topic, value=value, key=key, on_delivery=report)
        except BufferError as error:
            message = "the queue is full; the broker is away or too slow"
            raise QueueFullError(message) from error
        except KafkaException as error:
            raise UnsendableError(error.args[0].str()) from error

    def flush(self, timeout: float) -> None:
        """Wait for outcomes."""
        self._flush(timeout)

    def close(self) -> None:
        """Fail what is still queued and stop polling."""
        self._producer.purge()
        self._flush(_LAST_OUTCOMES_S)
        self._stopping.set()
        self._polling.join(_LAST_OUTCOMES_S)

    def reopened(self) -> Self:
        """Another connection: in a child the parent's client has no threads."""
        return type(self)(self._settings)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            try:
                self._producer.poll(_POLL_S)
            except KafkaException as error:  # a fatal one; outcomes still come
                self._failing(error.args[0])
                self._stopping.wait(_POLL_S)

    def _flush(self, timeout: float) -> None:
        with suppress(KafkaException):  # a fatal one, which the polling thread tells
            self._producer.flush(timeout)

    def _report(self, event_id: str, error: KafkaError | None, message: Message) -> None:
        self._listener.delivered(
            Delivery(
                key=message.key() or b"",
                value=message.value() or b"",
                event_id=event_id,
                partition=None if error else message.partition(),
                offset=None if error else message.offset(),
                error=_told(error, self._topic) if error else None,
                at_ms=None if error else _appended_ms(message),
                lasting=error is not None and error.code() in _LASTING,
            )
        )

    def _failing(self, error: KafkaError) -> None:
        self._listener.failing(f"Kafka: {error.str()}", error.fatal())


def _told(error: KafkaError, topic: str) -> str:
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return denied("Write", topic, error.str())
    return error.str()


def _appended_ms(message: Message) -> int | None:
    kind, at_ms = message.timestamp()
    return at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None
