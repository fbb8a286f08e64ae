"""The worker's settings: the only place of this package that reads the environment."""

import os
import socket
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from ropewalk_schemas.errors import KafkaSecurityError
from ropewalk_schemas.kafka_security import KafkaSecurity
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_stream_processors.errors import SettingError

GROUP = "ropewalk-worker"


def _kafka_security() -> KafkaSecurity:
    return KafkaSecurity.from_environment(os.environ)


class WorkerSettings(BaseSettings):
    """Settings of one worker; each is read from ``ROPEWALK_<NAME>``.

    Attributes:
        kafka_security: TLS and SASL; by default what ``ROPEWALK_KAFKA_...`` say.
        limits: When trajectories close; as JSON in ROPEWALK_LIMITS. Written into the log, where
            it holds for every worker from that offset on.
        commit_interval_s: How often the account is written; a crash replays at most this much
            beyond the open trajectories.
        session_timeout_s: Silence after which Kafka gives a worker's partitions to another.
        instance_id: A fixed name lets a restarted worker keep its partitions (static membership).
        tick_after_s: Silence on a partition after which time is written into the log.
    """

    model_config = SettingsConfigDict(env_prefix="ROPEWALK_", frozen=True, extra="ignore")

    bootstrap_servers: str = "127.0.0.1:9092"
    kafka_security: KafkaSecurity = Field(default_factory=_kafka_security)
    worker_group: str = GROUP
    worker_name: str = Field(default_factory=socket.gethostname)
    instance_id: str | None = None
    limits: Settings = Settings()
    commit_interval_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    session_timeout_s: Annotated[float, Field(ge=6, le=300)] = 10.0
    tick_after_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    publish_timeout_s: Annotated[float, Field(gt=0)] = 60.0

    @classmethod
    def from_environment(cls) -> "WorkerSettings":
        """The settings the environment gives.

        Raises:
            SettingError: Naming the variable and what is wrong with it.
        """
        try:
            settings = cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(str(part) for part in first["loc"][:1]).upper()
            inner = ".".join(str(part) for part in first["loc"][1:])
            msg = f"ROPEWALK_{name} is not usable{f' at {inner}' if inner else ''}: {first['msg']}"
            raise SettingError(msg) from error
        except KafkaSecurityError as error:
            raise SettingError(str(error)) from error
        except SettingsError as error:
            msg = f"ROPEWALK_LIMITS is not JSON: {error.__cause__}"
            raise SettingError(msg) from error
        if unknown := sorted(unknown_limits(settings.limits)):
            msg = (
                f"ROPEWALK_LIMITS names unknown limits: {', '.join(unknown)}; known are "
                f"{', '.join((*Settings.model_fields, *Limits.model_fields))}"
            )
            raise SettingError(msg)
        if settings.tick_after_s * 1000 >= settings.limits.cap_ms:
            msg = (
                f"ROPEWALK_TICK_AFTER_S ({settings.tick_after_s}) must be below the clock's cap "
                f"in ROPEWALK_LIMITS (cap_ms = {settings.limits.cap_ms}), or time falls behind"
            )
            raise SettingError(msg)
        return settings


def unknown_limits(limits: Settings) -> set[str]:
    """Names nobody knows: contracts keep them for a newer version, a person mistyped them."""
    parts = (limits, limits.default, *limits.projects.values())
    return {name for part in parts for name in (part.model_extra or {})}
