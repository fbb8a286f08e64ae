"""The columns of the Parquet datasets: a contract with those who read them.

What is not wrapped in `Maybe` is never null. `JSON` is text, marked in the field's metadata.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
TEXT, BYTES, INT, LONG = pa.string(), pa.binary(), pa.int32(), pa.int64()
DOUBLE, FLOAT, FLAG = pa.float64(), pa.float32(), pa.bool_()
JSON = "json"


class Maybe(NamedTuple):
    """A type whose values may be null."""

    kind: Any


def is_json(field: Any) -> bool:
    """Whether a field holds JSON text."""
    return field.metadata is not None and b"content" in field.metadata


def _field(name: str, kind: Any) -> Any:
    nullable = isinstance(kind, Maybe)
    kind = kind.kind if nullable else kind
    if kind is JSON:
        return pa.field(name, TEXT, nullable, metadata={"content": "json"})
    return pa.field(name, kind, nullable)


def _fields(columns: Mapping[str, Any]) -> list[Any]:
    """One field per name: a key may list several of one type."""
    return [_field(name, kind) for names, kind in columns.items() for name in names.split()]


def _many(kind: Any) -> Any:
    """A list of a type, or of structs if `kind` maps names to types."""
    return pa.list_(_field("element", pa.struct(_fields(kind)) if isinstance(kind, dict) else kind))


_TOOL_CALL = {
    "id": Maybe(TEXT),
    "type": TEXT,
    "function": pa.struct(_fields({"name arguments": TEXT})),
}
_MESSAGE = {
    "role": TEXT,
    "content reasoning name tool_call_id": Maybe(TEXT),
    "tool_calls": Maybe(_many(_TOOL_CALL)),
    "parts": Maybe(JSON),
}
_STEP = {
    "step": INT,
    "event_id": TEXT,
    "at": TIME,
    "state observation": Maybe(JSON),
    "reads": JSON,
    "reasoning": Maybe(TEXT),
    "action_type": TEXT,
    "action": JSON,
    "action_status": TEXT,
    "result": Maybe(JSON),
    "error": Maybe(TEXT),
    "reward": DOUBLE,
    "components": _many({"name": TEXT, "value": DOUBLE}),
    "return_to_go": DOUBLE,
    "claims": _many({"outcome_key": TEXT, "terms": JSON}),
    "calls": _many(INT),
    "tool_call_id": Maybe(TEXT),
}
_CALL = {
    "call_id event_id": TEXT,
    "response_id": Maybe(TEXT),
    "thread": TEXT,
    "parent_call purpose provider": Maybe(TEXT),
    "model": TEXT,
    "policy_version error": Maybe(TEXT),
    "step": Maybe(INT),
    "at": TIME,
    "latency_ms": Maybe(DOUBLE),
    "input": Maybe(_many(INT)),
    "output": _many(INT),
    "tools": Maybe(INT),
    "params": JSON,
    "finish_reasons": _many(TEXT),
    "input_tokens output_tokens": Maybe(LONG),
    "cost_usd": Maybe(DOUBLE),
    "sequence span_start span_end": Maybe(INT),
}
_SEQUENCE = {
    "token_ids": _many(INT),
    "loss_mask": _many(FLAG),
    "logprobs": _many(Maybe(FLOAT)),
    "policy_version break_reason": Maybe(TEXT),
}
_TRAJECTORY = {
    "trajectory_id": TEXT,
    "episode_id": Maybe(TEXT),
    "project agent_id window_id": TEXT,
    "scenario policy policy_version group_key goal": Maybe(TEXT),
    "mode": TEXT,
    "status": Maybe(TEXT),
    "close_reason reward_spec content_hash previous_hash engine_version": TEXT,
    "part schema_version window_s n_events n_steps n_llm_calls n_missing source_partition": INT,
    "seed input_tokens output_tokens": Maybe(LONG),
    "first_offset last_offset": LONG,
    "window_start started_at ended_at finalized_at": TIME,
    "complete linear last": FLAG,
    "reward cost_usd": Maybe(DOUBLE),
    "metadata extra": JSON,
    "writers": _many({"writer": TEXT, "from_seq to_seq": LONG, "missing": _many(LONG)}),
    "messages": _many(_MESSAGE),
    "tool_sets": _many(JSON),
    "steps": _many(_STEP),
    "llm_calls": _many(_CALL),
    "sequences": _many(_SEQUENCE),
    "termination error": Maybe(TEXT),
}
_REWARD = {
    "reward_id trajectory_id": TEXT,
    "target_event_id call_id": Maybe(TEXT),
    "name source": TEXT,
    "source_version supersedes reason outcome_key": Maybe(TEXT),
    "outcome_version": Maybe(INT),
    "value": DOUBLE,
    "occurred_at recorded_at": TIME,
    "source_partition": INT,
    "source_offset": LONG,
    "project": TEXT,
    "response_id": Maybe(TEXT),
    "metadata": JSON,
    "entry_hash": TEXT,
}
_QUARANTINED = {
    "topic reason detail stage quarantined_by": TEXT,
    "trajectory_id": Maybe(TEXT),
    "partition": INT,
    "offset": LONG,
    "key value": Maybe(BYTES),
    "headers": JSON,
    "broker_at quarantined_at": TIME,
}
_PROGRESS = {
    "partition": INT,
    "next_offset received assembled open ledger duplicate quarantined": LONG,
    "by_reason": JSON,
    "clock watermark": TIME,
}

SCHEMAS = {
    "trajectories": pa.schema(_fields(_TRAJECTORY)),
    "rewards": pa.schema(_fields(_REWARD)),
    "quarantine": pa.schema(_fields(_QUARANTINED)),
    "progress": pa.schema(_fields(_PROGRESS)),
}
# Few values, often repeated: a dictionary pays only here, and costs memory everywhere else.
DICTIONARY_COLUMNS = {
    "trajectories": [
        *("project", "agent_id", "window_id", "scenario", "policy", "policy_version", "mode"),
        *("status", "close_reason", "reward_spec", "engine_version", "termination"),
        "messages.list.element.role",
        *(f"steps.list.element.{name}" for name in ("action_type", "action_status")),
        *(
            f"llm_calls.list.element.{name}"
            for name in ("thread", "purpose", "provider", "model", "policy_version")
        ),
    ],
    "rewards": ["name", "source", "source_version", "project"],
    "quarantine": ["topic", "reason", "stage", "quarantined_by"],
    "progress": [],
}
