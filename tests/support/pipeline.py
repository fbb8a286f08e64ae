"""A whole pipeline of a test's own: local servers, topics, tables, and the supervised programs."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.events import sent

from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.readers import newest_progress
from ropewalk_deploy.audit.verify import verify
from ropewalk_deploy.commands.run import programs
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner, create_topics, send_again
from ropewalk_deploy.stack.local import down, up
from ropewalk_deploy.supervised import running, wait_until_owned
from ropewalk_deploy.supervisor import Program, Supervisor
from ropewalk_schemas.events import LifeEvent, Reward
from ropewalk_schemas.topics import AGENT_EVENTS, TOPICS
from ropewalk_sinks.postgres_migrations import migrate

LIMITS = {"default": {"settle_ms": 2_000, "idle_ms": 20_000}}
ENVIRONMENT = {
    "ROPEWALK_LIMITS": json.dumps(LIMITS),
    "ROPEWALK_SESSION_TIMEOUT_S": "6",
    "ROPEWALK_SESSION_TIMEOUT_MS": "6000",
    "ROPEWALK_PARQUET_FILE_AGE_S": "1",
}


def wait_for(what: Callable[[], object], *, told: str, within_s: float = 60.0) -> None:
    """Poll a condition until it holds; fail after a deadline."""
    until = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until, f"waited {within_s:.0f} s in vain: {told}"
        time.sleep(0.1)


@dataclass
class Pipeline:
    """A local stack with topics and tables; its programs run where a test says so."""

    home: Path
    places: Endpoints
    log: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))

    def command(self, *arguments: str) -> list[str]:
        """The command line of a `ropewalk` of this environment's own."""
        return [sys.executable, "-m", "ropewalk_deploy", *arguments]

    def environ(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        """What its processes find in their environment."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith("ROPEWALK_")}
        own = {"ROPEWALK_HOME": str(self.home), **self.places.environment(), **self.environment}
        return {**ours, **own, **(changes or {})}

    def ropewalk(
        self, *arguments: str, changes: Mapping[str, str] | None = None, timeout_s: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """Run a `ropewalk` command to its end, as a person would."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environ(changes),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def answer(self, *arguments: str) -> Any:
        """What a command says as JSON."""
        done = self.ropewalk(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one program beside the supervised ones; its log goes where theirs goes."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(*arguments),
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @contextmanager
    def running(self, given: Sequence[Program] | None = None) -> Iterator[Supervisor]:
        """Worker and sinks under a supervisor, as `ropewalk run` has them."""
        with self.log.open("ab") as log:
            supervisor = Supervisor(
                programs(1) if given is None else given, output=log, environment=self.environ()
            )
            try:
                with running(supervisor):
                    yield supervisor
            except CommandError as error:
                pytest.fail(f"{error}\n{self.log_tail()}")

    def send(self, *events: LifeEvent | Reward) -> None:
        """Events of one kind or another, as a recorder places them; acknowledged on return."""
        send_again(self.places.bootstrap_servers, AGENT_EVENTS.name, sent(events))

    def wait_until_owned(self) -> None:
        """Until every partition is accounted for: then its settings are in the log."""
        wait_until_owned(self.places, lambda: True)

    def wait_until_settled(self, *, within_s: float = 90.0, open_too: bool = True) -> None:
        """Until every input record is accounted for and, if asked, nothing is open."""
        with LogScanner(self.places.bootstrap_servers) as scanner:

            def settled() -> bool:
                accounts = newest_progress(scanner)
                return all(
                    p in accounts
                    and accounts[p].next_offset >= scanner.bounds(AGENT_EVENTS.name, p).end
                    and not (open_too and accounts[p].open_events)
                    for p in scanner.partitions(AGENT_EVENTS.name)
                )

            wait_for(settled, told=f"the worker settles\n{self.log_tail()}", within_s=within_s)

    def verify(self, ledger: Path | None = None, *, timeout_s: float = 60.0) -> list[Check]:
        """Every check; fails naming those that do not hold."""
        checks = verify(self.places, ledger=ledger, timeout_s=timeout_s, share=lambda _: None)
        failed = "\n".join(map(shown, (check for check in checks if not check.ok)))
        assert not failed, f"verify:\n{failed}\n{self.log_tail()}"
        return checks

    def log_tail(self, n: int = 60) -> str:
        """The newest lines of the programs' log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-n:])


def shown(check: Check) -> str:
    """A check that failed, with its ids."""
    wrong = "".join(f"\n    {line}" for line in check.wrong)
    numbers = f"found {check.found}, expected {check.expected}, {check.n_wrong} wrong"
    return f"BAD {check.name}: {numbers} {check.detail}{wrong}"


@contextmanager
def local_pipeline(home: Path) -> Iterator[Pipeline]:
    """Servers of a home of its own, with fresh topics and tables; stopped at the end."""
    home.parent.chmod(0o755)  # the database server's user must get in when tests run as root
    stack = up(home, print)
    try:
        create_topics(stack.bootstrap_servers, TOPICS)
        migrate(stack.postgres_dsn)
        places = Endpoints(stack.bootstrap_servers, stack.postgres_dsn, stack.parquet_path)
        yield Pipeline(home, places, home / "programs.log")
    finally:
        down(home, print)
        shutil.rmtree(stack.postgres_data, ignore_errors=True)  # may be outside of the home
