"""One logged trajectory through a recorder, event by event."""

from collections.abc import Iterator
from datetime import datetime

from ropewalk_producers.ids import derived_ids
from ropewalk_producers.importers.logged import LoggedCall, LoggedDecision, LoggedTrajectory
from ropewalk_producers.recorder import Recorder
from ropewalk_producers.trajectory import Trajectory


def play(recorder: Recorder, logged: LoggedTrajectory) -> Iterator[datetime]:
    """Record one trajectory, event by event; see `pacing.Play`.

    No `with` block: an aborted replay must not say an end that the log does not say.
    """
    service = recorder.settings.service
    yield logged.started_at
    trajectory = recorder.trajectory(
        agent_id=logged.agent_id,
        trajectory_id=logged.trajectory_id,
        scenario=logged.scenario,
        policy=logged.model,
        seed=logged.seed,
        group_key=logged.group_key,
        metadata=logged.metadata,
        messages=logged.messages,
        started_at=logged.started_at,
        writer=service,
        ids=derived_ids(service),
    )
    yield from _events(trajectory, logged)


def _events(trajectory: Trajectory, logged: LoggedTrajectory) -> Iterator[datetime]:
    call_ids: list[str] = []
    for event in logged.events:
        yield event.at
        if isinstance(event, LoggedCall):
            call_ids.append(f"{logged.trajectory_id}/call/{len(call_ids)}")
            _record_call(trajectory, event, call_ids[-1])
        else:
            _record_decision(trajectory, event, call_ids[event.call])
    end = logged.end
    if end.reward is not None and end.reward_at is not None:
        yield end.reward_at
        trajectory.reward("reward", end.reward, source="environment", at=end.reward_at)
    yield end.at
    trajectory.end(
        status=end.status,
        termination=end.termination,
        messages=end.messages,
        metadata=end.metadata,
        error=end.error,
        at=end.at,
    )


def _record_call(trajectory: Trajectory, call: LoggedCall, call_id: str) -> None:
    trajectory.llm_call(
        model=call.model,
        messages=call.prompt,
        output=call.output,
        call_id=call_id,
        tools=call.tools,
        parameters=call.parameters,
        finish_reasons=call.finish_reasons,
        usage=call.usage,
        cost_usd=call.cost_usd,
        thread=call.thread,
        at=call.at,
    )


def _record_decision(trajectory: Trajectory, decision: LoggedDecision, call_id: str) -> None:
    with trajectory.step(at=decision.at) as step:
        step.action(
            decision.name,
            decision.arguments,
            status=decision.status,
            result=decision.result,
            error=decision.error,
            tool_call_id=decision.tool_call_id,
        )
        step.calls.append(call_id)
