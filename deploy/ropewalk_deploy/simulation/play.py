"""One scripted trajectory through a recorder, one step at a time."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime

from ropewalk_deploy.simulation.agents import Agent, StepPlan
from ropewalk_deploy.simulation.recorded_step import record_step
from ropewalk_deploy.simulation.scripts import Script
from ropewalk_producers import Continuation, Recorder, Trajectory
from ropewalk_producers.ids import EventIds
from ropewalk_schemas.events import Policy, Status

POLICY = Policy(model="trader-8b", version="2026-01")
GOAL = "End the game with more than you began with."


class ExchangeDownError(Exception):
    """An agent's own code fails; the recorder must keep the error and let it pass."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What all trajectories of one process life share.

    Args:
        writer: Of this life; a child's writer is derived from it.
        winding_up: Whether trajectories should come to an end now.
    """

    recorder: Recorder
    writer: str
    ids: EventIds
    clock: Callable[[], datetime]
    winding_up: Callable[[], bool]


def play(stage: Stage, script: Script, *, started_at: datetime) -> Iterator[None]:
    """Record a trajectory from its begin; yields after each step."""
    trajectory = stage.recorder.trajectory(
        agent_id=script.agent_id,
        trajectory_id=script.trajectory_id,
        scenario=script.game.scenario,
        policy=POLICY,
        goal=GOAL,
        seed=script.game.seed,
        group_key=script.game.id,
        metadata={"persona": script.persona.name, "hidden": script.game.hidden()},
        started_at=started_at,
        writer=stage.writer,
        ids=stage.ids,
    )
    yield from _run(stage, script, trajectory=trajectory, done=0)


def resume(
    stage: Stage, script: Script, *, continuation: Continuation, done: int
) -> Iterator[None]:
    """Go on with a trajectory that a dead process left after `done` steps, as another writer."""
    trajectory = stage.recorder.resume(continuation, writer=stage.writer, ids=stage.ids)
    yield from _run(stage, script, trajectory=trajectory, done=done)


def _run(stage: Stage, script: Script, *, trajectory: Trajectory, done: int) -> Iterator[None]:
    # Who vanishes never leaves its block.
    block = nullcontext() if script.ending == "vanishes" else trajectory
    with suppress(ExchangeDownError), block:
        yield from _steps(stage, script, trajectory=trajectory, done=done)


def _steps(stage: Stage, script: Script, *, trajectory: Trajectory, done: int) -> Iterator[None]:
    agent = script.agent(after=done)
    for number in range(done, script.n_steps):
        at = script.clock.at(stage.clock(), step=number)
        if number == script.hands_over_at:
            _hand_over(stage, trajectory, agent.step(), at=at)
        else:
            record_step(trajectory, agent.step(), at=at)
        yield
        if stage.winding_up():
            break
    _finish(stage, script, agent=agent, trajectory=trajectory)


def _hand_over(stage: Stage, trajectory: Trajectory, plan: StepPlan, *, at: datetime) -> None:
    """A child process plays one step as a writer of its own."""
    writer = f"{stage.writer}.child"
    trajectory.hand_to(writer)
    child = stage.recorder.resume(trajectory.continuation, writer=writer, ids=stage.ids)
    record_step(child, plan, at=at)
    child.close(at=at)


def _finish(stage: Stage, script: Script, *, agent: Agent, trajectory: Trajectory) -> None:
    if script.ending == "vanishes":
        return
    if script.ending == "failed":
        msg = "the exchange closed the connection"
        raise ExchangeDownError(msg)
    ran_out = stage.winding_up() and agent.n_steps < script.n_steps
    status: Status = "truncated" if ran_out else script.ending
    trajectory.end(
        status=status,
        termination="round_over" if status == "completed" else status,
        messages=agent.unheard(),
        metadata=agent.summary(),
        at=script.clock.at(stage.clock(), step=agent.n_steps),
    )
