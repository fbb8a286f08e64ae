"""What agent services say: one model per event type, all sharing an envelope.

`AgentEvent` is what producers build; the wire form is its JSON. Models are the contract: the hot
decoder in `codec` is derived from them.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, WithJsonSchema

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

Mode = Literal["episode", "continuous"]
Status = Literal["completed", "terminated", "truncated", "failed"]
ActionStatus = Literal["executed", "held", "rejected", "failed"]
RewardSource = Literal["environment", "outcome", "judge", "human"]
Version = Annotated[
    str,
    Field(min_length=3, max_length=20),
    WithJsonSchema({"type": "string", "pattern": r"^1\.[0-9]{1,9}$"}),  # checked by the codec
]


class Source(Contract):
    """Which program spoke."""

    service: Name
    instance: Name | None = None
    version: Name | None = None


class Header(Contract):
    """What every event has, rewards included.

    `occurred_at` is when it happened, by the clock of who says so.
    """

    event_id: Id
    schema_version: Version = SCHEMA_VERSION
    occurred_at: Instant
    project: Name
    trajectory_id: Id


class Envelope(Header):
    """What every event that belongs to a trajectory's life has.

    `seq` counts 0, 1, 2, ... per trajectory and `writer` (one recorder instance). `started_at` is
    when the trajectory began, the same in all its events.
    """

    started_at: Instant
    agent_id: Name
    episode_id: Id | None = None
    writer: Id
    seq: Count
    source: Source | None = None


class Policy(Contract):
    """The policy that acts: a model and the version of its weights or prompt."""

    model: Name
    version: Name | None = None


class TrajectoryStarted(Envelope):
    """A trajectory begins.

    `messages` are opening messages that no call produced, such as a canned greeting.
    """

    type: Literal["trajectory_started"] = "trajectory_started"
    scenario: Name | None = None
    policy: Policy | None = None
    goal: Text | None = None
    seed: Seed | None = None
    group_key: Name | None = None
    mode: Mode = "episode"
    metadata: JsonObject = {}
    messages: list[Message] = []


class Read(Contract):
    """Something the agent looked at before it decided: a provider and what it gave."""

    name: Name
    query: Json | None = None
    data: Json | None = None
    purpose: Text | None = None


class Action(Contract):
    """What was decided. `tool_call_id` ties it to a tool call of the model's message."""

    type: Name
    parameters: JsonObject = {}
    tool_call_id: Text | None = None


class Claim(Contract):
    """A bet on something that becomes known later: which outcome, and on what terms."""

    outcome_key: Name
    terms: JsonObject = {}


class Decision(Envelope):
    """One action of the agent; a model turn with three tool calls is three decisions.

    `reward_components` are immediate rewards by name. `calls` are the call_ids it rests on.
    """

    type: Literal["decision"] = "decision"
    state: Json | None = None
    observation: Json | None = None
    reads: list[Read] = []
    reasoning: Text | None = None
    action: Action
    action_status: ActionStatus
    result: Json | None = None
    error: Text | None = None
    reward_components: dict[Name, float] = {}
    claims: list[Claim] = []
    calls: list[Id] = []


class Usage(Contract):
    """Tokens, as OpenTelemetry's GenAI conventions count them."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cached_input_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class LLMCall(Envelope):
    """One call of a model, in OpenTelemetry GenAI's words.

    The prompt is `messages`. With `base_call` it is the first `base_messages` messages of that
    call's prompt and output, followed by `messages`. `messages = None` says that the prompt is not
    known. In a call with a base, `tools = None` says: the tools of the base.

    `prompt_token_ids` is the whole prompt as the model saw it; `output_logprobs` has one natural
    logarithm per id of `output_token_ids`.
    """

    type: Literal["llm_call"] = "llm_call"
    call_id: Id
    response_id: Id | None = None
    purpose: Name | None = None
    thread: Name = "main"
    parent_call: Id | None = None
    provider: Name | None = None
    model: Name
    policy_version: Name | None = None
    base_call: Id | None = None
    base_messages: Position = 0
    messages: list[Message] | None = None
    tools: list[JsonObject] | None = None
    parameters: JsonObject = {}
    output: list[Message] = []
    finish_reasons: list[Name] = []
    usage: Usage | None = None
    latency_ms: Annotated[float, Field(ge=0)] | None = None
    cost_usd: float | None = None
    error: Text | None = None
    prompt_token_ids: list[TokenId] | None = None
    output_token_ids: list[TokenId] | None = None
    output_logprobs: list[float] | None = None


class Reward(Header):
    """One entry of the reward ledger; may come days late, from any service.

    It is for the trajectory, or for one step or call of it when `target_event_id`, `call_id` or
    `response_id` says so. `supersedes` names the entry it replaces.
    """

    type: Literal["reward"] = "reward"
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


class WriterClosed(Envelope):
    """A second writer has finished. `n_events` counts its events, this one included."""

    type: Literal["writer_closed"] = "writer_closed"
    n_events: Annotated[Count, Field(ge=1)]
    handed_to: list[Id] = []


class TrajectoryEnded(Envelope):
    """The trajectory is over. `n_events` counts this writer's events, this one included.

    `messages` are closing messages that no call will see; `termination` is the environment's own
    word for why it ended.
    """

    type: Literal["trajectory_ended"] = "trajectory_ended"
    n_events: Annotated[Count, Field(ge=1)]
    handed_to: list[Id] = []
    status: Status
    termination: Name | None = None
    error: Text | None = None
    messages: list[Message] = []
    metadata: JsonObject = {}


LifeEvent = TrajectoryStarted | Decision | LLMCall | WriterClosed | TrajectoryEnded
AgentEvent = Annotated[LifeEvent | Reward, Field(discriminator="type")]
AGENT_EVENT: TypeAdapter[LifeEvent | Reward] = TypeAdapter(AgentEvent)
EVENT_MODELS: tuple[type[LifeEvent | Reward], ...] = (
    TrajectoryStarted,
    Decision,
    LLMCall,
    Reward,
    WriterClosed,
    TrajectoryEnded,
)
