"""What every program holds and where everything stands, looked at every few seconds."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from ropewalk_deploy.audit.quiet import READ_BY
from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.beside import beside
from ropewalk_deploy.chaos.flat import Bound, Point, Slope, slope
from ropewalk_deploy.chaos.offsets import Looker, Offsets
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner
from ropewalk_deploy.stack.model import KAFKA, POSTGRES
from ropewalk_schemas.topics import AGENT_EVENTS, TRAJECTORIES
from ropewalk_sinks.errors import SinkError

EVERY_S = 5.0
MIB = 1024 * 1024
HELD = {"memory_mib": Bound(0.05, 4.0), "fds": Bound(0.25, 4.0), "threads": Bound(0.25, 2.0)}
STANDS = {
    "open": Bound(0.1, 5.0),
    **dict.fromkeys(("lag_worker", "lag_postgres", "lag_parquet"), Bound(0.5, 50.0)),
}
"""What counts as flat; the files of a database come and go with its connections."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one program holds, with its children.

    Memory is what no other process shares with it: not the database's cache, whose size is set.
    """

    pid: int
    memory_mib: float
    fds: int
    threads: int


@dataclass(frozen=True, slots=True)
class Stands:
    """Where everything stands: records not yet read, and sums since the begin."""

    lag_worker: int
    lag_postgres: int
    lag_parquet: int
    open: int
    n_events: int
    n_assembled: int
    n_published: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `stands` is None while a server does not answer."""

    at_s: float
    held: dict[str, Held]
    stands: Stands | None


@dataclass
class Samples:
    """All looks."""

    taken: list[Sample] = field(default_factory=list)

    def lives(self, program: str, what: str) -> list[list[Point]]:
        """What a program held, one list for each of its processes."""
        found: dict[int, list[Point]] = {}
        for sample in self.taken:
            held = sample.held.get(program)
            if held is not None:
                found.setdefault(held.pid, []).append((sample.at_s, float(getattr(held, what))))
        return list(found.values())

    def standing(self, what: str) -> list[Point]:
        """Where one thing stood."""
        return [(s.at_s, float(getattr(s.stands, what))) for s in self.taken if s.stands]

    def programs(self) -> list[str]:
        """Whatever was seen, by name."""
        return sorted({name for sample in self.taken for name in sample.held})

    def slopes(self, span: tuple[float, float]) -> list[Slope]:
        """How everything grew, from when to when, that was looked at long enough."""
        found = [
            slope(f"{program} {what}", self.lives(program, what), bound, span)
            for program in self.programs()
            for what, bound in HELD.items()
        ] + [slope(what, [self.standing(what)], bound, span) for what, bound in STANDS.items()]
        return [each for each in found if each is not None]


@contextmanager
def sampling(
    arena: Arena, pids: Callable[[], dict[str, int]], told: Callable[[Sample], None]
) -> Iterator[Samples]:
    """Look every few seconds, in a thread, at an arena's servers and at programs by name.

    Args:
        arena: Whose servers.
        pids: The programs.
        told: Of each look, at once.
    """
    samples = Samples()
    began = time.monotonic()

    def work(stop: threading.Event) -> None:
        while not stop.is_set():
            with suppress(CommandError, SinkError, KeyError), LogScanner(
                arena.places.bootstrap_servers
            ) as scanner:  # fmt: skip
                looker = Looker(arena.places, scanner)
                while not stop.wait(EVERY_S):
                    offsets = _looked(looker)
                    held = _held(arena, pids())
                    at_s = round(time.monotonic() - began, 1)
                    stands = None if offsets is None else stands_of(offsets)
                    samples.taken.append(Sample(at_s, held, stands))
                    told(samples.taken[-1])
                    if offsets is None:
                        break

    with beside(work, name="samples"):
        yield samples


def _looked(looker: Looker) -> Offsets | None:
    try:
        return looker.look()
    except (CommandError, SinkError, KeyError):
        return None  # a server is away for a while


def _held(arena: Arena, pids: dict[str, int]) -> dict[str, Held]:
    servers = {}
    for name in (KAFKA, POSTGRES):
        with suppress(KeyError, psutil.Error):
            servers[name] = arena.server(name).pid
    found = {}
    for name, pid in (servers | pids).items():
        with suppress(psutil.Error):
            found[name] = held_by(pid)
    return found


def held_by(pid: int) -> Held:
    """What a process and its children hold.

    Raises:
        psutil.Error: If it does not live.
    """
    process = psutil.Process(pid)
    memory, fds, threads = _own(process)
    for child in process.children(recursive=True):
        with suppress(psutil.Error):  # ended meanwhile
            more = _own(child)
            memory, fds, threads = memory + more[0], fds + more[1], threads + more[2]
    return Held(pid, round(memory / MIB, 2), fds, threads)


def _own(process: psutil.Process) -> tuple[int, int, int]:
    full = process.memory_full_info()
    return full.uss, process.num_fds(), process.num_threads()


def stands_of(offsets: Offsets) -> Stands:
    """Where everything stands; pure."""
    lags = {
        sink: sum(
            max(0, end - offsets.sinks[sink].get(place, 0))
            for place, end in offsets.ends.items()
            if place[0] in topics
        )
        for sink, topics in READ_BY.items()
    }
    inputs = {place: end for place, end in offsets.ends.items() if place[0] == AGENT_EVENTS.name}
    return Stands(
        lag_worker=sum(max(0, end - offsets.worker.get(place, 0)) for place, end in inputs.items()),
        lag_postgres=lags["postgres"],
        lag_parquet=lags["parquet"],
        open=sum(account.open_trajectories for account in offsets.accounts.values()),
        n_events=sum(inputs.values()),
        n_assembled=sum(account.counts.assembled for account in offsets.accounts.values()),
        n_published=sum(
            end for (topic, _), end in offsets.ends.items() if topic == TRAJECTORIES.name
        ),
    )
