"""The life of one agent process: its agents play in turn until its share is done, or it dies."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from ropewalk_deploy.simulation.ledger import Ledger, LedgerWriter
from ropewalk_deploy.simulation.ledger_lines import Died, Opened
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.play import Stage, play, resume
from ropewalk_deploy.simulation.scripts import Script, draw_script
from ropewalk_producers import Continuation, Recorder
from ropewalk_producers.ids import EventIds, derived_ids
from ropewalk_schemas.fields import format_instant

LATE_TURNS = 40
PAUSE_AT = 0.5
_OVER = object()


@dataclass(frozen=True, slots=True)
class LifePlan:
    """One life of one process.

    Args:
        life: 0 for the first.
        dies_at: The share of its work after which it dies; None when it lives.
        resumes: Whether it goes on with what the life before left open.
    """

    options: SimulationOptions
    process: int
    life: int = 0
    dies_at: float | None = None
    resumes: bool = False

    @property
    def writer(self) -> str:
        """The writer of this life's events."""
        return f"{self.options.run}/p{self.process}.{self.life}"

    @property
    def share(self) -> int:
        """Events of this process; or trajectories, when the run counts those."""
        options = self.options
        whole = options.events if options.trajectories is None else options.trajectories
        each, rest = divmod(whole, options.processes)
        return each + (self.process < rest)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The world outside: real in a process, stand-ins in tests.

    Args:
        die: Ends the process at once.
        turned: Called after every turn with the share of work done; may block, to pace.
    """

    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    die: Callable[[], NoReturn]
    turned: Callable[[float], None]


class Life:
    """Runs a plan; the order of steps is fixed, only time is not."""

    def __init__(
        self,
        plan: LifePlan,
        *,
        recorder: Recorder,
        ledger: LedgerWriter,
        before: Ledger,
        surroundings: Surroundings,
    ) -> None:
        self._plan, self._options = plan, plan.options
        self._ledger, self._before, self._around = ledger, before, surroundings
        self._recorder = recorder
        self._ids: EventIds = derived_ids(self._options.run)
        self._stage = Stage(
            recorder, plan.writer, self._ids, surroundings.clock, self._is_winding_up
        )
        self._n_events_before = len(before.acknowledged)
        self._n_opened = len(before.opened)
        self._late: deque[tuple[int, Script]] = deque()
        self._turn = 0
        self._paused = plan.life > 0 or not self._options.pause_s
        self._next_numbers = dict.fromkeys(range(self._options.agents), 0) | {
            line.slot: line.number + 1 for line in before.opened.values()
        }

    def run(self) -> None:
        """Play until the share is done and every open trajectory has come to its end."""
        plays = dict(enumerate(map(self._first_play, range(self._options.agents))))
        while plays:
            for slot, current in list(plays.items()):
                if next(current, _OVER) is _OVER:
                    if self._is_done():
                        del plays[slot]
                    else:
                        plays[slot] = self._open(slot)
                self._after_turn()
        while self._late:
            self._reward_late()

    def _first_play(self, slot: int) -> Iterator[None]:
        """What the life before left open in this slot, if it is to be resumed; then a new one."""
        left = max(
            (line for line in self._before.opened.values() if line.slot == slot),
            key=lambda line: line.number,
            default=None,
        )
        if left is not None and self._plan.resumes:
            yield from self._resumed(left)
        if not self._is_done():
            yield from self._open(slot)

    def _resumed(self, left: Opened) -> Iterator[None]:
        done, has_ended = 0, False
        for event in self._before.events.values():
            if event.intent.trajectory_id == left.trajectory_id:
                done += event.intent.type == "decision"
                has_ended |= event.intent.type == "trajectory_ended"
        script = self._script(left.slot, left.number)
        if not has_ended and not (script.ending == "vanishes" and done >= script.n_steps):
            continuation = Continuation(
                trajectory_id=left.trajectory_id,
                started_at=left.started_at,
                agent_id=script.agent_id,
                episode_id=None,
                project=self._recorder.settings.project,
            )
            yield from resume(self._stage, script, continuation=continuation, done=done)

    def _open(self, slot: int) -> Iterator[None]:
        number = self._next_numbers[slot]
        self._next_numbers[slot] += 1
        self._n_opened += 1
        script = self._script(slot, number)
        started_at = script.clock.at(self._around.clock(), step=0)
        self._ledger.write(Opened(script.trajectory_id, format_instant(started_at), slot, number))
        return self._played(script, started_at)

    def _played(self, script: Script, started_at: datetime) -> Iterator[None]:
        yield from play(self._stage, script, started_at=started_at)
        if script.late_reward is not None and script.ending != "vanishes":
            self._late.append((self._turn + LATE_TURNS, script))

    def _script(self, slot: int, number: int) -> Script:
        return draw_script(self._options, process=self._plan.process, slot=slot, number=number)

    def _after_turn(self) -> None:
        self._turn += 1
        while self._late and self._late[0][0] <= self._turn:
            self._reward_late()
        done = self._done()
        if self._plan.dies_at is not None and done >= self._plan.dies_at:
            self._ledger.write(Died(self._plan.life))
            self._around.die()
        if not self._paused and done >= PAUSE_AT:
            self._paused = True
            self._around.sleep(self._options.pause_s)
        self._around.turned(done)

    def _reward_late(self) -> None:
        _, script = self._late.popleft()
        assert script.late_reward is not None  # noqa: S101 - only such scripts are queued
        self._recorder.reward(
            script.trajectory_id,
            "outcome",
            script.late_reward,
            source="outcome",
            outcome_key=script.game.predictions[0].key,
            reward_id=self._ids.reward_id(script.trajectory_id, "outcome", 0),
            at=self._around.clock(),
        )

    def _done(self) -> float:
        """The share of this process's work that is done, over all its lives."""
        if self._plan.share == 0:
            return 1.0
        if self._options.trajectories is not None:
            return self._n_opened / self._plan.share
        return (self._n_events_before + self._recorder.counters.accepted) / self._plan.share

    def _is_done(self) -> bool:
        return self._done() >= 1

    def _is_winding_up(self) -> bool:
        return self._options.trajectories is None and self._is_done()
