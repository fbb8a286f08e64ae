"""What librdkafka is told: fetch sizes, acknowledgements, how partitions move."""

from typing import Any

from ropewalk_schemas.partitioning import LIBRDKAFKA_PARTITIONER
from ropewalk_schemas.topics import CLIENT_MESSAGE_BYTES
from ropewalk_sinks.config import SinkSettings

QUARANTINE_WITHIN_S = 60.0
# librdkafka's own lines on stderr say nothing that its callbacks do not say.
QUIET: dict[str, Any] = {"log_level": 2}


def client_config(settings: SinkSettings) -> dict[str, Any]:
    """Whom to talk to, and how: for every client."""
    security = settings.kafka_security.librdkafka()
    return {"bootstrap.servers": settings.bootstrap_servers, **security, **QUIET}


def consumer_config(settings: SinkSettings, group: str) -> dict[str, Any]:
    """A consumer that is told where to start, and never decides that by itself."""
    return {
        **client_config(settings),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        # Only the partitions that move are flushed when a process joins or leaves.
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": settings.session_timeout_ms // 3,
        "max.partition.fetch.bytes": CLIENT_MESSAGE_BYTES,
        "fetch.max.bytes": CLIENT_MESSAGE_BYTES,
        # A fetch may exceed its limit by one message.
        "receive.message.max.bytes": 3 * CLIENT_MESSAGE_BYTES,
    }


def producer_config(settings: SinkSettings) -> dict[str, Any]:
    """A producer whose delivery report means: on every in-sync replica, once."""
    return {
        **client_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": LIBRDKAFKA_PARTITIONER,
        "message.max.bytes": CLIENT_MESSAGE_BYTES,
        "delivery.timeout.ms": int(QUARANTINE_WITHIN_S * 1000),
        "linger.ms": 0,
    }
