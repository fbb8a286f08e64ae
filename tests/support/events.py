"""Builders of agent events and of the records they travel in, with sane defaults."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.events import (
    Action,
    Decision,
    LifeEvent,
    LLMCall,
    Reward,
    TrajectoryEnded,
    TrajectoryStarted,
    WriterClosed,
)
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.messages import Message
from ropewalk_schemas.topics import KIND_HEADER, SETTINGS, TICK
from ropewalk_stream_processors.trajectory.records import InputRecord

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
T0_MS = int(T0.timestamp() * 1000)
TRAJECTORY, WRITER = "t-1", "w-a"


def at(seconds: float) -> datetime:
    """An instant, in seconds after `T0`."""
    return T0 + timedelta(seconds=seconds)


def _life(trajectory_id: str, writer: str, seq: int, changes: dict[str, Any]) -> dict[str, Any]:
    given = {
        "event_id": f"{writer}-{seq}",
        "occurred_at": at(min(seq, 3600)),
        "started_at": T0,
        "project": "demo",
        "agent_id": "agent-a",
        "trajectory_id": trajectory_id,
        "writer": writer,
        "seq": seq,
    }
    return given | changes


def a_start(seq: int = 0, t: str = TRAJECTORY, w: str = WRITER, **changes: Any) -> LifeEvent:
    """The start of an episode; `mode="continuous"` for an agent that goes on."""
    return TrajectoryStarted(**_life(t, w, seq, changes))


def a_decision(seq: int, t: str = TRAJECTORY, w: str = WRITER, **changes: Any) -> LifeEvent:
    """An executed action without parameters."""
    given = {"action": Action(type="wait"), "action_status": "executed"}
    return Decision(**_life(t, w, seq, given | changes))


def a_call(seq: int, t: str = TRAJECTORY, w: str = WRITER, **changes: Any) -> LifeEvent:
    """A call named ``call-{seq}``; say `messages`, or `base_call` too."""
    given = {"call_id": f"call-{seq}", "model": "small-1"}
    return LLMCall(**_life(t, w, seq, given | changes))


def a_close(seq: int, t: str = TRAJECTORY, w: str = WRITER, **changes: Any) -> LifeEvent:
    """A writer's last event; it counts its own seqs unless told otherwise."""
    return WriterClosed(**_life(t, w, seq, {"n_events": seq + 1} | changes))


def an_end(seq: int, t: str = TRAJECTORY, w: str = WRITER, **changes: Any) -> LifeEvent:
    """The end of a completed trajectory; it counts its writer's seqs unless told otherwise."""
    given = {"n_events": seq + 1, "status": "completed"}
    return TrajectoryEnded(**_life(t, w, seq, given | changes))


def a_reward(event_id: str = "r-1", t: str = TRAJECTORY, **changes: Any) -> Reward:
    """One entry for the whole trajectory."""
    given: dict[str, Any] = {
        "event_id": event_id,
        "occurred_at": T0,
        "project": "demo",
        "trajectory_id": t,
        "name": "settled",
        "value": 1.5,
        "source": "outcome",
    }
    return Reward(**given | changes)


def says(role: str, content: str | None = None, **changes: Any) -> Message:
    """A chat message."""
    return Message(role=role, content=content, **changes)


def user(content: str) -> Message:
    """What a user says."""
    return says("user", content)


def assistant(content: str) -> Message:
    """What a model says."""
    return says("assistant", content)


def event_record(event: LifeEvent | Reward, offset: int, timestamp_ms: int) -> InputRecord:
    """The record an event travels in."""
    key = event.trajectory_id.encode()
    return InputRecord(offset, timestamp_ms, key, encode_event(event))


def tick_record(offset: int, timestamp_ms: int) -> InputRecord:
    """A tick: it only moves the clock."""
    return InputRecord(offset, timestamp_ms, None, b"{}", ((KIND_HEADER, TICK),))


def settings_record(settings: Settings, offset: int, timestamp_ms: int) -> InputRecord:
    """Settings that hold from here on."""
    value = settings.model_dump_json().encode()
    return InputRecord(offset, timestamp_ms, None, value, ((KIND_HEADER, SETTINGS),))


def sent(events: Iterable[LifeEvent | Reward]) -> list[tuple[bytes, bytes]]:
    """Keys and values as a recorder sends them."""
    return [(event.trajectory_id.encode(), encode_event(event)) for event in events]
