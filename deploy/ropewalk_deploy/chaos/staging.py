"""What faults need that are a play of their own: programs at work, and the checks at the end."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.quiet import wait_until_quiet
from ropewalk_deploy.audit.verify import verify
from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import OURS, QUIET_WITHIN_S, Battle, programs_of
from ropewalk_deploy.chaos.fought import Fought, judged
from ropewalk_deploy.chaos.offsets import Watched, watching
from ropewalk_deploy.errors import GaveUpError
from ropewalk_deploy.kafka import send_many
from ropewalk_deploy.supervised import running, wait_until_owned
from ropewalk_deploy.supervisor import Supervisor
from ropewalk_schemas.topics import PROGRESS
from ropewalk_stream_processors.ledger import progress_key

NOTHING = "\0"


@dataclass
class Stage:
    """Programs at work in an arena.

    Attributes:
        is_alive: Whether they are kept alive: not when one of them ended for good.
        log_from: Where in the log of all programs their own begins.
        may_give_up: Whether one of them is meant to end for good.
    """

    battle: Battle
    watched: Watched
    is_alive: Callable[[], bool]
    log_from: int = 0
    may_give_up: bool = False
    checks: list[Check] = field(default_factory=list)

    def count(self, name: str, expected: int, found: int) -> None:
        """Check a number of this fault's own."""
        wrong = [] if expected == found else [f"{found:,}, expected were {expected:,}"]
        self.checks.append(Check(name, not wrong, expected, found, wrong=wrong, n_wrong=len(wrong)))

    def prove(
        self, *, within_s: float = QUIET_WITHIN_S, with_replay: bool = True, without: str = NOTHING
    ) -> None:
        """Wait until nothing is left to do, and make every check of `ropewalk verify`.

        Args:
            within_s: How long that may take.
            with_replay: Also run the log through a fresh engine, where it is whole.
            without: Part of the names of checks that cannot hold; the caller counts otherwise.

        Raises:
            CommandError: If something is left to do for too long.
        """
        places = self.battle.arena.places
        wait_until_quiet(places, judge=None, timeout_s=within_s)
        checks = verify(
            places, ledger=None, timeout_s=60, share=lambda _: None, with_replay=with_replay
        )
        self.checks += [check for check in checks if without not in check.name]


@contextmanager
def at_work(
    arena: Arena,
    seed: int,
    *,
    environment: Mapping[str, str] | None = None,
    owned_within_s: float = 60.0,
    worker_module: str = OURS,
) -> Iterator[Stage]:
    """One of each program at work, once the worker has read what is in the log."""
    with arena.log.open("ab") as log:
        log_from = log.tell()
        supervisor = Supervisor(
            programs_of(1, worker_module),
            output=log,
            environment=arena.environment | dict(environment or {}),
        )
        battle = Battle(arena, supervisor, Random(seed))  # noqa: S311 - a simulation
        stage: Stage | None = None
        try:
            with running(supervisor) as is_alive, watching(arena.places) as watched:
                wait_until_owned(arena.places, is_alive, timeout_s=owned_within_s)
                stage = Stage(battle, watched, is_alive, log_from)
                yield stage
        except GaveUpError:
            if stage is None or not stage.may_give_up:
                raise


def forget_accounts(arena: Arena, partitions: Iterable[int]) -> None:
    """A person deletes accounts, knowingly."""
    for partition in partitions:
        send_many(
            arena.places.bootstrap_servers,
            PROGRESS.name,
            [(progress_key(partition), None)],
            partition=partition,
        )


def told_of(
    name: str,
    seed: int,
    stage: Stage,
    *,
    events: int,
    recover_s: float,
    lost: int = 0,
    told: Mapping[str, int] | None = None,
) -> Fought:
    """What came of a play."""
    return judged(
        name,
        seed,
        [*stage.checks, stage.watched.check()],
        stage.battle.notes,
        events=events,
        lost=lost,
        recover_s=recover_s,
        told=told,
    )
