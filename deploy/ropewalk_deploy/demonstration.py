"""The demo: agents in several processes, crashes on purpose, and a proof at the end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.readers import newest_progress, wait_until
from ropewalk_deploy.audit.verify import verify
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner, send_again
from ropewalk_deploy.simulation.driver import SimulationReport, simulate
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.supervisor import Program, Supervisor
from ropewalk_producers.config import RecorderSettings
from ropewalk_schemas.topics import AGENT_EVENTS

# Short waits, so that what was abandoned closes while one watches. Real agents need the defaults.
LIMITS = '{"default": {"settle_ms": 3000, "idle_ms": 20000}}'
ENVIRONMENT = {
    "ROPEWALK_LIMITS": LIMITS,
    "ROPEWALK_SESSION_TIMEOUT_S": "6",
    "ROPEWALK_PARQUET_FILE_AGE_S": "3",
}
GARBAGE: list[tuple[bytes | None, bytes | None]] = [
    (b"garbage-1", b"this is not JSON"),
    (b"garbage-2", b'{"type": "telepathy", "event_id": "x"}'),
    (b"garbage-3", b'{"type": "reward", "event_id": "x", "value": NaN}'),
    (b"garbage-4", b"\xff\xfe"),
    (None, b'{"type": "decision"}'),
]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What the demo did and proved."""

    report: SimulationReport
    kills: list[str]
    checks: list[Check]
    seconds: float


def demonstrate(
    places: Endpoints, programs: list[Program], options: SimulationOptions, say: Say, log: IO[bytes]
) -> Demonstration:
    """Run everything, break it half-way, and verify.

    Raises:
        CommandError: If the worker does not start or a program gives up.
    """
    began = time.monotonic()
    supervisor = Supervisor(programs, output=log, environment=ENVIRONMENT)
    with _running(supervisor) as thread:
        _wait_for_worker(places, thread)
        say("worker and sinks are running; agents start")
        chaos = _Chaos(supervisor, say)
        settings = RecorderSettings(
            project="market", service="simulator", bootstrap_servers=places.bootstrap_servers
        )
        report = simulate(options, settings, chaos.progress)
        say(
            f"{report.n_acknowledged:,} events acknowledged from {options.processes} processes, "
            f"{report.n_duplicates:,} sent twice, {report.n_deaths} processes died on purpose"
        )
        send_again(places.bootstrap_servers, AGENT_EVENTS.name, GARBAGE)
        say(f"{len(GARBAGE)} records of garbage sent; waiting until the abandoned are given up")
        _wait_until_closed(places)
        checks = verify(places, ledger=options.ledger, timeout_s=60, share=lambda _: None)
    return Demonstration(report, chaos.kills, checks, time.monotonic() - began)


@contextmanager
def _running(supervisor: Supervisor) -> Iterator[threading.Thread]:
    """In a thread. What made it give up is raised at the end, before what came of that."""
    failures: list[CommandError] = []

    def work() -> None:
        try:
            supervisor.run()
        except CommandError as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="supervisor")
    thread.start()
    try:
        yield thread
    finally:
        supervisor.stop()
        thread.join()
        if failures:
            raise failures[0]


def _wait_for_worker(places: Endpoints, supervision: threading.Thread) -> None:
    """Until every partition is accounted for: then its settings are in the log before events."""
    with LogScanner(places.bootstrap_servers) as scanner:
        inputs = scanner.partitions(AGENT_EVENTS.name)

        def owned() -> bool:
            if not supervision.is_alive():
                msg = "the programs were stopped; their log says why"
                raise CommandError(msg)
            accounts = newest_progress(scanner)
            ends = {p: scanner.bounds(AGENT_EVENTS.name, p).end for p in inputs}
            return all(
                p in accounts and accounts[p].next_offset >= end > 0 for p, end in ends.items()
            )

        if not wait_until(owned, timeout_s=60):
            msg = "the worker did not take its partitions within 60 s; its log says why"
            raise CommandError(msg)


def _wait_until_closed(places: Endpoints) -> None:
    """Until every record is accounted for and nothing is open any more."""
    with LogScanner(places.bootstrap_servers) as scanner:
        inputs = scanner.partitions(AGENT_EVENTS.name)

        def closed() -> bool:
            ends = {p: scanner.bounds(AGENT_EVENTS.name, p).end for p in inputs}
            accounts = newest_progress(scanner)
            return all(
                accounts[p].next_offset >= end and accounts[p].open_events == 0
                for p, end in ends.items()
            )

        wait_until(closed, timeout_s=90, every_s=1.0)


class _Chaos:
    """Kills the worker, then the Postgres sink, when the simulation has come far enough."""

    PLAN = ((0.35, "worker-1"), (0.6, "sink-postgres"))

    def __init__(self, supervisor: Supervisor, say: Say) -> None:
        self._supervisor, self._say = supervisor, say
        self._todo = list(self.PLAN)
        self.kills: list[str] = []

    def progress(self, share: float) -> None:
        while self._todo and share >= self._todo[0][0]:
            _, name = self._todo.pop(0)
            pid = self._supervisor.pids().get(name)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self.kills.append(name)
                self._say(f"kill -9 {name} (pid {pid}) at {share:.0%} of the events")
