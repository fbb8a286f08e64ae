"""One agent process of the simulation, as an operating system process."""

import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import NoReturn, Protocol

from ropewalk_deploy.simulation.ledger import SUFFIX, Ledger, LedgerWriter, read_ledger
from ropewalk_deploy.simulation.life import Life, LifePlan, Surroundings
from ropewalk_deploy.simulation.recording import Unruly, WitnessedPublisher
from ropewalk_producers import Recorder, RecorderSettings
from ropewalk_producers.errors import RopewalkProducerError
from ropewalk_producers.importers.backpressure import Backpressure
from ropewalk_producers.kafka import KafkaPublisher

EXIT_DIED = 70
EXIT_UNDELIVERED = 71
CLOSE_TIMEOUT_S = 60.0


class Failures(Protocol):
    """Where a process says why it failed."""

    def put(self, problem: str, /) -> None:
        """Say it."""
        ...


class Board(Protocol):
    """Where each process shows the share of its work that is done."""

    def __setitem__(self, process: int, done: float, /) -> None: ...


@dataclass(slots=True)
class Pace:
    """Holds a process to its share of the rate, and to what the broker takes. 0 is full speed."""

    recorder: Recorder
    backpressure: Backpressure
    rate: float
    begun: float

    def hold(self) -> None:
        """Wait until more may be sent."""
        if self.rate:
            due = self.begun + self.recorder.counters.accepted / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
        self.backpressure.hold()


def run_process(
    plan: LifePlan, settings: RecorderSettings, board: Board, failures: Failures
) -> None:
    """Live one life; the process's exit status says how it ended."""
    try:
        problem = _live(plan, settings, board)
    except KeyboardInterrupt:
        os._exit(130)
    except RopewalkProducerError as error:
        problem = str(error)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem is not None:
        failures.put(f"process {plan.process}: {problem}")
        os._exit(EXIT_UNDELIVERED)


def _live(plan: LifePlan, settings: RecorderSettings, board: Board) -> str | None:
    """Returns what went wrong, if anything."""
    path = plan.options.ledger / f"p{plan.process}{SUFFIX}"
    before = read_ledger(path) if plan.life else Ledger()
    with LedgerWriter(path) as ledger:
        rng = Random(f"{plan.options.seed}/{plan.writer}")  # noqa: S311 - a simulation
        publisher = WitnessedPublisher(
            KafkaPublisher(settings),
            ledger,
            rng=rng,
            unruly=Unruly(plan.options.duplicates, plan.options.lost, plan.options.reordered),
        )
        named = replace(settings, service="simulator", instance=f"p{plan.process}")
        recorder = Recorder(named, publisher=publisher)
        backpressure = Backpressure(recorder, stall_s=plan.options.stall_s)
        pace = Pace(
            recorder, backpressure, plan.options.rate / plan.options.processes, time.monotonic()
        )

        def turned(done: float) -> None:
            board[plan.process] = done
            pace.hold()

        around = Surroundings(clock=_now, sleep=time.sleep, die=_die, turned=turned)
        Life(plan, recorder=recorder, ledger=ledger, before=before, surroundings=around).run()
        publisher.release()
        backpressure.drain()
        report = recorder.close(CLOSE_TIMEOUT_S)
    if replace(report, dropped=0 if plan.options.lost else report.dropped).complete:
        return None
    return f"not every event was acknowledged: {report} ({recorder.last_error})"


def _now() -> datetime:
    return datetime.now(UTC)


def _die() -> NoReturn:
    os._exit(EXIT_DIED)
