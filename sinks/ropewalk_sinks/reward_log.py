"""Reward events into the log of agents' events."""

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from ropewalk_sinks.config import SinkSettings
from ropewalk_sinks.errors import UnreachableError
from ropewalk_sinks.kafka_config import QUARANTINE_WITHIN_S, producer_config

_LINGER_MS = 20


class RewardWriter:
    """Writes reward events; the key, a trajectory's id, chooses the partition.

    Args:
        settings: Which broker.
        topic: The log.
        promise: What becomes of rewards that could not be written, for the error's message.
    """

    def __init__(self, settings: SinkSettings, topic: str, *, promise: str) -> None:
        self._topic, self._servers, self._promise = topic, settings.bootstrap_servers, promise
        self._producer = Producer({**producer_config(settings), "linger.ms": _LINGER_MS})

    def __call__(self, events: Sequence[tuple[bytes, bytes]]) -> None:
        """Write keys and values; all are on every in-sync replica when it returns.

        Raises:
            UnreachableError: If one of them is not. Writing them all again does no harm.
        """
        errors: list[KafkaError | None] = []
        try:
            for key, value in events:
                self._producer.produce(
                    self._topic,
                    value=value,
                    key=key,
                    on_delivery=lambda error, _: errors.append(error),
                )
                self._producer.poll(0)
            self._producer.flush(QUARANTINE_WITHIN_S)
        except (BufferError, KafkaException) as error:
            raise UnreachableError(self._failure(len(events), str(error))) from error
        failed = [error.str() for error in errors if error is not None]
        n_missing = len(events) - len(errors) + len(failed)
        if n_missing:
            raise UnreachableError(self._failure(n_missing, (*failed, "no answer in time")[0]))

    def _failure(self, n_missing: int, reason: str) -> str:
        return (
            f"{n_missing} rewards could not be written to topic {self._topic} on {self._servers}: "
            f"{reason}; {self._promise}"
        )
