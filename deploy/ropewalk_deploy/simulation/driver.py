"""Runs a simulation: several agent processes, the restart of those that die, and the report."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.context import SpawnContext
from pathlib import Path
from random import Random
from typing import Any

from ropewalk_deploy.simulation.afterwards import draw_rounds
from ropewalk_deploy.simulation.ledger import SUFFIX, read_ledger
from ropewalk_deploy.simulation.life import LifePlan
from ropewalk_deploy.simulation.options import SimulationError, SimulationOptions
from ropewalk_deploy.simulation.process import EXIT_DIED, run_process
from ropewalk_deploy.simulation.telling import CaughtUp, tell
from ropewalk_producers import RecorderSettings

POLL_S = 0.05
Progress = Callable[[float], None]
"""Told the share of the work that is done, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What a simulation sent.

    Args:
        n_acknowledged: Distinct events that Kafka has; `by_type` splits them.
        n_unsure: Events sent by processes that died before they knew.
        n_duplicates: Acknowledged copies beyond the first.
        n_outcomes: Outcomes of markets, corrections counted.
    """

    run: str
    ledger: Path
    n_acknowledged: int
    by_type: dict[str, int]
    n_unsure: int
    n_duplicates: int
    n_trajectories: int
    n_deaths: int
    n_outcomes: int
    seconds: float

    @property
    def events_per_s(self) -> float:
        """Acknowledged events per second of the whole run, start of processes included."""
        return self.n_acknowledged / self.seconds if self.seconds else 0.0


def simulate(
    options: SimulationOptions,
    recorder_settings: RecorderSettings,
    progress: Progress = lambda _share: None,
    caught_up: CaughtUp | None = None,
) -> SimulationReport:
    """Run a simulation to its end.

    Args:
        options: What to simulate.
        recorder_settings: Where to send it.
        progress: Told the share of the play that is done.
        caught_up: Waits, after the play and after each round that follows it, until everything has
            had its consequences; then the ledger knows the moment.

    Raises:
        CommandError: If what followed the play was not acknowledged.
        SimulationError: If the ledger's folder holds another run's, or a process failed.
    """
    if any(options.ledger.glob(f"*{SUFFIX}")):
        msg = f"{options.ledger} holds the ledger of another run; name a new folder"
        raise SimulationError(msg)
    options.ledger.mkdir(parents=True, exist_ok=True)
    settings = replace(
        recorder_settings,
        project=options.project or recorder_settings.project,
        kafka_options=dict(recorder_settings.kafka_options),  # settings travel by pickle
    )
    begun = time.monotonic()
    _Processes(options, settings, progress).run()
    played_until = datetime.now(UTC) - timedelta(hours=options.hours_behind)
    rounds = draw_rounds(options, read_ledger(options.ledger), played_until=played_until)
    if rounds or caught_up is not None:
        tell(rounds, options, settings, caught_up)
    return _report(options, seconds=time.monotonic() - begun)


def first_lives(options: SimulationOptions) -> list[LifePlan]:
    """The first life of each process; which of them die, and when, comes from the seed."""
    rng = Random(f"{options.seed}/deaths")  # noqa: S311 - a simulation, not a secret
    dying = set(rng.sample(range(options.processes), options.deaths))
    return [
        LifePlan(options, process, dies_at=rng.uniform(0.3, 0.7) if process in dying else None)
        for process in range(options.processes)
    ]


class _Processes:
    """The agent processes of one run."""

    def __init__(
        self, options: SimulationOptions, settings: RecorderSettings, progress: Progress
    ) -> None:
        self._settings, self._progress = settings, progress
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._board: Any = self._context.Array("d", options.processes, lock=False)
        self._failures: Any = self._context.SimpleQueue()
        self._plans = {plan.process: plan for plan in first_lives(options)}
        self._running: dict[int, Any] = {}
        self._n_deaths = 0

    def run(self) -> None:
        """Start all, restart the dead, return when the last has done its share."""
        share = 0.0
        try:
            for process in self._plans:
                self._start(process)
            while self._running:
                time.sleep(POLL_S)
                # A death sets a process back: what was not acknowledged is done again.
                share = max(share, min(1.0, sum(self._board) / len(self._board)))
                self._progress(share)
                for process in list(self._running):
                    self._look_after(process)
        finally:
            for running in self._running.values():
                running.terminate()
                running.join()
        self._progress(1.0)

    def _start(self, process: int) -> None:
        arguments = (self._plans[process], self._settings, self._board, self._failures)
        started = self._context.Process(target=run_process, args=arguments)
        started.start()
        self._running[process] = started

    def _look_after(self, process: int) -> None:
        status = self._running[process].exitcode
        if status is None:
            return
        del self._running[process]
        if status == EXIT_DIED:
            self._n_deaths += 1
            before = self._plans[process]
            # The first death is resumed, the second never, and so on.
            self._plans[process] = replace(
                before, life=before.life + 1, dies_at=None, resumes=self._n_deaths % 2 == 1
            )
            self._start(process)
        elif status != 0:
            why = f"exit status {status}" if self._failures.empty() else self._failures.get()
            msg = f"the simulation stopped: {why}"
            raise SimulationError(msg)


def _report(options: SimulationOptions, *, seconds: float) -> SimulationReport:
    ledger = read_ledger(options.ledger)
    acknowledged = ledger.acknowledged
    return SimulationReport(
        run=options.run,
        ledger=options.ledger,
        n_acknowledged=len(acknowledged),
        by_type=dict(Counter(event.intent.type for event in acknowledged.values())),
        n_unsure=len(ledger.unsure),
        n_duplicates=ledger.n_duplicates,
        n_trajectories=len(ledger.opened),
        n_deaths=ledger.n_deaths,
        n_outcomes=len(ledger.told_ms),
        seconds=seconds,
    )
