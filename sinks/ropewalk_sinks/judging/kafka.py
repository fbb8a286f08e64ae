"""Rewards of judgments into the log of agents' events."""

from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Producer

from ropewalk_sinks.errors import UnreachableError
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.kafka_config import QUARANTINE_WITHIN_S, producer_config


class EventWriter:
    """Writes events; each trajectory's into its own partition."""

    def __init__(self, settings: JudgeSettings) -> None:
        self._topic, self._servers = settings.judge_topic, settings.bootstrap_servers
        self._producer = Producer(producer_config(settings))

    def __call__(self, events: Iterable[tuple[bytes, bytes]]) -> None:
        """Write keys and values; all are on every in-sync replica when it returns.

        Raises:
            UnreachableError: If one of them is not. They are stored, and written again as they are.
        """
        failed: list[str] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error.str())

        try:
            for key, value in events:
                self._producer.produce(self._topic, value=value, key=key, on_delivery=delivered)
                self._producer.poll(0)
            n_waiting = self._producer.flush(QUARANTINE_WITHIN_S)
        except (BufferError, KafkaException) as error:
            raise UnreachableError(self._failure(str(error))) from error
        if failed or n_waiting:
            raise UnreachableError(self._failure((*failed, "no answer in time")[0]))

    def _failure(self, reason: str) -> str:
        return (
            f"rewards could not be written to topic {self._topic} on {self._servers}: {reason}; "
            "the judgments are stored, and written again at the next start"
        )
