"""One planned step as recorder calls."""

from datetime import datetime

from ropewalk_deploy.simulation.agents import StepPlan
from ropewalk_deploy.simulation.calls import CallPlan
from ropewalk_producers import Trajectory

TEMPERATURE = 0.8
MAX_TOKENS = 256


def record_step(trajectory: Trajectory, plan: StepPlan, *, at: datetime) -> None:
    """Record a step's calls and its decision."""
    with trajectory.step(state=plan.state, observation=plan.observation, at=at) as step:
        for name, data in plan.reads.items():
            step.read(name, data=data, purpose="before acting")
        for call in plan.calls:
            step.calls.append(_record_call(trajectory, call, step.calls, at=at))
        step.reasoning = plan.reasoning
        step.action(
            plan.intent.type,
            plan.intent.parameters,
            status=plan.outcome.status,
            result=plan.outcome.result,
            error=plan.outcome.error,
            tool_call_id=plan.tool_call_id,
        )
        for name, value in plan.components.items():
            step.reward_component(name, value)
        if plan.outcome.claim is not None:
            step.claim(*plan.outcome.claim)


def _record_call(trajectory: Trajectory, call: CallPlan, before: list[str], *, at: datetime) -> str:
    return trajectory.llm_call(
        model=call.model,
        messages=call.prompt,
        output=call.output,
        purpose=call.purpose,
        thread=call.thread,
        parent_call=None if call.parent is None else before[call.parent],
        provider="local",
        tools=call.tools,
        parameters={"temperature": TEMPERATURE, "max_tokens": MAX_TOKENS},
        finish_reasons=[call.finish_reason],
        usage={"input_tokens": call.input_tokens, "output_tokens": call.output_tokens},
        latency_ms=call.latency_ms,
        cost_usd=call.cost_usd,
        prompt_token_ids=call.prompt_token_ids,
        output_token_ids=call.output_token_ids,
        output_logprobs=call.output_logprobs,
        at=at,
    )
