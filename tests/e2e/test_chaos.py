"""Everything is killed at random moments under load; in the end every number is right.

ROPEWALK_CHAOS_SEED repeats the choices of a run (the moments stay the machine's own).
"""

import logging
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.pipeline import Pipeline, local_pipeline, wait_for

from ropewalk_deploy.audit.quiet import wait_until_quiet
from ropewalk_deploy.audit.readers import newest_progress
from ropewalk_deploy.commands.run import programs
from ropewalk_deploy.demonstration import PROGRAM, SLOW_S, judge_of
from ropewalk_deploy.kafka import LogScanner
from ropewalk_deploy.simulation.driver import SimulationReport, simulate
from ropewalk_deploy.simulation.ledger import read_ledger
from ropewalk_deploy.simulation.ledger_lines import Moment
from ropewalk_deploy.simulation.model_server import model_server
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.scripted_model import by_account, moody
from ropewalk_deploy.simulation.telling import CaughtUp
from ropewalk_deploy.supervisor import Supervisor
from ropewalk_producers.config import RecorderSettings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

log = logging.getLogger(__name__)
SEED = int(os.environ.get("ROPEWALK_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
KILLS = 20
EVENTS, RATE = 13_000, 160.0  # about 80 s of play; then outcomes come while the kills go on
ZOMBIE_SLEEPS_S = 9.0  # beyond the session timeout of 6 s


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with local_pipeline(tmp_path_factory.mktemp("chaos")) as pipeline:
        yield pipeline


@dataclass
class Chaos:
    """What is done to the programs; `done` tells it afterwards."""

    pipeline: Pipeline
    supervisor: Supervisor
    rng: random.Random
    done: list[str] = field(default_factory=list)
    n_kills: int = 0

    def _note(self, what: str) -> None:
        self.done.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {what}")

    def kill_one(self) -> None:
        """kill -9 one of the living programs, whichever; all may be dead for a moment."""
        living: list[tuple[str, int]] = []

        def some_live() -> bool:
            living[:] = sorted(self.supervisor.pids().items())
            return bool(living)

        wait_for(some_live, told="a program is alive", within_s=30)
        name, pid = self.rng.choice(living)
        os.kill(pid, signal.SIGKILL)
        self.n_kills += 1
        self._note(f"kill -9 {name}")

    def kill_some(self, n: int) -> None:
        """Kills at random moments: also while programs start and partitions are restored."""
        for _ in range(n):
            time.sleep(self.rng.choice((0.3, 1.5, 3.0, 6.0)) * self.rng.uniform(0.7, 1.3))
            self.kill_one()

    def join(self) -> subprocess.Popen[bytes]:
        """One more worker, which gets partitions before this returns."""
        self._note("worker-3 joins")
        process = self.pipeline.start("worker", "--name", "worker-3")
        since = self._accounts_of("worker-3")
        wait_for(
            lambda: self._accounts_of("worker-3") > since or process.poll() is not None,
            told=f"worker-3 accounts for a partition\n{self.pipeline.log_tail()}",
            within_s=45,
        )
        return process

    def _accounts_of(self, worker: str) -> int:
        with LogScanner(self.pipeline.places.bootstrap_servers) as scanner:
            accounts = newest_progress(scanner).values()
            return sum(account.next_offset for account in accounts if account.worker == worker)

    def leave(self, process: subprocess.Popen[bytes], number: signal.Signals) -> int:
        """The joined worker goes; gives its exit status."""
        process.send_signal(number)
        try:
            status = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        self.n_kills += number == signal.SIGKILL
        self._note(f"worker-3 leaves by {number.name}: status {status}")
        return status

    def zombie(self, process: subprocess.Popen[bytes]) -> None:
        """The worker sleeps until others have its partitions, then wakes up as their owner."""
        process.send_signal(signal.SIGSTOP)
        self._note("worker-3 is stopped")
        time.sleep(ZOMBIE_SLEEPS_S)
        process.send_signal(signal.SIGCONT)
        self._note("worker-3 goes on")
        time.sleep(3)


@dataclass
class Load:
    """A simulation in the background."""

    options: SimulationOptions
    settings: RecorderSettings
    caught_up: CaughtUp
    report: SimulationReport | None = None
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="simulation")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.report = simulate(self.options, self.settings, caught_up=self.caught_up)
        except BaseException as error:
            self.failure = error

    @property
    def goes_on(self) -> bool:
        return self._thread.is_alive()

    def wait(self) -> SimulationReport:
        self._thread.join(240)
        assert self.failure is None, self.failure
        assert self.report is not None, "the simulation did not end"
        return self.report


def test_whatever_is_killed_every_event_is_accounted_for_once(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    log.warning("repeat with ROPEWALK_CHAOS_SEED=%d", SEED)
    options = SimulationOptions(
        ledger=tmp_path / "ledger",
        run=f"chaos{SEED}",
        seed=SEED,
        events=EVENTS,
        rate=RATE,
        processes=3,
        duplicates=0.05,
        deaths=2,
        handovers=0.1,
        late_rewards=0.3,
        resolved=0.8,
        corrected=0.5,
        reviewed=0.5,
        rounds=3,
        hours_behind=8.0,
    )
    settings = RecorderSettings(
        project="chaos", service="chaos", bootstrap_servers=pipeline.places.bootstrap_servers
    )
    with model_server(moody(SEED), by_account, slow_s=SLOW_S) as model:
        judge, environment = judge_of(model, pipeline.places)
        pipeline.environment |= environment | {"ROPEWALK_SETTLEMENT_INTERVAL_S": "0.5"}

        def caught_up(after: str) -> Moment:
            at_ms = wait_until_quiet(pipeline.places, judge=judge, timeout_s=120)
            return Moment(at_ms, after, judged=True)

        with pipeline.running([*programs(2), PROGRAM]) as supervisor:
            pipeline.wait_until_owned()
            chaos = Chaos(pipeline, supervisor, random.Random(SEED))
            load = Load(options, settings, caught_up)
            try:
                clean, under_load = _chaos(chaos, lambda: load.goes_on)
            finally:
                report = load.wait()
            log.warning("%s\n%s", "\n".join(chaos.done), report)
            checks = pipeline.verify(options.ledger)
    assert clean == 0, pipeline.log_tail()
    assert chaos.n_kills >= KILLS
    assert under_load >= KILLS * 3 // 4, "the simulation was over too early; raise EVENTS"
    assert report.n_deaths == 2
    assert report.n_duplicates > 0
    assert len(read_ledger(options.ledger).acknowledged) == report.n_acknowledged >= EVENTS
    assert any(check.name.startswith("ledger:") for check in checks)
    moments = [check for check in checks if "what counts as of" in check.name]
    assert len(moments) == 2 * (1 + options.rounds)
    assert (
        len({check.expected for check in moments}) > options.rounds
    )  # each has a truth of its own


def _chaos(chaos: Chaos, is_loaded: Callable[[], bool]) -> tuple[int, int]:
    """Gives the exit status of the worker that left cleanly, and the kills under load."""
    chaos.kill_some(5)
    third = chaos.join()
    chaos.kill_some(3)
    status = chaos.leave(third, signal.SIGTERM)
    chaos.kill_some(4)
    third = chaos.join()
    chaos.zombie(third)
    chaos.leave(third, signal.SIGKILL)
    under_load = chaos.n_kills if is_loaded() else 0
    chaos.kill_some(KILLS - chaos.n_kills)
    return status, chaos.n_kills if is_loaded() else under_load
