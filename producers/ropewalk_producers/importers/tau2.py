"""Parser of tau2-bench results: simulations of an agent and a simulated user, both LLMs.

Format: https://github.com/sierra-research/tau2-bench, `data_model/simulation.py: Results`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from ropewalk_producers.importers.logged import (
    NO_RESULT,
    ChatMessage,
    LogError,
    LoggedCall,
    LoggedDecision,
    LoggedEnd,
    LoggedTrajectory,
    parsed_arguments,
    parsed_result,
    results_after,
)
from ropewalk_producers.importers.tau2_chat import agent_view, chat_message
from ropewalk_schemas.events import Status, Usage

FORMAT_VERSION = "1"
THREADS = {"assistant": "main", "user": "user"}
STATUS: dict[str, Status] = {
    "user_stop": "completed",
    "agent_stop": "completed",
    "max_steps": "truncated",
    "too_many_errors": "failed",
}


@dataclass(frozen=True, slots=True)
class _Side:
    """Who speaks: the agent or the simulated user, and with which model."""

    model: str
    parameters: Mapping[str, Any]
    tools: Sequence[Mapping[str, Any]] | None


def parse(data: object, *, run: str) -> Iterator[LoggedTrajectory]:
    """The simulations of a tau2 file, in its order.

    Raises:
        LogError: If `data` is not such a file; the message names the record.
    """
    if not isinstance(data, dict) or "simulations" not in data:
        msg = "a tau2 file is a JSON object with 'info', 'tasks' and 'simulations'"
        raise LogError(msg)
    for position, simulation in enumerate(data["simulations"]):
        try:
            yield _trajectory(simulation, data, run)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"simulation {position} is not a tau2 simulation: {error!r}"
            raise LogError(msg) from error


def _trajectory(
    simulation: Mapping[str, Any], data: Mapping[str, Any], run: str
) -> LoggedTrajectory:
    info, messages, task_id = data["info"], simulation["messages"], str(simulation["task_id"])
    domain = info["environment_info"]["domain_name"]
    calls = [i for i, message in enumerate(messages) if message.get("usage") is not None]
    first = calls[0] if calls else len(messages)
    last = max((i for i in calls if messages[i]["role"] == "assistant"), default=first)
    return LoggedTrajectory(
        trajectory_id=f"{run}/{simulation['id']}",
        agent_id=info["agent_info"]["implementation"],
        scenario=f"{domain}/{task_id}",
        group_key=task_id,
        started_at=_instant(simulation["start_time"]),
        model=info["agent_info"]["llm"],
        seed=simulation.get("seed"),
        messages=agent_view(messages[:first]),
        events=_events(messages, calls, info),
        end=_end(simulation, [m for m in messages[last:] if m.get("usage") is None]),
        metadata={
            "run": run,
            "domain": domain,
            "task_id": task_id,
            "trial": simulation.get("trial"),
            "task": next((t for t in data["tasks"] if str(t["id"]) == task_id), None),
            "info": info,
            "synthetic": ["time_zone"],  # the log's local times are read as UTC
        },
    )


def _events(
    messages: Sequence[ChatMessage], calls: Sequence[int], info: Mapping[str, Any]
) -> list[LoggedCall | LoggedDecision]:
    sides = {
        "assistant": _side(info["agent_info"], info["environment_info"].get("tool_defs")),
        "user": _side(info["user_info"], None),
    }
    events: list[LoggedCall | LoggedDecision] = []
    for number, position in enumerate(calls):
        message = messages[position]
        prompt = agent_view(messages[:position]) if message["role"] == "assistant" else None
        events.append(_call(message, prompt, sides[message["role"]]))
        asked = message.get("tool_calls") or []
        answers = results_after(messages, position)[: len(asked)]
        for tool_call, answer in zip_longest(asked, answers):
            events.append(_decision(tool_call, answer, call=number, asked_at=message["timestamp"]))
    return events


def _side(who: Mapping[str, Any], tools: object) -> _Side:
    return _Side(who["llm"], who.get("llm_args") or {}, tools if isinstance(tools, list) else None)


def _call(message: ChatMessage, prompt: list[ChatMessage] | None, side: _Side) -> LoggedCall:
    finish_reason = (message.get("raw_data") or {}).get("finish_reason")
    return LoggedCall(
        at=_instant(message["timestamp"]),
        model=side.model,
        prompt=prompt,
        output=chat_message(message),
        thread=THREADS[message["role"]],
        parameters=side.parameters,
        tools=side.tools,
        finish_reasons=[finish_reason] if finish_reason else [],
        usage=Usage(
            input_tokens=message["usage"].get("prompt_tokens"),
            output_tokens=message["usage"].get("completion_tokens"),
        ),
        cost_usd=message.get("cost"),
    )


def _decision(
    tool_call: Mapping[str, Any], answer: ChatMessage | None, *, call: int, asked_at: str
) -> LoggedDecision:
    content = answer["content"] if answer else NO_RESULT
    failed = answer is None or answer.get("error")
    return LoggedDecision(
        at=_instant(answer["timestamp"] if answer else asked_at),
        call=call,
        name=tool_call["name"],
        arguments=parsed_arguments(tool_call["arguments"]),
        tool_call_id=tool_call.get("id") or None,
        status="failed" if failed else "executed",
        result=parsed_result(content) if answer else None,
        error=str(content) if failed else None,
    )


def _end(simulation: Mapping[str, Any], closing: Sequence[ChatMessage]) -> LoggedEnd:
    reward_info = simulation.get("reward_info") or {}
    reason = simulation["termination_reason"]
    errors = [
        {"turn_idx": message.get("turn_idx"), "errors": message["errors"]}
        for message in simulation["messages"]
        if message.get("errors")
    ]
    kept = ("duration", "agent_cost", "user_cost", "reward_info")
    at = _instant(simulation["end_time"])
    return LoggedEnd(
        at=at,
        status=STATUS.get(reason, "failed"),
        reward=reward_info.get("reward"),
        reward_at=at,
        termination=reason,
        error=None if reason in STATUS else reason,
        messages=agent_view(closing),
        metadata={k: simulation.get(k) for k in kept}
        | ({"message_errors": errors} if errors else {}),
    )


def _instant(text: str) -> datetime:
    """The log writes local time without a zone; it is read as UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
