"""LLM calls an agent makes at a step, as plain data."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from ropewalk_deploy.simulation.accounts import Intent
from ropewalk_deploy.simulation.chat import CHARS_PER_TOKEN, Chat, draw_logprobs
from ropewalk_schemas.encoding import to_json

TRADER, CRITIC = "trader-8b", "critic-70b"
CRITIC_SYSTEM = (
    "You review the orders of a trading agent. Answer APPROVE or DOUBT, then one sentence on "
    "position size, correlation with what is already held, and what would prove the order wrong."
)
USD_PER_TOKEN = {TRADER: 2e-7, CRITIC: 9e-7}

QUOTE_TOOL = {
    "type": "function",
    "function": {
        "name": "get_quote",
        "description": "The current price of a market.",
        "parameters": {
            "type": "object",
            "properties": {"market": {"type": "string"}},
            "required": ["market"],
        },
    },
}
ORDER_TOOL = {
    "type": "function",
    "function": {
        "name": "act",
        "description": "Trade, post or comment.",
        "parameters": {"type": "object", "properties": {"type": {"type": "string"}}},
    },
}
TOOLS = [QUOTE_TOOL, ORDER_TOOL]


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One LLM call. `parent` is the position, among the step's calls, of the call it served."""

    model: str
    purpose: str
    prompt: list[dict[str, Any]]
    output: dict[str, Any]
    input_tokens: int
    output_tokens: int
    latency_ms: float
    thread: str = "main"
    parent: int | None = None
    tools: list[dict[str, Any]] | None = None
    prompt_token_ids: list[int] | None = None
    output_token_ids: list[int] | None = None
    output_logprobs: list[float] | None = field(default=None)

    @property
    def cost_usd(self) -> float:
        """What the provider charged."""
        return round((self.input_tokens + self.output_tokens) * USD_PER_TOKEN[self.model], 9)

    @property
    def finish_reason(self) -> str:
        """Why the model stopped."""
        return "tool_calls" if self.output.get("tool_calls") else "stop"


def tool_call(name: str, arguments: object, *, call_id: str) -> dict[str, Any]:
    """An assistant message that calls one tool."""
    function = {"name": name, "arguments": to_json(arguments).decode()}
    call = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "tool_calls": [call]}


def answer(
    rng: Random, chat: Chat, output: dict[str, Any], *, purpose: str, with_token_ids: bool
) -> CallPlan:
    """The trader's model answers what the chat holds; its answer becomes part of the chat."""
    prompt, input_tokens, prompt_ids = list(chat.messages), chat.n_tokens, list(chat.token_ids)
    output_ids = chat.add(output)
    return CallPlan(
        model=TRADER,
        purpose=purpose,
        prompt=prompt,
        output=output,
        input_tokens=input_tokens,
        output_tokens=max(1, chat.n_tokens - input_tokens),
        latency_ms=round(rng.uniform(200, 900), 1),
        tools=TOOLS,
        prompt_token_ids=prompt_ids if with_token_ids else None,
        output_token_ids=output_ids if with_token_ids else None,
        output_logprobs=draw_logprobs(rng, len(output_ids)) if with_token_ids else None,
    )


def review(rng: Random, intent: Intent, *, parent: int) -> CallPlan:
    """A second model looks at an intent, in a thread of its own."""
    asked = f"Proposed: {intent.type} {to_json(intent.parameters).decode()}"
    verdict = rng.choice(("APPROVE. Size is in line with the book.", "DOUBT. The edge is thin."))
    prompt = [{"role": "system", "content": CRITIC_SYSTEM}, {"role": "user", "content": asked}]
    return CallPlan(
        model=CRITIC,
        purpose="evaluation",
        prompt=prompt,
        output={"role": "assistant", "content": verdict},
        input_tokens=(len(CRITIC_SYSTEM) + len(asked)) // CHARS_PER_TOKEN,
        output_tokens=len(verdict) // CHARS_PER_TOKEN,
        latency_ms=round(rng.uniform(400, 1500), 1),
        thread="critic",
        parent=parent,
    )
