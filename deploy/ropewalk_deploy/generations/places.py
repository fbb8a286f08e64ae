"""Where a generation lies: its schema, folder and topics, and what sinks need to store there."""

from pathlib import Path
from typing import Any

from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.generations.names import topic_of
from ropewalk_schemas.topics import QUARANTINE, TRAJECTORIES
from ropewalk_sinks.config import ParquetSettings, PostgresSettings, Topics
from ropewalk_sinks.parquet_layout import generation_root
from ropewalk_sinks.postgres_connection import in_schema


def within(places: Endpoints, name: str) -> Endpoints:
    """The endpoints of a generation's own data."""
    return Endpoints(
        places.bootstrap_servers,
        in_schema(places.postgres_dsn, name),
        generation_root(places.parquet_path, name),
    )


def output_topics(name: str) -> tuple[str, str]:
    """The topics with its parts and entries, and with its refusals."""
    return topic_of(TRAJECTORIES.name, name), topic_of(QUARANTINE.name, name)


def postgres_settings(places: Endpoints, name: str) -> PostgresSettings:
    """What the Postgres sink needs to store a generation."""
    own = within(places, name)
    return PostgresSettings.load(postgres_dsn=own.postgres_dsn, **_common(places, name))


def parquet_settings(places: Endpoints, name: str) -> ParquetSettings:
    """What the Parquet sink needs to store a generation."""
    return ParquetSettings.load(
        parquet_path=within(places, name).parquet_path, **_common(places, name)
    )


def _common(places: Endpoints, name: str) -> dict[str, Any]:
    parts, refused = output_topics(name)
    topics = Topics(trajectories=parts, quarantine=refused)
    return {"bootstrap_servers": places.bootstrap_servers, "topics": topics}


def folder_of(places: Endpoints, name: str) -> Path:
    """The folder of a generation's datasets."""
    return within(places, name).parquet_path
