"""The fields of events as plain data, from what an agent gives. Pure.

Everything is copied when it is given: later changes of the agent's objects do not reach the event.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

from ropewalk_producers.errors import UnrecordableError
from ropewalk_producers.ids import EventIds
from ropewalk_producers.plain import plain
from ropewalk_schemas.events import Mode, Policy, Usage
from ropewalk_schemas.fields import format_instant, parse_instant
from ropewalk_schemas.messages import canonical_message

Instant = datetime | str
Fields = dict[str, Any]
PlainMapping = Mapping[str, Any]


class TrajectoryOptions(TypedDict, total=False):
    """What a trajectory may be told at its begin, besides its agent."""

    trajectory_id: str | None
    episode_id: str | None
    project: str | None
    scenario: str | None
    policy: str | Policy | None
    goal: str | None
    seed: int | None
    group_key: str | None
    mode: Mode
    metadata: PlainMapping | None
    messages: Iterable[Any]
    started_at: Instant | None
    writer: str | None
    ids: EventIds | None


class CallOptions(TypedDict, total=False):
    """What is known of an LLM call, besides its model and messages.

    `output` is a text, a message or several. `parent_call` is a call_id. `latency_ms` and
    `cost_usd` are floats in those units; `output_logprobs` are natural logarithms.
    """

    output: Any
    call_id: str | None
    response_id: str | None
    tools: Iterable[Any] | None
    parameters: PlainMapping | None
    finish_reasons: Iterable[str]
    usage: PlainMapping | Usage | None
    latency_ms: float | None
    cost_usd: float | None
    error: str | BaseException | None
    purpose: str | None
    thread: str
    parent_call: str | None
    provider: str | None
    policy_version: str | None
    prompt_token_ids: Iterable[int] | None
    output_token_ids: Iterable[int] | None
    output_logprobs: Iterable[float] | None
    at: Instant | None


class RewardOptions(TypedDict, total=False):
    """What a reward may say, besides its name, value and source."""

    source_version: str | None
    target_event_id: str | None
    call_id: str | None
    response_id: str | None
    supersedes: str | None
    reason: str | None
    outcome_key: str | None
    outcome_version: int | None
    metadata: PlainMapping | None
    reward_id: str | None
    at: Instant | None


class EndOptions(TypedDict, total=False):
    """What the end of a trajectory may say, besides its status."""

    termination: str | None
    messages: Iterable[Any]
    metadata: PlainMapping | None
    error: str | BaseException | None
    handed_to: Iterable[str]
    at: Instant | None


_EMPTY_BY_DEFAULT = frozenset(
    {
        *("calls", "claims", "finish_reasons", "handed_to", "metadata", "messages"),
        *("output", "parameters", "reads", "reward_components", "terms"),
    }
)


def instant(value: Instant) -> str:
    """RFC 3339 text in UTC.

    Raises:
        ValueError: If it names no zone, or is no instant.
    """
    return format_instant(parse_instant(value))


def fields(**given: Any) -> Fields:
    """Plain copies of what was given; what equals a field's default is left out."""
    return {
        name: plain(value)
        for name, value in given.items()
        if value is not None and not (name in _EMPTY_BY_DEFAULT and not value)
    }


def check_options(given: Mapping[str, Any], known: type) -> None:
    """Refuse options that do not exist, before they travel as fields nobody reads.

    Raises:
        UnrecordableError: Naming them.
    """
    unknown = given.keys() - known.__annotations__.keys()
    if unknown:
        message = f"there is no option {', '.join(sorted(unknown))}"
        raise UnrecordableError(message)


def canonical_messages(messages: Iterable[Any]) -> list[Fields]:
    """Opening or closing messages in canonical form."""
    return [canonical_message(plain(message)) for message in messages]


def policy_fields(policy: object) -> Fields | None:
    """A policy from its model's name, a `Policy` or a mapping."""
    if policy is None:
        return None
    if isinstance(policy, str):
        return {"model": policy}
    return _without_nulls(policy)


def usage_fields(usage: object) -> Fields | None:
    """Token counts from a `Usage` or a mapping."""
    return None if usage is None else _without_nulls(usage)


def numbers(values: Any) -> list[Any] | None:
    """Token ids or log-probabilities, from any array; the decoder checks each."""
    if values is None:
        return None
    given = values.tolist() if hasattr(values, "tolist") else values
    return list(given)


def _without_nulls(value: object) -> Fields:
    given = plain(value)
    if not isinstance(given, dict):
        message = f"a {type(value).__name__} was given where a mapping belongs"
        raise UnrecordableError(message)
    return {name: item for name, item in given.items() if item is not None}
