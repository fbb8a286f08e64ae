"""The demo: agents in several processes, crashes on purpose, and a proof at the end."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.quiet import wait_until_quiet
from ropewalk_deploy.audit.verify import verify
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.kafka import send_again
from ropewalk_deploy.simulation.driver import SimulationReport, simulate
from ropewalk_deploy.simulation.ledger_lines import Moment
from ropewalk_deploy.simulation.model_server import ModelServer, model_server
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.scripted_model import by_account, moody
from ropewalk_deploy.supervised import running, wait_until_owned
from ropewalk_deploy.supervisor import Program, Supervisor
from ropewalk_producers.config import RecorderSettings
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_schemas.windows import from_micros
from ropewalk_sinks.judging.config import JudgeSettings

MODEL = "scripted-judge"
SLOW_S = 4.0
QUIET_WITHIN_S = 180.0
# Short waits, so that what was abandoned closes while one watches. Real agents need the defaults.
LIMITS = '{"default": {"settle_ms": 3000, "idle_ms": 20000}}'
ENVIRONMENT = {
    "ROPEWALK_LIMITS": LIMITS,
    "ROPEWALK_SESSION_TIMEOUT_S": "6",
    "ROPEWALK_PARQUET_FILE_AGE_S": "3",
    "ROPEWALK_SETTLEMENT_INTERVAL_S": "0.5",
}
JUDGE = {
    "judge_model": MODEL,
    "judge_interval_s": 1.0,
    "judge_settle_s": 3.0,
    "judge_timeout_s": SLOW_S / 2,
    "judge_first_wait_s": 0.1,
    "judge_input_usd": 0.15,
    "judge_output_usd": 0.6,
}
# By the share of the events that are sent; and by what was told, some seconds later.
KILLS_IN_PLAY = ((0.35, "worker-1"), (0.6, "sink-postgres"), (0.85, "judge"))
KILLS_AFTER: dict[str, tuple[tuple[str, float], ...]] = {
    "round 1": (("settle", 1.2),),
    "round 2": (("sink-parquet", 0.5), ("settle", 1.0)),
    "round 3": (("worker-1", 1.5),),
}
PROGRAM = Program("judge", ("judge",))
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
    """Run everything, break it again and again, and verify.

    Raises:
        CommandError: If the worker does not start, a program gives up, or something stays undone.
    """
    began = time.monotonic()
    with model_server(moody(options.seed), by_account, slow_s=SLOW_S) as model:
        judge, environment = judge_of(model, places)
        supervisor = Supervisor(
            [*programs, PROGRAM], output=log, environment=ENVIRONMENT | environment
        )
        with running(supervisor) as is_alive:
            wait_until_owned(places, is_alive)
            say("worker, sinks, settlement and judge are running; agents start")
            story = _Story(places, supervisor, judge, say)
            settings = RecorderSettings(
                project="market", service="simulator", bootstrap_servers=places.bootstrap_servers
            )
            report = simulate(options, settings, story.progress, story.caught_up)
            say(
                f"{report.n_acknowledged:,} events acknowledged from {options.processes} "
                f"processes, {report.n_duplicates:,} sent twice, {report.n_deaths} processes died "
                f"on purpose; {report.n_outcomes:,} outcomes told"
            )
            checks = verify(places, ledger=options.ledger, timeout_s=60, share=lambda _: None)
    return Demonstration(report, story.kills, checks, time.monotonic() - began)


def judge_of(model: ModelServer, places: Endpoints) -> tuple[JudgeSettings, dict[str, str]]:
    """The settings of a judge that asks a scripted model, and the environment that says them."""
    given = JUDGE | {"judge_base_url": model.base_url}
    settings = JudgeSettings.load(
        bootstrap_servers=places.bootstrap_servers, postgres_dsn=places.postgres_dsn, **given
    )
    return settings, {f"ROPEWALK_{name.upper()}": str(value) for name, value in given.items()}


class _Story:
    """Kills programs when the simulation has come far enough, and waits when it asks for that."""

    def __init__(
        self, places: Endpoints, supervisor: Supervisor, judge: JudgeSettings, say: Say
    ) -> None:
        self._places, self._supervisor, self._judge = places, supervisor, judge
        self._say = say
        self._todo = list(KILLS_IN_PLAY)
        self.kills: list[str] = []

    def progress(self, share: float) -> None:
        """Told how much of the play is over."""
        while self._todo and share >= self._todo[0][0]:
            self._kill(self._todo.pop(0)[1], f"at {share:.0%} of the events")

    def caught_up(self, after: str) -> Moment:
        """Whatever was killed, all that was sent has its consequences when this returns."""
        if after == "the play":
            send_again(self._places.bootstrap_servers, AGENT_EVENTS.name, GARBAGE)
            self._say(f"{len(GARBAGE)} records of garbage sent")
        for name, after_s in KILLS_AFTER.get(after, ()):
            time.sleep(after_s)
            self._kill(name, f"{after_s:g} s later")
        at_ms = wait_until_quiet(self._places, judge=self._judge, timeout_s=QUIET_WITHIN_S)
        at = from_micros(at_ms * 1000).isoformat(timespec="milliseconds")
        self._say(f"{after}: all is assembled, stored, settled and judged as of {at}")
        return Moment(at_ms, after, judged=True)

    def _kill(self, name: str, when: str) -> None:
        pid = self._supervisor.pids().get(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self.kills.append(name)
            self._say(f"kill -9 {name} (pid {pid}) {when}")
