"""What an importer reads from a log: trajectories as plain data, ready to be recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.events import ActionStatus, Status, Usage

ChatMessage = Mapping[str, Any]

NO_RESULT = "the log ends before the tool's result"


class LogError(Exception):
    """A log cannot be read as what it was said to be; the message names the file and the record."""


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One LLM call. `prompt` is None when the log does not tell it."""

    at: datetime
    model: str
    prompt: Sequence[ChatMessage] | None
    output: ChatMessage
    thread: str = "main"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Mapping[str, Any]] | None = None
    finish_reasons: Sequence[str] = ()
    usage: Usage | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One tool call and what came of it. `call` is the position of its `LoggedCall` among calls."""

    at: datetime
    call: int
    name: str
    arguments: Mapping[str, Any]
    tool_call_id: str | None
    status: ActionStatus = "executed"
    result: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedEnd:
    """How a trajectory ended. `reward` is terminal; None when the log has none."""

    at: datetime
    status: Status
    reward: float | None = None
    reward_at: datetime | None = None
    termination: str | None = None
    error: str | None = None
    messages: Sequence[ChatMessage] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoggedTrajectory:
    """One trajectory of a log; `events` in the order in which they happened."""

    trajectory_id: str
    agent_id: str
    scenario: str
    group_key: str
    started_at: datetime
    events: Sequence[LoggedCall | LoggedDecision]
    end: LoggedEnd
    model: str | None = None
    seed: int | None = None
    messages: Sequence[ChatMessage] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def parsed_arguments(arguments: object) -> Mapping[str, Any]:
    """Tool arguments as an object; what is no object is kept under ``arguments``."""
    value = parse_json(arguments) if isinstance(arguments, str) else arguments
    return value if isinstance(value, Mapping) else {"arguments": arguments}


def parsed_result(content: object) -> Any:
    """A tool's answer: the object or list its text spells, else the text itself."""
    value = parse_json(content) if isinstance(content, str) else content
    return value if isinstance(value, Mapping | list) else content


def results_after(messages: Sequence[ChatMessage], position: int) -> list[ChatMessage]:
    """The tool messages that directly follow the message at `position`, in order.

    Tool call ids repeat inside tau-bench trajectories, so results are paired with calls by order.
    """
    found: list[ChatMessage] = []
    for message in messages[position + 1 :]:
        if message["role"] != "tool":
            break
        found.append(message)
    return found
