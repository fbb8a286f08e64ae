"""The local stack as its users see it: where to connect and what is alive."""

from dataclasses import dataclass, field
from pathlib import Path

# The names under which processes are reported in `Stack.pids`.
KAFKA = "kafka"
POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Stack:
    """Where to connect.

    Args:
        bootstrap_servers: Of Kafka, as clients take it.
        postgres_dsn: With the password in it; treat it as a secret.
        parquet_path: Where the Parquet sink writes; may not exist yet.
        home: Absolute.
        pids: Of the living servers only, under "kafka" and "postgres".
        postgres_data: Not under `home` when Postgres' user cannot reach the home.
        notes: Sentences the person should read, such as a port that changed.
    """

    bootstrap_servers: str
    postgres_dsn: str
    parquet_path: Path
    home: Path
    pids: dict[str, int]
    postgres_data: Path
    notes: list[str] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        """Whether both servers are alive."""
        return KAFKA in self.pids and POSTGRES in self.pids
