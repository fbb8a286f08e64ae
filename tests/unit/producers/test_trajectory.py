import asyncio
import json
import os
import pickle
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ropewalk_producers import Continuation, RecorderSettings, derived_ids
from ropewalk_producers.testing import MemoryRecorder
from ropewalk_schemas.events import (
    Decision,
    LLMCall,
    Policy,
    Reward,
    TrajectoryEnded,
    TrajectoryStarted,
    WriterClosed,
)

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def only(recorder: MemoryRecorder, kind: type) -> Any:
    (event,) = [event for event in recorder.events if type(event) is kind]
    return event


def test_the_start_says_what_the_trajectory_was_told() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(
        agent_id="a",
        trajectory_id="t",
        episode_id="e",
        project="p",
        scenario="s",
        policy=Policy(model="m", version="7"),
        goal="win",
        seed=3,
        group_key="g",
        mode="continuous",
        metadata={"hidden": 1},
        messages=[{"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}],
        started_at=LONG_AGO,
        writer="w",
    ):
        pass
    start = only(recorder, TrajectoryStarted)
    assert start.model_dump(exclude={"event_id", "source", "messages"}, exclude_none=True) == {
        "schema_version": "1.0",
        "occurred_at": LONG_AGO,
        "project": "p",
        "trajectory_id": "t",
        "started_at": LONG_AGO,
        "agent_id": "a",
        "episode_id": "e",
        "writer": "w",
        "seq": 0,
        "type": "trajectory_started",
        "scenario": "s",
        "policy": {"model": "m", "version": "7"},
        "goal": "win",
        "seed": 3,
        "group_key": "g",
        "mode": "continuous",
        "metadata": {"hidden": 1},
    }
    assert start.messages[0].content == "Hi"


def test_a_call_says_all_it_was_told() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        call_id = t.llm_call(
            model="m",
            messages=[{"role": "user", "content": "q"}],
            output={"role": "assistant", "content": None, "tool_calls": [
                {"id": "c", "function": {"name": "f", "arguments": {"x": 1}}}]},
            call_id="call-1", response_id="r", parameters={"temperature": 0.5},
            finish_reasons=("stop",), usage={"input_tokens": 3, "output_tokens": None},
            latency_ms=12.5, cost_usd=0.25, error=ValueError("late"), purpose="trade",
            thread="judge", parent_call="call-0", provider="openai", policy_version="7",
            prompt_token_ids=(1, 2), output_token_ids=[3], output_logprobs=[-0.5], at=LONG_AGO,
        )  # fmt: skip
    assert call_id == "call-1"
    call = only(recorder, LLMCall)
    told = call.model_dump(
        include=set(LLMCall.model_fields) - {"type", "messages", "output", "usage"},
        exclude={"event_id", "started_at", "trajectory_id", "writer", "source"},
        exclude_none=True,
    )
    assert told == {
        "schema_version": "1.0", "occurred_at": LONG_AGO, "project": "tests", "agent_id": "a",
        "seq": 1, "call_id": "call-1", "response_id": "r", "purpose": "trade", "thread": "judge",
        "parent_call": "call-0", "provider": "openai", "model": "m", "policy_version": "7",
        "base_messages": 0, "parameters": {"temperature": 0.5}, "finish_reasons": ["stop"],
        "latency_ms": 12.5, "cost_usd": 0.25, "error": "ValueError('late')",
        "prompt_token_ids": [1, 2], "output_token_ids": [3], "output_logprobs": [-0.5],
    }  # fmt: skip
    assert call.usage.input_tokens == 3
    assert call.output[0].tool_calls[0].function.arguments == '{"x":1}'


def test_a_call_without_an_id_has_its_events() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        call_id = t.llm_call(model="m", messages=[])
    assert only(recorder, LLMCall).event_id == only(recorder, LLMCall).call_id == call_id


def test_leaving_the_block_completes_the_trajectory() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.hand_to("other")
    end = only(recorder, TrajectoryEnded)
    assert (end.status, end.n_events, end.handed_to) == ("completed", 2, ["other"])
    assert t.event_count == 2


def test_an_exception_fails_the_trajectory_and_passes_through() -> None:
    recorder = MemoryRecorder()
    error = RuntimeError("broke \0 \ud800" + "x" * 5000)
    with pytest.raises(RuntimeError) as caught, recorder.trajectory(agent_id="a"):
        raise error
    assert caught.value is error
    end = only(recorder, TrajectoryEnded)
    assert end.status == "failed"
    assert end.error.startswith("RuntimeError('broke")
    assert len(end.error) <= 2000


def test_an_explicit_end_is_the_only_one() -> None:
    recorder = MemoryRecorder()

    def act() -> None:
        with recorder.trajectory(agent_id="a") as t:
            t.end(
                "truncated",
                termination="max_steps",
                messages=[{"role": "user", "content": "bye"}],
                metadata={"k": 1},
                handed_to=["w2"],
            )
            raise KeyError

    with pytest.raises(KeyError):
        act()
    end = only(recorder, TrajectoryEnded)
    assert (end.status, end.termination, end.metadata) == ("truncated", "max_steps", {"k": 1})
    assert (end.messages[0].content, end.handed_to) == ("bye", ["w2"])


def test_events_after_the_end_are_refused_but_rewards_are_not() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        pass
    t.llm_call(model="m", messages=[])
    t.end()
    t.reward("late", 1.0, source="human")
    assert recorder.counters.rejected == 2
    assert "ended the trajectory already" in str(recorder.last_error)
    assert only(recorder, Reward).name == "late"


def test_a_start_that_cannot_be_recorded_is_sent_bare() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a", metadata={"x": object()}, mode="continuous"):
        pass
    start = only(recorder, TrajectoryStarted)
    assert (start.seq, start.mode, start.metadata) == (1, "continuous", {})
    assert recorder.counters.rejected == 1


def test_an_end_that_cannot_be_recorded_is_sent_bare() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.hand_to("w2")
        t.end("terminated", metadata={"x": float("inf")})
    end = only(recorder, TrajectoryEnded)
    assert (end.seq, end.n_events, end.status, end.handed_to) == (2, 3, "terminated", ["w2"])


def test_a_resumed_writer_closes_and_does_not_end() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a", episode_id="e", project="p") as t:
        t.hand_to("second")
        told = json.loads(json.dumps(asdict(t.continuation)))
        assert pickle.loads(pickle.dumps(t.continuation)) == Continuation(**told)
        with recorder.resume(Continuation(**told), writer="second") as child, child.step():
            pass
    closed = only(recorder, WriterClosed)
    start, end = only(recorder, TrajectoryStarted), only(recorder, TrajectoryEnded)
    assert (closed.writer, closed.seq, closed.n_events) == ("second", 1, 2)
    assert end.handed_to == ["second"]
    assert (closed.trajectory_id, closed.started_at, closed.agent_id, closed.episode_id) == (
        start.trajectory_id, start.started_at, start.agent_id, start.episode_id)  # fmt: skip


def test_a_resumed_writer_may_end_the_trajectory() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        continuation = t.detach()
    with recorder.resume(continuation) as child:
        child.end("completed")
    assert [type(event) for event in recorder.events] == [TrajectoryStarted, TrajectoryEnded]
    assert recorder.events[1].n_events == 1  # type: ignore[union-attr] # an end, see above


def test_a_detached_writer_that_names_its_successor_closes() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.hand_to("next")
        t.detach()
    assert only(recorder, WriterClosed).handed_to == ["next"]


def test_a_planned_stop_closes_the_writer() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.detach()
        t.close(handed_to=["w2"])
    assert only(recorder, WriterClosed).handed_to == ["w2"]


def test_a_reward_names_its_target() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a", trajectory_id="t") as t:
        with t.step() as step:
            given = t.reward("early", 1.0, target=step)
        t.reward("sent", 2.0, target=step, supersedes=given)
        t.reward("by id", 3.0, target=step.event_id, call_id="c", source="judge", reason="good")
        t.reward("whole", 4.0, reward_id="r4")
    decision = only(recorder, Decision)
    rewards = [event for event in recorder.events if isinstance(event, Reward)]
    assert [reward.target_event_id for reward in rewards] == [decision.event_id] * 3 + [None]
    assert rewards[0].event_id == rewards[1].supersedes == given
    assert (rewards[2].source, rewards[2].reason, rewards[2].call_id) == ("judge", "good", "c")
    assert rewards[3].event_id == "r4"


def test_a_reward_for_any_trajectory_needs_only_its_id() -> None:
    recorder = MemoryRecorder()
    reward_id = recorder.reward("elsewhere", "pnl", 2.5, source="outcome", outcome_key="m7")
    (record,) = recorder.records
    reward = only(recorder, Reward)
    assert record.key == b"elsewhere"
    assert (reward.event_id, reward.value, reward.outcome_key) == (reward_id, 2.5, "m7")


def test_tasks_record_as_threads_do() -> None:
    recorder = MemoryRecorder()

    async def agent(name: str) -> None:
        async with recorder.trajectory(agent_id=name, trajectory_id=name) as t:
            for _ in range(3):
                async with t.step() as step:
                    await asyncio.sleep(0)
                    step.action("go")

    async def everyone() -> None:
        await asyncio.gather(*(agent(f"a{n}") for n in range(5)))

    asyncio.run(everyone())
    for n in range(5):
        seqs = [event.seq for event in recorder.events if event.trajectory_id == f"a{n}"]  # type: ignore[union-attr] # no rewards
        assert seqs == [0, 1, 2, 3, 4]


def test_an_import_can_be_repeated_byte_by_byte() -> None:
    def imported() -> MemoryRecorder:
        settings = RecorderSettings(project="p", service="importer", version="1")
        recorder = MemoryRecorder(settings)
        ids = derived_ids("logs")
        with recorder.trajectory(
            agent_id="a", trajectory_id="t", started_at=LONG_AGO, writer=ids.of("w", "t"), ids=ids
        ) as t:
            with t.step(at=LONG_AGO + timedelta(seconds=1)) as step:
                step.llm_call(model="m", messages=[], at=LONG_AGO)
            t.reward("r", 1.0, target=step, at=LONG_AGO)
            t.reward("r", 2.0, at=LONG_AGO)
            t.end(at=LONG_AGO)
        return recorder

    first = imported()
    assert first.records == imported().records
    assert len({event.event_id for event in first.events}) == 6


def test_an_id_may_be_a_uuid() -> None:
    given: Any = uuid4()
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a", trajectory_id=given):
        pass
    assert {record.key for record in recorder.records} == {str(given).encode()}


def in_child(work: Any) -> Any:
    """What `work` gives in a forked child."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def test_a_forked_child_goes_on_as_another_writer_that_only_closes() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[{"role": "user", "content": "one"}])
        chat = [{"role": "user", "content": "one"}]

        def child() -> Any:
            publisher = recorder._outlet
            with t:
                t.llm_call(model="m", messages=chat)
            records = publisher._publisher.records  # type: ignore[union-attr] # in memory
            return [[json.loads(record.value) for record in records], asdict(recorder.counters)]

        events, counters = in_child(child)
    assert [(event["type"], event["seq"]) for event in events] == [
        ("llm_call", 0),
        ("writer_closed", 1),
    ]
    assert "base_call" not in events[0]
    assert events[0]["writer"] == events[1]["writer"] != t.writer
    assert counters["accepted"] == 2
    assert [type(event) for event in recorder.events] == [
        TrajectoryStarted,
        LLMCall,
        TrajectoryEnded,
    ]


def test_a_fork_while_another_thread_records_leaves_the_child_unblocked() -> None:
    recorder = MemoryRecorder()
    t = recorder.trajectory(agent_id="a")
    with t._out.lock, recorder._outlet._lock:  # as if another thread were in the middle of it

        def child() -> str:
            t.llm_call(model="m", messages=[])
            return t.writer

        assert in_child(child) != t.writer
