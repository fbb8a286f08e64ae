"""What the assembler publishes: final parts of trajectories, and reward ledger entries.

Instants are aware UTC; positions count from 0 and point into the lists of the same part.
"""

from typing import Annotated, Literal

from pydantic import Field

from ropewalk_schemas.events import Claim, Mode, Read, RewardSource, Status
from ropewalk_schemas.fields import (
    SCHEMA_VERSION,
    Contract,
    Count,
    Id,
    Instant,
    Json,
    JsonObject,
    Name,
    Position,
    Seed,
    Text,
    TokenId,
)
from ropewalk_schemas.messages import Message

CloseReason = Literal["ended", "gaps", "idle", "window", "duration", "bytes"]
BreakReason = Literal["prompt_diverged", "policy_changed", "prompt_unknown"]


class WriterSpan(Contract):
    """What a part holds of one writer: seqs `from_seq` to `to_seq`, both included, less `missing`.

    A writer that was handed to and never seen has ``from_seq = 0, to_seq = -1``. At most 1,000
    missing seqs are listed; `n_missing` of the part counts all.
    """

    writer: Id
    from_seq: Count
    to_seq: Annotated[int, Field(ge=-1)]
    missing: list[Count] = []


class Component(Contract):
    """One named immediate reward of a step."""

    name: Name
    value: float


class Step(Contract):
    """One decision, numbered within its part. `calls` are positions in `llm_calls`.

    `action` is the action's parameters; `tool_call_id` the tool call it answers, if any.
    """

    step: Position
    event_id: Id
    at: Instant
    state: Json | None = None
    observation: Json | None = None
    reads: list[Read] = []
    reasoning: Text | None = None
    action_type: Name
    action: Json
    action_status: Name
    result: Json | None = None
    error: Text | None = None
    components: list[Component] = []
    claims: list[Claim] = []
    calls: list[Position] = []
    tool_call_id: Text | None = None


class Call(Contract):
    """One LLM call; `input` and `output` are positions in `messages`.

    `input` is None when the prompt is not known. `step` is the first step that rests on the call.
    The call's output tokens are ``sequences[sequence].token_ids[span_start:span_end]``.
    """

    call_id: Id
    event_id: Id
    response_id: Id | None = None
    thread: Name
    parent_call: Id | None = None
    purpose: Name | None = None
    provider: Name | None = None
    model: Name
    policy_version: Name | None = None
    error: Text | None = None
    step: Position | None = None
    at: Instant
    latency_ms: float | None = None
    input: list[Position] | None = None
    output: list[Position] = []
    tools: Position | None = None
    params: JsonObject = {}
    finish_reasons: list[Name] = []
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: float | None = None
    sequence: Position | None = None
    span_start: Position | None = None
    span_end: Position | None = None


class TokenSequence(Contract):
    """Token ids as one model saw and wrote them; `loss_mask` is true where it wrote.

    All three lists have the same length; a log-probability is None where it is not known.
    `break_reason` says why this sequence does not continue the one before (None for the first).
    """

    token_ids: list[TokenId]
    loss_mask: list[bool]
    logprobs: list[float | None]
    policy_version: Name | None = None
    break_reason: BreakReason | None = None


class LedgerEntry(Contract):
    """A reward event as passed on: what it says, and where and when the log took it."""

    type: Literal["reward"] = "reward"
    schema_version: str = SCHEMA_VERSION
    reward_id: Id
    trajectory_id: Id
    project: Name
    name: Name
    value: float
    source: RewardSource
    source_version: Name | None = None
    target_event_id: Id | None = None
    call_id: Id | None = None
    response_id: Id | None = None
    supersedes: Id | None = None
    reason: Text | None = None
    outcome_key: Name | None = None
    outcome_version: Position | None = None
    metadata: JsonObject = {}
    occurred_at: Instant
    recorded_at: Instant
    source_partition: Position
    source_offset: Count


class Trajectory(Contract):
    """One final part of a trajectory; identity (trajectory_id, part).

    `started_at` decides the window: the trajectory's begin for part 0, else the part's first
    event. `finalized_at` is the broker's time of the record that closed it. `status`,
    `termination` and `error` are None until the end has been seen. `rewards` are the ledger
    entries that came while the part was open. `extra` holds, by event_id, fields of a newer schema.
    """

    type: Literal["trajectory"] = "trajectory"
    schema_version: str = SCHEMA_VERSION
    engine_version: Name
    trajectory_id: Id
    part: Position
    last: bool
    episode_id: Id | None = None
    project: Name
    agent_id: Name
    window_id: Name
    window_s: Position
    window_start: Instant
    started_at: Instant
    ended_at: Instant
    finalized_at: Instant
    scenario: Name | None = None
    policy: Name | None = None
    policy_version: Name | None = None
    group_key: Name | None = None
    goal: Text | None = None
    mode: Mode
    seed: Seed | None = None
    status: Status | None = None
    termination: Name | None = None
    error: Text | None = None
    close_reason: CloseReason
    complete: bool
    linear: bool
    content_hash: Name
    previous_hash: str
    source_partition: Position
    first_offset: Count
    last_offset: Count
    n_events: Position
    n_steps: Position
    n_llm_calls: Position
    n_missing: Position
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: float | None = None
    metadata: JsonObject = {}
    extra: JsonObject = {}
    writers: list[WriterSpan]
    messages: list[Message] = []
    tool_sets: list[list[JsonObject]] = []
    steps: list[Step] = []
    llm_calls: list[Call] = []
    sequences: list[TokenSequence] = []
    rewards: list[LedgerEntry] = []
