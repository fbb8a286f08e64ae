"""Reward events into the log of agents' events."""

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.events import Reward
from ropewalk_sinks.config import SettlementSettings
from ropewalk_sinks.errors import UnreachableError
from ropewalk_sinks.kafka_config import QUARANTINE_WITHIN_S, producer_config

_LINGER_MS = 20


class RewardWriter:
    """Writes reward events; each trajectory's into its own partition."""

    def __init__(self, settings: SettlementSettings) -> None:
        self._topic, self._servers = settings.settlement_topic, settings.bootstrap_servers
        self._producer = Producer({**producer_config(settings), "linger.ms": _LINGER_MS})

    def __call__(self, rewards: Sequence[Reward]) -> None:
        """Write events; all are on every in-sync replica when it returns.

        Raises:
            UnreachableError: If one of them is not. Writing them all again does no harm.
        """
        errors: list[KafkaError | None] = []
        try:
            for reward in rewards:
                self._producer.produce(
                    self._topic,
                    value=encode_event(reward),
                    key=reward.trajectory_id.encode(),
                    on_delivery=lambda error, _: errors.append(error),
                )
                self._producer.poll(0)
            self._producer.flush(QUARANTINE_WITHIN_S)
        except (BufferError, KafkaException) as error:
            raise UnreachableError(self._failure(len(rewards), str(error))) from error
        failed = [error.str() for error in errors if error is not None]
        n_missing = len(rewards) - len(errors) + len(failed)
        if n_missing:
            raise UnreachableError(self._failure(n_missing, (*failed, "no answer in time")[0]))

    def _failure(self, n_missing: int, reason: str) -> str:
        return (
            f"{n_missing} rewards could not be written to topic {self._topic} on {self._servers}: "
            f"{reason}; they are written again at the next start"
        )
