"""One run of a fault: load, the fault in the middle of it, recovery, and every check."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal
from urllib.parse import urlsplit

from ropewalk_deploy.audit.quiet import wait_until_quiet
from ropewalk_deploy.audit.readers import newest_progress, wait_until
from ropewalk_deploy.audit.verify import verify
from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.fought import Fought, judged
from ropewalk_deploy.chaos.gaps import gaps_of
from ropewalk_deploy.chaos.offsets import Looker, Offsets, watching
from ropewalk_deploy.chaos.proxy import Proxy
from ropewalk_deploy.commands.run import programs
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.demonstration import PROGRAM, SLOW_S, judge_of
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner
from ropewalk_deploy.simulation.driver import SimulationReport, simulate
from ropewalk_deploy.simulation.ledger_lines import Moment
from ropewalk_deploy.simulation.model_server import model_server
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.scripted_model import by_account, moody
from ropewalk_deploy.stack import ports
from ropewalk_deploy.stack.ports import HOST
from ropewalk_deploy.supervised import running, wait_until_owned
from ropewalk_deploy.supervisor import Program, Supervisor
from ropewalk_producers.config import RecorderSettings
from ropewalk_sinks.errors import SinkError
from ropewalk_sinks.judging.config import JudgeSettings

OURS = "ropewalk_deploy"
LOOK_EVERY_S = 0.1
STALL_S = 120.0  # agents wait for a broker that is away, however slow the machine is
RECOVERS_WITHIN_S, QUIET_WITHIN_S, LOAD_WITHIN_S = 90.0, 150.0, 240.0


Server = Literal["broker", "postgres"]


@dataclass
class Battle:
    """What a fault gets: the servers, the programs, chance, and how much of the play is over."""

    arena: Arena
    supervisor: Supervisor
    rng: Random
    share: float = 0.0
    played: threading.Event = field(default_factory=threading.Event)
    told: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)
    proxies: dict["Server", Proxy] = field(default_factory=dict)

    def pid(self, name: str) -> int:
        """The process id of a living program; waits until it lives.

        Raises:
            CommandError: If it does not start within half a minute.
        """
        if not wait_until(lambda: name in self.supervisor.pids(), timeout_s=30, every_s=0.05):
            msg = f"{name} does not start"
            raise CommandError(msg)
        return self.supervisor.pids()[name]

    def pause(self, least_s: float, most_s: float) -> None:
        """Let a random time pass: faults come at random moments."""
        time.sleep(self.rng.uniform(least_s, most_s))

    def open_trajectories(self) -> int:
        """How many there are by the worker's newest accounts."""
        with LogScanner(self.arena.places.bootstrap_servers) as scanner:
            accounts = newest_progress(scanner).values()
        return sum(account.open_trajectories for account in accounts)

    def until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait for something; gives whether it came."""
        return wait_until(condition, timeout_s=within_s, every_s=0.02)


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Args:
        strike: Does it, and undoes what must be undone for work to go on.
        kind: A "kill" is tried more often.
        alone: Whether the servers cannot be used for anything else afterwards.
        when: In the "play", "after it" before any outcome is told, or in the "round" of outcomes
            that follows.
        extra: Programs besides one worker, the sinks and settlement.
        options: Changes of the simulation.
        n_workers: How many.
        worker_module: Where the workers' command is; another one than ours has a bug.
        judges: Whether a judge is at work.
        through: Servers that programs and agents reach through a proxy.
        prepare: Done around the run, before programs start; gives what is to be in the environment
            of programs.
        cannot: Why it cannot be tried on this machine; None when it can.
        play: Makes a run that is a play of its own, given the arena, the seed, and how many times
            its usual size it is to have; then there is no strike.
    """

    name: str
    strike: Callable[[Battle], None] | None = None
    kind: Literal["kill", "other"] = "other"
    alone: bool = False
    when: str = "play"
    extra: tuple[Program, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    n_workers: int = 1
    worker_module: str = OURS
    judges: bool = False
    through: tuple[Server, ...] = ()
    prepare: Callable[[Arena], AbstractContextManager[Mapping[str, str]]] | None = None
    cannot: Callable[[], str | None] = lambda: None
    play: Callable[[Arena, int, float], Fought] | None = None


def fight(
    arena: Arena, fault: Fault, seed: int, *, events: int, rate: float, scale: float = 1.0
) -> Fought:
    """One run.

    Args:
        arena: Where.
        fault: Which.
        seed: Of all that is chance in it.
        events: Target of the simulation.
        rate: Its events/s.
        scale: How many times its usual size a fault that is a play of its own is to have.

    Raises:
        CommandError: If programs do not start, or do not come to rest afterwards.
    """
    if fault.play is not None:
        return fault.play(arena, seed, scale)
    given = {"resolved": 0.7, "corrected": 0.4, "reviewed": 0.3, "vanish": 0.0, "hours_behind": 8.0}
    shape = {"processes": 2, "long": 0.0, "token_ids": 0.0, "events": events, "rate": rate,
             "stall_s": STALL_S}  # fmt: skip
    options = SimulationOptions(
        ledger=arena.home / "ledgers" / f"{fault.name}-{seed}",
        run=f"{fault.name}-{seed}",
        seed=seed,
        **given | shape | dict(fault.options),  # type: ignore[arg-type] # by name
    )
    rng = Random(seed)  # noqa: S311 - a simulation
    with (
        model_server(moody(seed), by_account, slow_s=SLOW_S) as model,
        arena.log.open("ab") as log,
        proxied(arena, fault.through, rng) as (places, proxies),
        fault.prepare(arena) if fault.prepare else nullcontext({}) as prepared,
    ):
        judge, environment = judge_of(model, arena.places)
        judging = [PROGRAM] if fault.judges else []
        supervisor = Supervisor(
            [*programs_of(fault.n_workers, fault.worker_module), *fault.extra, *judging],
            output=log,
            environment=arena.environment
            | environment
            | places.environment()
            | dict(prepared)
            | {"ROPEWALK_JUDGE_SETTLE_S": "0.5"},
        )
        battle = Battle(arena, supervisor, rng, proxies=proxies)
        with running(supervisor) as is_alive, watching(arena.places) as watched:
            wait_until_owned(arena.places, is_alive)
            load = _Load(battle, options, places, judge if fault.judges else None)
            recover_s = _struck(battle, fault, load)
            report = load.wait()
            checks = verify(
                arena.places,
                ledger=options.ledger,
                timeout_s=60,
                share=lambda _: None,
                with_replay=True,
            )
    checks.append(watched.check())
    told: dict[str, int] = {}
    if options.lost:
        gaps = gaps_of(options.ledger, arena.places.parquet_path)
        checks.append(gaps.check())
        told = {"never sent": gaps.never_sent, "listed as missing": gaps.listed}
    return judged(
        fault.name,
        seed,
        checks,
        battle.notes,
        events=report.n_acknowledged,
        recover_s=recover_s,
        told=told,
    )


def programs_of(n_workers: int, worker_module: str) -> list[Program]:
    """What `ropewalk run` keeps alive, with workers that may have a bug."""
    return [
        replace(program, module=worker_module) if "worker" in program.arguments else program
        for program in programs(n_workers)
    ]


@contextmanager
def proxied(
    arena: Arena, servers: tuple[Server, ...], rng: Random
) -> Iterator[tuple[Endpoints, dict[Server, Proxy]]]:
    """How programs reach the servers, some of them through proxies of ours."""
    with ExitStack() as stack:
        places = arena.places
        proxies: dict[Server, Proxy] = {}
        if "broker" in servers:
            port, told = arena.extras.led or (0, 0)
            proxies["broker"] = stack.enter_context(Proxy(told, port, rng).running())
            places = replace(places, bootstrap_servers=f"{HOST}:{told}")
        if "postgres" in servers:
            port = int(urlsplit(places.postgres_dsn).port or 0)
            own = ports.choose(avoid=arena.extras.led or ())
            proxies["postgres"] = stack.enter_context(Proxy(own, port, rng).running())
            dsn = places.postgres_dsn.replace(f":{port}/", f":{own}/")
            places = replace(places, postgres_dsn=dsn)
        yield places, proxies


def _struck(battle: Battle, fault: Fault, load: "_Load") -> float:
    """Strike in the middle of the work; gives how long everything sent until then then takes."""
    if fault.when == "round":
        battle.told.wait(LOAD_WITHIN_S)
        battle.pause(0.0, 1.0)
    elif fault.when == "after it":  # a point must be armed before the round's work, which is short
        battle.played.wait(LOAD_WITHIN_S)
    else:
        at = battle.rng.uniform(0.15, 0.5)
        wait_until(
            lambda: battle.share >= at or load.is_over, timeout_s=LOAD_WITHIN_S, every_s=0.02
        )
    if fault.strike is not None:
        fault.strike(battle)
    return recovery(battle)


def recovery(battle: Battle, within_s: float = RECOVERS_WITHIN_S) -> float:
    """Seconds until everything that is in the logs now is assembled and stored in both sinks."""
    began = time.monotonic()
    places = battle.arena.places
    seen: list[Offsets] = []  # the first look, and the newest

    def recovered() -> bool:
        with suppress(CommandError, SinkError), LogScanner(places.bootstrap_servers) as scanner:
            looker = Looker(places, scanner)
            while time.monotonic() - began < within_s:
                seen[1:] = [looker.look()]
                if len(seen) > 1 and _covers(seen[-1], seen[0].ends):
                    return True
                time.sleep(LOOK_EVERY_S)
        return False  # a server is only just back

    if not wait_until(recovered, timeout_s=within_s, every_s=LOOK_EVERY_S):
        battle.notes.append(f"not recovered within {within_s:.0f} s")
    return time.monotonic() - began


def _covers(now: Offsets, ends: dict[tuple[str, int], int]) -> bool:
    """Whether the worker and both sinks have come to where the logs ended."""
    return all(now.done(place) >= end for place, end in ends.items())


class _Load:
    """The simulation in a thread."""

    def __init__(
        self,
        battle: Battle,
        options: SimulationOptions,
        places: Endpoints,
        judge: JudgeSettings | None,
    ) -> None:
        self._battle, self._options, self._judge = battle, options, judge
        self._servers = places.bootstrap_servers
        self._report: SimulationReport | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def _run(self) -> None:
        settings = RecorderSettings(
            project="chaos", service="chaos", bootstrap_servers=self._servers
        )
        try:
            self._report = simulate(self._options, settings, self._progress, self._caught_up)
        except Exception as error:  # raised again where it is waited for
            self._failure = error
        finally:
            self._battle.played.set()
            self._battle.told.set()

    def _progress(self, share: float) -> None:
        self._battle.share = share

    def _caught_up(self, after: str) -> Moment:
        if after != "the play":
            self._battle.told.set()
        at_ms = wait_until_quiet(
            self._battle.arena.places, judge=self._judge, timeout_s=QUIET_WITHIN_S
        )
        self._battle.played.set()
        return Moment(at_ms, after, judged=self._judge is not None)

    @property
    def is_over(self) -> bool:
        """Whether all is sent and has had its consequences, or it failed."""
        return not self._thread.is_alive()

    def wait(self) -> SimulationReport:
        """What was sent.

        Raises:
            CommandError: If it did not come to its end.
        """
        self._thread.join(LOAD_WITHIN_S + QUIET_WITHIN_S)
        if self._report is None:
            msg = f"the load did not come to its end: {self._failure or 'it goes on'}"
            raise CommandError(msg)
        return self._report
