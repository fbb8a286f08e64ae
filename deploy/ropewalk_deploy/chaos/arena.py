"""Servers of the chaos' own, with everything that a fault needs to get at them."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ropewalk_deploy.config import FAILPOINTS, HOME, Endpoints
from ropewalk_deploy.kafka import create_topics
from ropewalk_deploy.stack import ports
from ropewalk_deploy.stack.kafka_config import BrokerExtras
from ropewalk_deploy.stack.local import describe, down, up
from ropewalk_schemas.topics import TOPICS
from ropewalk_sinks.postgres_migrations import migrate

SESSION_TIMEOUT_S = 6
# Short waits. The idle gap is time of the log, which stands still while the broker is away.
ENVIRONMENT = {
    "ROPEWALK_LIMITS": (
        '{"default": {"settle_ms": 1500, "idle_ms": 6000}, "spill_ms": 700, "spill_records": 20}'
    ),
    "ROPEWALK_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
    "ROPEWALK_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_S * 1000),
    "ROPEWALK_PARQUET_FILE_AGE_S": "0.5",
    "ROPEWALK_POSTGRES_BATCH_AGE_S": "0.3",
    "ROPEWALK_SETTLEMENT_INTERVAL_S": "0.3",
}
# A broker lives for minutes here: the code that the better compiler makes does not pay off.
JVM_FLAGS = ("-XX:TieredStopAtLevel=1",)


@dataclass(slots=True)
class Arena:
    """A local stack under a home of its own; its programs' log and its failpoints are there too.

    Args:
        home: Where everything is.
        places: How to reach the servers.
        log: What the programs say.
        failpoints: The folder in which points are armed.
        extras: What the broker has beside what `ropewalk up` gives it.
        keep: Whether the data stays at the end, to be looked at.
    """

    home: Path
    places: Endpoints
    log: Path
    failpoints: Path
    extras: BrokerExtras
    keep: bool = field(default=False)

    @property
    def environment(self) -> dict[str, str]:
        """What programs need to work here."""
        own = {HOME: str(self.home), FAILPOINTS: str(self.failpoints)}
        return ENVIRONMENT | self.places.environment() | own

    def server(self, name: str) -> psutil.Process:
        """The living server: "kafka" or "postgres".

        Raises:
            KeyError: If it does not live.
        """
        stack = describe(self.home)
        return psutil.Process(stack.pids[name] if stack else -1)

    def signal_server(self, name: str, number: signal.Signals, *, ends: bool = True) -> None:
        """Send a server a signal; wait for its end when it is meant to end."""
        process = self.server(name)
        os.kill(process.pid, number)
        if ends:
            process.wait(60)

    def start_servers(self) -> None:
        """Start what does not run, on the data that is there."""
        up(self.home, _silent, extras=self.extras)


@contextmanager
def open_arena(
    home: Path, say: Callable[[str], None], *, jvm_flags: tuple[str, ...] = JVM_FLAGS
) -> Iterator[Arena]:
    """Servers, topics and tables; all gone at the end, unless an error leaves them to look at."""
    first = ports.choose()
    extras = BrokerExtras(jvm_flags, led=(first, ports.choose(avoid=(first,))))
    stack = up(home, say, extras=extras)
    try:
        create_topics(stack.bootstrap_servers, TOPICS)
        migrate(stack.postgres_dsn)
        places = Endpoints(stack.bootstrap_servers, stack.postgres_dsn, stack.parquet_path)
        failpoints = home / "failpoints"
        failpoints.mkdir(exist_ok=True)
        arena = Arena(home, places, home / "programs.log", failpoints, extras)
        yield arena
    finally:
        down(home, _silent)
    if arena.keep:
        return
    shutil.rmtree(stack.postgres_data, ignore_errors=True)  # may be outside of the home
    shutil.rmtree(home, ignore_errors=True)


def _silent(_: str) -> None:
    """What takes time is no news here."""
