"""Settings of sinks and settlement: arguments first, then the environment (``ROPEWALK_...``)."""

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from ropewalk_schemas import topics
from ropewalk_schemas.errors import KafkaSecurityError
from ropewalk_schemas.kafka_security import KafkaSecurity
from ropewalk_sinks.errors import ConfigError

PREFIX = "ROPEWALK_"
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Dsn = Annotated[str, Field(repr=False)]  # it holds a password


def _kafka_security() -> KafkaSecurity:
    return KafkaSecurity.from_environment(os.environ)


class Topics(BaseModel):
    """The names of the topics a sink reads; other names are for tests and other generations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trajectories: str = topics.TRAJECTORIES.name
    quarantine: str = topics.QUARANTINE.name
    progress: str = topics.PROGRESS.name
    outcomes: str = topics.OUTCOMES.name


class SinkSettings(BaseSettings):
    """What every sink needs to read its topics.

    Attributes:
        bootstrap_servers: ``host:port,...`` of the Kafka brokers.
        kafka_security: TLS and SASL; by default what ``ROPEWALK_KAFKA_...`` say.
        topics: As JSON in the environment.
        accept_deleted_records: Go on at the log's start where retention deleted records before
            they were stored, instead of stopping. What was deleted stays missing.
        session_timeout_ms: After this silence of a process its partitions go to another.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    bootstrap_servers: str
    kafka_security: KafkaSecurity = Field(default_factory=_kafka_security)
    topics: Topics = Topics()
    accept_deleted_records: bool = False
    session_timeout_ms: Annotated[int, Field(ge=6_000, le=300_000)] = 10_000

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Settings from arguments, then the environment, then defaults.

        Raises:
            ConfigError: Naming the setting.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            place = "_".join(str(part) for part in first["loc"])
            message = f"setting {PREFIX}{place.upper()}: {first['msg']}; given: {first['input']!r}"
            if first["type"] == "missing":
                message = f"setting {PREFIX}{place.upper()} is missing: set it in the environment"
            raise ConfigError(message) from error
        except KafkaSecurityError as error:
            message = f"setting {error}"
            raise ConfigError(message) from error
        except SettingsError as error:
            message = f"a setting is not valid JSON: {error}"
            raise ConfigError(message) from error


class PostgresSettings(SinkSettings):
    """The Postgres sink. A batch is flushed at the first of its three limits.

    Attributes:
        postgres_dsn: As libpq reads it: ``postgresql://user:password@host:port/database``.
        postgres_batch_bytes: Bytes of record values.
        postgres_batch_age_s: How long a record may wait.
    """

    postgres_dsn: Dsn
    postgres_group: str = "ropewalk-sink-postgres"
    postgres_batch_records: Positive = 1_000
    postgres_batch_bytes: Positive = 32 * topics.MIB
    postgres_batch_age_s: Seconds = 1.0

    @property
    def subscription(self) -> list[str]:
        """The topics this sink reads."""
        names = self.topics
        return [names.trajectories, names.quarantine, names.progress, names.outcomes]

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.postgres_group


class ParquetSettings(SinkSettings):
    """The Parquet sink. Buffered rows are written at the first of the three limits.

    Attributes:
        parquet_path: The root that holds all datasets.
        parquet_file_rows: Rows buffered over all datasets and partitions.
        parquet_file_bytes: Bytes of record values buffered.
        parquet_file_age_s: How long a record may wait.
    """

    parquet_path: Path
    parquet_group: str = "ropewalk-sink-parquet"
    parquet_file_rows: Positive = 20_000
    parquet_file_bytes: Positive = 256 * topics.MIB
    parquet_file_age_s: Seconds = 30.0

    @property
    def subscription(self) -> list[str]:
        """The topics this sink reads."""
        return [self.topics.trajectories, self.topics.quarantine, self.topics.progress]

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.parquet_group


class SettlementSettings(SinkSettings):
    """Settlement: what claims turn out to be worth.

    Attributes:
        settlement_topic: Where reward events go.
        settlement_interval_s: Pause between two looks at claims and outcomes.
        settlement_rules: As JSON in the environment: the rule of claims that name none, by a
            prefix of ``OUTCOME_KEY`` or of ``PROJECT/OUTCOME_KEY``; the longest that fits counts.
    """

    postgres_dsn: Dsn
    settlement_topic: str = topics.AGENT_EVENTS.name
    settlement_interval_s: Seconds = 5.0
    settlement_rules: dict[str, str] = {
        "prediction:": "prediction_market",
        "price:": "price_move",
        "perpetual:": "perpetual_position",
    }
