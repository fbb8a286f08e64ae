"""Where everything is: the only place of this package that reads the environment.

A server comes from the environment (``ROPEWALK_BOOTSTRAP_SERVERS``, ``ROPEWALK_POSTGRES_DSN``,
``ROPEWALK_PARQUET_PATH``), else from the local stack of this folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ropewalk_deploy.errors import SettingError
from ropewalk_schemas.kafka_security import KafkaSecurity, variable_of

BOOTSTRAP_SERVERS = "ROPEWALK_BOOTSTRAP_SERVERS"
POSTGRES_DSN = "ROPEWALK_POSTGRES_DSN"
PARQUET_PATH = "ROPEWALK_PARQUET_PATH"
HOME = "ROPEWALK_HOME"
FAILPOINTS = "ROPEWALK_FAILPOINTS"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where Kafka, Postgres and the Parquet datasets are."""

    bootstrap_servers: str
    postgres_dsn: str = field(repr=False)  # it holds a password
    parquet_path: Path

    def environment(self) -> dict[str, str]:
        """What a process of ours needs in its environment to use these."""
        return {
            BOOTSTRAP_SERVERS: self.bootstrap_servers,
            POSTGRES_DSN: self.postgres_dsn,
            PARQUET_PATH: str(self.parquet_path),
        }


def home() -> Path:
    """Where the local stack keeps everything: ROPEWALK_HOME, else ``.ropewalk`` here."""
    return Path(os.environ.get(HOME) or ".ropewalk").absolute()


def java_home() -> Path | None:
    """The Java a person chose with JAVA_HOME."""
    chosen = os.environ.get("JAVA_HOME")
    return Path(chosen) if chosen else None


def endpoints() -> Endpoints:
    """Where to connect.

    Raises:
        SettingError: If neither the environment nor a local stack says it, or the environment says
            how to talk to a Kafka that it does not name.
    """
    found = {name: os.environ.get(name, "") for name in (BOOTSTRAP_SERVERS, POSTGRES_DSN)}
    parquet = os.environ.get(PARQUET_PATH, "")
    if not found[BOOTSTRAP_SERVERS] and kafka_security() != KafkaSecurity():
        msg = (
            f"{variable_of('security_protocol')} is for brokers that {BOOTSTRAP_SERVERS} names, "
            "which is not set; the local stack has no TLS or SASL"
        )
        raise SettingError(msg)
    if not all((*found.values(), parquet)):
        # Here, as it brings every client along, and most programs are told where to connect.
        from ropewalk_deploy.stack.local import describe  # noqa: PLC0415

        stack = describe(home())
        if stack is None:
            missing = [name for name, value in found.items() if not value]
            msg = (
                f"no local stack in {home()}: start one with `ropewalk up`, or set "
                f"{' and '.join(missing) or PARQUET_PATH}"
            )
            raise SettingError(msg)
        found = {
            BOOTSTRAP_SERVERS: found[BOOTSTRAP_SERVERS] or stack.bootstrap_servers,
            POSTGRES_DSN: found[POSTGRES_DSN] or stack.postgres_dsn,
        }
        parquet = parquet or str(stack.parquet_path)
    return Endpoints(found[BOOTSTRAP_SERVERS], found[POSTGRES_DSN], Path(parquet))


def kafka_security() -> KafkaSecurity:
    """TLS and SASL of the connection to Kafka, as ``ROPEWALK_KAFKA_...`` say.

    Raises:
        KafkaSecurityError: Naming the variable that is wrong.
    """
    return KafkaSecurity.from_environment(os.environ)


def use_local_kafka() -> None:
    """Let this process and its children talk to a local stack, which is open, whatever was set."""
    for name in [name for name in os.environ if name.startswith("ROPEWALK_KAFKA_")]:
        del os.environ[name]


def use(places: Endpoints) -> None:
    """Let this process and its children find these endpoints in the environment."""
    os.environ.update(places.environment())


def child_environment(added: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process we start: ours, and what is added."""
    return {**os.environ, **added}


def failpoints() -> Path | None:
    """The folder in which `ropewalk chaos` arms points of failure; None in every other process."""
    folder = os.environ.get(FAILPOINTS)
    return Path(folder) if folder else None
