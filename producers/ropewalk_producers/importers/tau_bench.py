"""Parser of tau-bench results: a list of runs, each an OpenAI chat without clock or usage.

Format: https://github.com/sierra-research/tau-bench, `historical_trajectories/*.json`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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

FORMAT_VERSION = "1"
# The log has no clock: events count milliseconds from here, and metadata says so.
CLOCK_START = datetime(2000, 1, 1, tzinfo=UTC)
TICK = timedelta(milliseconds=1)
UNKNOWN_MODEL = "unknown"


def parse(data: object, *, run: str) -> Iterator[LoggedTrajectory]:
    """The trajectories of a tau-bench file, in its order.

    Raises:
        LogError: If `data` is not such a file; the message names the record.
    """
    if not isinstance(data, list):
        msg = f"a tau-bench file is a JSON list of runs, not a {type(data).__name__}"
        raise LogError(msg)
    for position, record in enumerate(data):
        try:
            yield _trajectory(record, run)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            msg = f"run {position} is not a tau-bench run: {error!r}"
            raise LogError(msg) from error


def _trajectory(record: Mapping[str, Any], run: str) -> LoggedTrajectory:
    task_id, trial = record["task_id"], record["trial"]
    messages, info = record["traj"], record["info"]
    calls = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    events = _events(messages, calls)
    opening = [] if calls else messages
    closing = messages[calls[-1] + 1 :] if calls else []
    return LoggedTrajectory(
        trajectory_id=f"{run}/{task_id}/{trial}",
        agent_id="tau-bench-agent",
        scenario=f"tau-bench/{task_id}",
        group_key=str(task_id),
        started_at=CLOCK_START,
        messages=opening,
        events=events,
        end=_end(record, closing, n_before=1 + len(events)),
        metadata={
            "run": run,
            "task_id": task_id,
            "trial": trial,
            "task": info.get("task"),
            "synthetic": ["clock", "model"],
        },
    )


def _events(
    messages: Sequence[ChatMessage], calls: Sequence[int]
) -> list[LoggedCall | LoggedDecision]:
    events: list[LoggedCall | LoggedDecision] = []
    for number, at in enumerate(calls):
        events.append(
            LoggedCall(
                at=_instant(1 + len(events)),
                model=UNKNOWN_MODEL,
                prompt=messages[:at],
                output=messages[at],
            )
        )
        asked = messages[at].get("tool_calls") or []
        for tool_call, answer in zip_longest(asked, results_after(messages, at)[: len(asked)]):
            when = _instant(1 + len(events))
            events.append(_decision(tool_call, answer, call=number, at=when))
    return events


def _decision(
    tool_call: Mapping[str, Any], answer: ChatMessage | None, *, call: int, at: datetime
) -> LoggedDecision:
    """The log does not flag errors, so whatever has a result counts as executed."""
    function = tool_call["function"]
    return LoggedDecision(
        at=at,
        call=call,
        name=function["name"],
        arguments=parsed_arguments(function["arguments"]),
        tool_call_id=tool_call.get("id"),
        status="executed" if answer else "failed",
        result=parsed_result(answer["content"]) if answer else None,
        error=None if answer else NO_RESULT,
    )


def _end(record: Mapping[str, Any], closing: Sequence[ChatMessage], *, n_before: int) -> LoggedEnd:
    """The environment computes `reward_info` only when the conversation is over.

    A run without it was cut at its maximum number of turns, or died of an error.
    """
    info = record["info"]
    error = info.get("error")
    over = info.get("reward_info") is not None
    return LoggedEnd(
        at=_instant(n_before + 1),
        status="failed" if error else "completed" if over else "truncated",
        reward=record["reward"],
        reward_at=_instant(n_before),
        error=error,
        messages=closing,
        metadata={k: v for k, v in info.items() if k not in {"task", "error"}},
    )


def _instant(n: int) -> datetime:
    return CLOCK_START + n * TICK
