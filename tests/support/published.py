"""Builders of what the assembler publishes, with sane defaults and every field settable."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.published import (
    CallRow,
    ComponentRow,
    LedgerEntryRow,
    MessageRow,
    SequenceRow,
    StepRow,
    TrajectoryRow,
    WriterSpanRow,
    encode_published,
)

T0 = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def raw(value: object) -> msgspec.Raw:
    """Free-form JSON as it travels."""
    return msgspec.Raw(to_json(value))


def content_hash(*parts: object) -> str:
    """A hash as the engine's look: 32 hex digits, a function of the arguments."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def a_step(step: int = 0, **changes: Any) -> Any:
    """A decision with a state, a read, an immediate reward and one claim."""
    given: dict[str, Any] = {
        "step": step,
        "event_id": f"event-{step}",
        "at": T0 + timedelta(seconds=step),
        "state": raw({"cash": 10.5, "open": []}),
        "observation": raw("price up"),
        "reasoning": "it looks cheap",
        "action_type": "buy",
        "action": raw({"type": "buy", "parameters": {"size": 1}}),
        "action_status": "executed",
        "result": raw({"filled": True}),
        "components": [ComponentRow(name="fee", value=-0.25), ComponentRow(name="pnl", value=1.0)],
        "calls": [step],
    }
    return StepRow(**given | changes)


def a_call(index: int = 0, **changes: Any) -> Any:
    """A call of step `index` that reads the messages before its own output."""
    given: dict[str, Any] = {
        "call_id": f"call-{index}",
        "event_id": f"call-event-{index}",
        "response_id": f"response-{index}",
        "thread": "main",
        "purpose": "act",
        "provider": "local",
        "model": "small-1",
        "policy_version": "v7",
        "step": index,
        "at": T0 + timedelta(seconds=index),
        "latency_ms": 12.5,
        "input": list(range(1 + 2 * index)),
        "output": [1 + 2 * index],
        "tools": 0,
        "params": raw({"temperature": 0.7}),
        "finish_reasons": ["stop"],
        "input_tokens": 100,
        "output_tokens": 10,
        "cost_usd": 0.001,
        "sequence": 0,
        "span_start": 2,
        "span_end": 4,
    }
    return CallRow(**given | changes)


def a_part(trajectory_id: str = "t-1", part: int = 0, **changes: Any) -> Any:
    """A final part of two steps and two calls; `content_hash` follows from id, part and `cut`."""
    given: dict[str, Any] = {
        "engine_version": "engine-1",
        "trajectory_id": trajectory_id,
        "part": part,
        "last": True,
        "project": "demo",
        "agent_id": "agent-a",
        "window_id": "2026-03-01T12:00:00Z/3600s",
        "window_s": 3600,
        "window_start": T0.replace(minute=0, second=0, microsecond=0),
        "started_at": T0,
        "ended_at": T0 + timedelta(minutes=5),
        "finalized_at": T0 + timedelta(minutes=6),
        "mode": "episode",
        "status": "completed",
        "close_reason": "ended",
        "complete": True,
        "linear": True,
        "content_hash": content_hash(trajectory_id, part),
        "previous_hash": content_hash(trajectory_id, part - 1) if part else "",
        "source_partition": 0,
        "first_offset": 10,
        "last_offset": 20,
        "n_events": 6,
        "n_steps": 2,
        "n_llm_calls": 2,
        "n_missing": 0,
        "writers": [WriterSpanRow(writer="w-1", from_seq=0, to_seq=5)],
        "messages": [
            MessageRow(role="user", content="Hello"),
            MessageRow(role="assistant", content="Hi \\ \t 'é' \U0001f600"),
            MessageRow(role="user", content="Go on"),
            MessageRow(role="assistant", content="Done"),
        ],
        "tool_sets": [[raw({"type": "function", "function": {"name": "buy"}})]],
        "steps": [a_step(0), a_step(1)],
        "llm_calls": [a_call(0), a_call(1)],
        "sequences": [
            SequenceRow(
                token_ids=[1, 2, 3, 4],
                loss_mask=[False, False, True, True],
                logprobs=[None, None, -0.5, -0.25],
            )
        ],
    }
    return TrajectoryRow(**given | changes)


def an_entry(reward_id: str = "r-1", trajectory_id: str = "t-1", **changes: Any) -> Any:
    """A ledger entry for the whole trajectory."""
    given: dict[str, Any] = {
        "reward_id": reward_id,
        "trajectory_id": trajectory_id,
        "project": "demo",
        "name": "settled",
        "value": 2.5,
        "source": "outcome",
        "occurred_at": T0 + timedelta(hours=1),
        "recorded_at": T0 + timedelta(hours=1, seconds=1),
        "source_partition": 0,
        "source_offset": 30,
    }
    return LedgerEntryRow(**given | changes)


def value_of(row: object) -> bytes:
    """The value of the record that publishes a row."""
    return encode_published(row)
