from typing import Any

import pytest

from ropewalk_producers.testing import MemoryRecorder
from ropewalk_schemas.events import Decision, LLMCall, TrajectoryEnded


def decisions(recorder: MemoryRecorder) -> list[Decision]:
    return [event for event in recorder.events if isinstance(event, Decision)]


def test_a_step_is_one_decision_with_all_it_was_told() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t, t.step(state={"cash": 10}, reasoning="r") as step:
        step.read("markets", {"m1": 0.5}, query="all", purpose="price")
        call_id = step.llm_call(model="m", messages=[])
        step.calls.append("earlier")
        step.action("BUY", {"m": 1}, result={"ok": True}, tool_call_id="c1")
        step.reward_component("pnl", 0.5)
        step.reward_component("pnl", 0.25)
        step.claim("market-7", {"side": "yes"})
        step.observation = "late"
    (decision,) = decisions(recorder)
    assert decision.event_id == step.event_id
    told = decision.model_dump(
        include={*Decision.model_fields} - {"type", "event_id", "occurred_at", "started_at",
                 "project", "trajectory_id", "agent_id", "writer", "source", "schema_version"},
        exclude_none=True,
    )  # fmt: skip
    assert told == {
        "seq": 2,
        "state": {"cash": 10},
        "observation": "late",
        "reads": [{"name": "markets", "query": "all", "data": {"m1": 0.5}, "purpose": "price"}],
        "reasoning": "r",
        "action": {"type": "BUY", "parameters": {"m": 1}, "tool_call_id": "c1"},
        "action_status": "executed",
        "result": {"ok": True},
        "reward_components": {"pnl": 0.75},
        "claims": [{"outcome_key": "market-7", "terms": {"side": "yes"}}],
        "calls": [call_id, "earlier"],
    }


def test_what_a_step_was_given_is_kept_as_it_was() -> None:
    recorder = MemoryRecorder()
    state: dict[str, Any] = {"cash": 10, "held": []}
    with recorder.trajectory(agent_id="a") as t, t.step(state=state) as step:
        state["cash"] = 0
        state["held"].append("m1")
        step.action("BUY")
    assert decisions(recorder)[0].state == {"cash": 10, "held": []}


def test_a_step_without_an_action_decided_to_do_nothing() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t, t.step():
        pass
    (decision,) = decisions(recorder)
    assert (decision.action.type, decision.action_status) == ("none", "executed")


@pytest.mark.parametrize("status", ["executed", "held", "rejected", "failed"])
def test_an_action_keeps_its_status(status: Any) -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t, t.step() as step:
        step.action("BUY", status=status, error="no cash")
    assert decisions(recorder)[0].action_status == status
    assert decisions(recorder)[0].error == "no cash"


def test_an_exception_fails_the_action_and_the_trajectory() -> None:
    recorder = MemoryRecorder()

    def act() -> None:
        with recorder.trajectory(agent_id="a") as t, t.step() as step:
            step.action("BUY")
            message = "boom"
            raise ValueError(message)

    with pytest.raises(ValueError, match="boom"):
        act()
    (decision,) = decisions(recorder)
    assert (decision.action.type, decision.action_status) == ("BUY", "failed")
    assert decision.error == "ValueError('boom')"
    assert isinstance(recorder.events[-1], TrajectoryEnded)


def test_an_exception_before_any_action_fails_the_step() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t, pytest.raises(KeyboardInterrupt), t.step():
        raise KeyboardInterrupt
    (decision,) = decisions(recorder)
    assert (decision.action.type, decision.action_status) == ("none", "failed")
    assert decision.error == "KeyboardInterrupt()"


def test_a_second_action_is_another_decision_on_the_same_calls() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t, t.step(state="s") as step:
        call_id = step.llm_call(model="m", messages=[])
        step.action("BUY")
        step.action("POST", status="rejected")
    first, second = decisions(recorder)
    assert (first.action.type, first.state, first.calls) == ("BUY", "s", [call_id])
    assert (second.action.type, second.state, second.calls) == ("POST", None, [call_id])


def test_a_step_sent_early_is_sent_once() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t, t.step() as step:
        step.action("BUY")
        step.send()
        t.llm_call(model="m", messages=[])
    assert [type(event) for event in recorder.events[1:3]] == [Decision, LLMCall]
    assert len(decisions(recorder)) == 1


def test_ending_inside_a_step_sends_the_step_first() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t, t.step() as step:
        step.action("STOP")
        t.end("terminated")
    assert [type(event) for event in recorder.events[1:]] == [Decision, TrajectoryEnded]
    assert recorder.counters.rejected == 0
