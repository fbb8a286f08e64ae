"""From stored rows to what a judge reads. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ropewalk_sinks.judging.model import Transcript, Turn


class MessageRow(NamedTuple):
    """A stored message; `tool_calls` and `parts` are parsed JSON."""

    role: str
    content: str | None
    tool_calls: Any
    parts: Any


class StepRow(NamedTuple):
    """A stored step; the JSON columns are parsed."""

    observation: Any
    action_type: str
    action: Any
    action_status: str
    result: Any
    error: str | None


def transcript_of(messages: Sequence[MessageRow], steps: Sequence[StepRow]) -> Transcript:
    """The conversation, or what was done where none was recorded."""
    if messages:
        return tuple(Turn(row.role, _said(row)) for row in messages)
    return tuple(turn for step in steps for turn in _done(step))


def _said(row: MessageRow) -> str:
    texts = [row.content] if row.content is not None else list(map(_part, _list(row.parts)))
    return "\n".join([*texts, *map(_call, _list(row.tool_calls))])


def _part(part: Any) -> str:
    """A part of a message: its text, or what kind of thing it is."""
    if not isinstance(part, Mapping):
        return "[part]"
    text = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('type', 'part')}]"


def _call(call: Any) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return f"calls {_json(call)}"
    return f"calls {function.get('name')}({_json(function.get('arguments'))})"


def _done(step: StepRow) -> Iterable[Turn]:
    if step.observation is not None:
        yield Turn("environment", _json(step.observation))
    yield Turn("agent", f"{step.action_type} {_json(step.action)} ({step.action_status})")
    if step.result is not None:
        yield Turn("environment", _json(step.result))
    if step.error is not None:
        yield Turn("environment", f"error: {step.error}")


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
