"""The whole system under load for long, with faults at random: what it holds must stay level."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.quiet import wait_until_quiet
from ropewalk_deploy.audit.verify import verify
from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import OURS, STALL_S, Battle, Fault, recovery
from ropewalk_deploy.chaos.flat import Slope, check_flat
from ropewalk_deploy.chaos.offsets import watching
from ropewalk_deploy.chaos.samples import Sample, Samples, sampling
from ropewalk_deploy.commands.run import programs
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.simulation.driver import simulate
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.supervised import running, wait_until_owned
from ropewalk_deploy.supervisor import Supervisor
from ropewalk_producers.config import RecorderSettings

WAVE_S = 180.0
FEWER_FILES = {"ROPEWALK_PARQUET_FILE_AGE_S": "5"}
"""With chaos' half a second, readers would meet 40,000 files in half an hour."""
CALM_S = 60.0
LONGEST_OUTAGE = "broker-killed"
"""Comes first: what heaps take to catch up, they keep; judged is whether they take more later."""
QUIET_WITHIN_S = 300.0
CATCH_UP_S = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """What a soak is.

    Args:
        minutes: How long agents play.
        rate: Events/s of all agents.
        fault_every_s: On average.
        agents: Trajectories that are open at any time.
    """

    minutes: float
    rate: float
    seed: int
    fault_every_s: float = 90.0
    agents: int = 40


@dataclass(frozen=True, slots=True)
class Struck:
    """One fault of a soak."""

    fault: str
    at_s: float
    took_s: float
    recover_s: float


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of a soak."""

    samples: Samples
    struck: list[Struck]
    slopes: list[Slope]
    checks: list[Check]
    n_events: int
    seconds: float

    @property
    def problems(self) -> list[str]:
        """What does not hold; empty when all does."""
        return [f"{c.name}: {c.wrong or c.detail}" for c in self.checks if not c.ok]


def fitting(faults: dict[str, Fault]) -> list[Fault]:
    """The faults that a running system can meet, whatever it does otherwise."""
    return [
        fault
        for fault in faults.values()
        if fault.strike is not None
        and fault.when == "play"
        and fault.n_workers == 1
        and fault.worker_module == OURS
        and not (fault.alone or fault.extra or fault.options or fault.judges or fault.through)
    ]


def soak(
    arena: Arena,
    plan: SoakPlan,
    faults: list[Fault],
    say: Say,
    sampled: Callable[[Sample], None],
) -> Soaked:
    """Play, break, look, and prove the result.

    Args:
        arena: Where.
        plan: What.
        faults: Of which chance takes one after the other.
        say: Told what takes time.
        sampled: Told of each look at the system.

    Raises:
        CommandError: If programs do not start, or do not come to rest at the end.
    """
    began = time.monotonic()
    with arena.log.open("ab") as log:
        supervisor = Supervisor(
            programs(1), output=log, environment=arena.environment | FEWER_FILES
        )
        battle = Battle(arena, supervisor, Random(plan.seed))  # noqa: S311 - a simulation
        with (
            running(supervisor) as is_alive,
            watching(arena.places) as watched,
            sampling(arena, supervisor.pids, sampled) as samples,
        ):
            wait_until_owned(arena.places, is_alive)
            waves = _Waves(arena, plan, time.monotonic() + plan.minutes * 60)
            struck = _strike(battle, plan, faults, waves, say)
            n_events = waves.wait()
            say(f"{n_events:,} events acknowledged; waiting until all has had its consequences")
            wait_until_quiet(arena.places, judge=None, timeout_s=QUIET_WITHIN_S)
            checks = verify(
                arena.places,
                ledger=waves.ledger(),
                timeout_s=CATCH_UP_S,
                share=lambda _: None,
                with_replay=True,
            )
    notes = Check("soak: every fault is recovered from", not battle.notes, 0, len(battle.notes),
                  wrong=battle.notes, n_wrong=len(battle.notes))  # fmt: skip
    played_s = plan.minutes * 60  # its first half is what caches and heaps need to fill
    slopes = samples.slopes((played_s / 2, played_s))
    all_checks = [*checks, watched.check(), notes, check_flat(slopes)]
    return Soaked(samples, struck, slopes, all_checks, n_events, time.monotonic() - began)


def _strike(
    battle: Battle, plan: SoakPlan, faults: list[Fault], waves: "_Waves", say: Say
) -> list[Struck]:
    began = time.monotonic()
    struck: list[Struck] = []
    at = CALM_S + battle.rng.uniform(0.0, plan.fault_every_s)
    first = [fault for fault in faults if fault.name == LONGEST_OUTAGE]
    while not waves.is_over(time.monotonic() - began, at):
        fault = battle.rng.choice(faults if struck else first or faults)
        started = time.monotonic()
        if fault.strike is not None:
            fault.strike(battle)
        took = time.monotonic() - started
        recover_s = recovery(battle)
        struck.append(Struck(fault.name, round(at, 1), round(took, 1), round(recover_s, 1)))
        say(f"{at:.0f} s: {fault.name} took {took:.0f} s, recovered in {recover_s:.1f} s")
        at = max(time.monotonic() - began, at) + plan.fault_every_s * battle.rng.uniform(0.5, 1.5)
    return struck


@dataclass
class _Waves:
    """Agents that play one simulation after another, in a thread; outcomes follow each."""

    arena: Arena
    plan: SoakPlan
    until: float
    n_events: int = 0
    folders: list[Path] = field(default_factory=list)
    failure: Exception | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="waves")
        self._thread.start()

    def is_over(self, now_s: float, at_s: float) -> bool:
        """Wait until a moment of the soak has come; gives whether the load ended before."""
        self._thread.join(max(0.0, min(at_s - now_s, self.until - time.monotonic())))
        return not self._thread.is_alive() or time.monotonic() >= self.until

    def wait(self) -> int:
        """How many events were acknowledged.

        Raises:
            CommandError: If the load failed.
        """
        self._thread.join()
        if self.failure is not None:
            msg = f"the load failed: {self.failure}"
            raise CommandError(msg) from self.failure
        return self.n_events

    def ledger(self) -> Path:
        """One folder with the ledgers of all waves."""
        merged = self.arena.home / "ledgers" / "all"
        merged.mkdir()
        for folder in self.folders:
            for file in folder.iterdir():
                os.link(file, merged / f"{folder.name}-{file.name}")
        return merged

    def _run(self) -> None:
        try:
            while (left := self.until - time.monotonic()) > 1.0:
                self._wave(len(self.folders), min(WAVE_S, left))
        except Exception as error:  # raised again where it is waited for
            self.failure = error

    def _wave(self, number: int, seconds: float) -> None:
        folder = self.arena.home / "ledgers" / f"wave-{number:04}"
        options = SimulationOptions(
            ledger=folder,
            run=f"soak-{self.plan.seed}-{number}",
            seed=self.plan.seed + number,
            processes=2,
            agents=max(1, self.plan.agents // 2),
            events=max(1, int(self.plan.rate * seconds)),
            rate=self.plan.rate,
            resolved=0.7,
            corrected=0.3,
            reviewed=0.2,
            hours_behind=8.0,
            stall_s=STALL_S,
        )
        self.folders.append(folder)
        servers = self.arena.places.bootstrap_servers
        settings = RecorderSettings(project="soak", service="soak", bootstrap_servers=servers)
        self.n_events += simulate(options, settings).n_acknowledged
