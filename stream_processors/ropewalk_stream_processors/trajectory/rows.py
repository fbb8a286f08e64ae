"""One decision, and one LLM call, as a part lists them."""

from typing import Any

from ropewalk_schemas.events import Decision, LLMCall
from ropewalk_schemas.published import CallRow, ComponentRow, StepRow
from ropewalk_schemas.trajectory import Call, Step
from ropewalk_schemas.windows import from_micros
from ropewalk_stream_processors.trajectory.records import KeptEvent


def step_row(number: int, kept: KeptEvent, event: Decision, position: dict[str, int]) -> Step:
    """A decision as step `number`; `position` says where each call_id is in `llm_calls`."""
    step: Step = StepRow(
        step=number,
        event_id=event.event_id,
        at=from_micros(kept.occurred_us),
        state=event.state,
        observation=event.observation,
        reads=event.reads,
        reasoning=event.reasoning,
        action_type=event.action.type,
        action=event.action.parameters,
        action_status=event.action_status,
        result=event.result,
        error=event.error,
        components=[
            ComponentRow(name=name, value=value) for name, value in event.reward_components.items()
        ],
        claims=event.claims,
        calls=[position[call] for call in event.calls if call in position],
        tool_call_id=event.action.tool_call_id,
    )
    return step


def call_row(kept: KeptEvent, event: LLMCall, places: dict[str, Any], step: int | None) -> Call:
    """A call; `places` says where its messages, tools and tokens are, `step` whom it served."""
    usage = event.usage
    row: Call = CallRow(
        call_id=event.call_id,
        event_id=event.event_id,
        response_id=event.response_id,
        thread=event.thread,
        parent_call=event.parent_call,
        purpose=event.purpose,
        provider=event.provider,
        model=event.model,
        policy_version=event.policy_version,
        error=event.error,
        step=step,
        at=from_micros(kept.occurred_us),
        latency_ms=event.latency_ms,
        params=event.parameters,
        finish_reasons=event.finish_reasons,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cost_usd=event.cost_usd,
        **places,
    )
    return row
