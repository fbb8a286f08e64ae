"""Many runs: which are still to be made, and several at a time, until it is ended."""

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ropewalk_deploy.chaos.arena import Arena, open_arena
from ropewalk_deploy.chaos.battle import Fault
from ropewalk_deploy.chaos.fought import Fought, failed
from ropewalk_deploy.chaos.version import code_version

RUNS_PER_ARENA = 8
"""Each run verifies the whole log, which grows: then the servers are made anew."""

Run = tuple[Fault, int]


def planned(
    faults: Iterable[Fault],
    first_seed: int,
    *,
    runs: int,
    kill_runs: int,
    known: Collection[tuple[str, int]],
) -> list[Run]:
    """Every fault once, then all of them again: what is ended early has seen them all. Pure."""
    counts = {fault.name: kill_runs if fault.kind == "kill" else runs for fault in faults}
    by_arena = sorted(faults, key=lambda fault: fault.alone)
    return [
        (fault, first_seed + n)
        for n in range(max(counts.values(), default=0))
        for fault in by_arena
        if n < counts[fault.name] and (fault.name, first_seed + n) not in known
    ]


@dataclass
class Series:
    """Runs what is planned.

    Args:
        todo: What is left.
        fight: Makes one run.
        done: Told of each run, from several threads, one at a time.
    """

    todo: deque[Run]
    fight: Callable[[Arena, Fault, int], Fought]
    done: Callable[[Fought, Arena], None]
    _ending: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _failures: list[Exception] = field(default_factory=list)

    def run(self, jobs: int) -> None:
        """Return when nothing is left, or `end` was called and what was under way is over.

        Raises:
            StackError: If servers cannot be started.
        """
        threads = [threading.Thread(target=self._work, name=f"arena-{n}") for n in range(jobs)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            try:
                for thread in threads:
                    thread.join()
            except KeyboardInterrupt:
                self.end()
        if self._failures:
            raise self._failures[0]

    def end(self) -> None:
        """Begin no further run."""
        self._ending.set()

    @property
    def was_ended(self) -> bool:
        """Whether something is left because of `end`."""
        return self._ending.is_set()

    def _work(self) -> None:
        try:
            while self._fights_in_one_arena():
                pass
        except Exception as error:  # raised again by `run`
            self._failures.append(error)
            self.end()

    def _next(self, *, alone: bool | None = None) -> Run | None:
        with self._turn:
            if self._ending.is_set() or not self.todo:
                return None
            if alone is not None and self.todo[0][0].alone is not alone:
                return None
            return self.todo.popleft()

    def _fights_in_one_arena(self) -> bool:
        """Some runs on servers made for them; gives whether there were any."""
        first = self._next()
        if first is None:
            return False
        with ExitStack() as stack:
            home = Path(tempfile.mkdtemp(prefix="ropewalk-chaos-"))
            home.chmod(0o755)  # the database server's user must get in
            arena = stack.enter_context(open_arena(home, lambda _: None))
            run: Run | None = first
            n_runs = 0
            while run is not None:
                n_runs += 1
                is_usable = self._fought(arena, *run) and not run[0].alone
                more = is_usable and n_runs < RUNS_PER_ARENA
                run = self._next(alone=False) if more else None
        return True

    def _fought(self, arena: Arena, fault: Fault, seed: int) -> bool:
        """One run; gives whether the arena may be used again."""
        began = time.monotonic()
        try:
            fought = self.fight(arena, fault, seed)
        except Exception as error:
            if self._ending.is_set():
                return False  # Ctrl-C ended the agents, too: that is no finding
            fought = failed(fault.name, seed, error)
        fought = replace(fought, seconds=round(time.monotonic() - began, 1), version=code_version())
        arena.keep |= bool(fought.problems)
        with self._turn:
            self.done(fought, arena)
        return not fought.problems
