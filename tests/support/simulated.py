"""A simulated process in memory, with a clock that counts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from ropewalk_deploy.simulation.ledger import Ledger, LedgerWriter, read_ledger
from ropewalk_deploy.simulation.life import Life, LifePlan, Surroundings
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.recording import Unruly, WitnessedPublisher
from ropewalk_producers import Recorder, RecorderSettings
from ropewalk_producers.errors import UnsendableError
from ropewalk_producers.publisher import Publisher
from ropewalk_producers.testing import MemoryPublisher, Record
from ropewalk_schemas.codec import decode_event_with_models
from ropewalk_schemas.events import LifeEvent, Reward

SETTINGS = RecorderSettings(project="tests", service="simulator")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class DeathError(BaseException):
    """The process is dead."""


class MortalPublisher(WitnessedPublisher):
    """A publisher that dies with its process: blocks left by the exception say nothing more."""

    is_dead = False

    def publish(self, key: bytes, value: bytes, event_id: str) -> None:
        if self.is_dead:
            raise UnsendableError("the process is dead")
        super().publish(key, value, event_id)

    def die(self) -> NoReturn:
        self.is_dead = True
        raise DeathError


def counting_clock() -> Callable[[], datetime]:
    """A clock that moves by a millisecond whenever it is read."""
    reads = iter(range(10**9))
    return lambda: BEGIN + timedelta(milliseconds=next(reads))


@dataclass
class Lived:
    """What one or more lives of a process left behind."""

    records: list[Record]
    slept_s: list[float]
    died: bool

    @property
    def events(self) -> list[LifeEvent | Reward]:
        return [decode_event_with_models(record.value) for record in self.records]


def options(ledger: Path, **given: Any) -> SimulationOptions:
    """One process with few events, and nothing going wrong but what is given."""
    quiet = dict.fromkeys(("duplicates", "vanish", "lost_clocks", "handovers", "late_rewards"), 0.0)
    small = {"run": "run", "processes": 1, "agents": 3, "events": 600, "long": 0.0}
    return SimulationOptions(ledger=ledger, **{**quiet, **small, **given})


def live(plan: LifePlan, *, broker: Publisher | None = None, before: Ledger | None = None) -> Lived:
    """Live one life in memory; its ledger is in `plan.options.ledger`."""
    memory = MemoryPublisher()
    slept_s: list[float] = []
    clock = counting_clock()
    died = False
    with LedgerWriter(plan.options.ledger / f"p{plan.process}.jsonl") as ledger:
        publisher = MortalPublisher(
            broker or memory, ledger, rng=Random(1), unruly=Unruly(plan.options.duplicates)
        )
        recorder = Recorder(SETTINGS, publisher=publisher, clock=clock)
        around = Surroundings(clock, slept_s.append, publisher.die, lambda _share: None)
        life = Life(
            plan, recorder=recorder, ledger=ledger, before=before or Ledger(), surroundings=around
        )
        try:
            life.run()
        except DeathError:
            died = True
        else:
            report = recorder.close(0)
            assert report.complete, recorder.last_error
    return Lived(memory.records, slept_s, died)


def lived(given: SimulationOptions) -> tuple[Lived, Ledger]:
    """The only life of the only process, and its ledger."""
    result = live(LifePlan(given, process=0))
    return result, read_ledger(given.ledger)
