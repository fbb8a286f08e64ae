"""One agent playing one game: at each step it looks, thinks, acts and is rewarded. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from ropewalk_deploy.simulation.accounts import Account, Intent, Outcome
from ropewalk_deploy.simulation.calls import CallPlan, answer, review, tool_call
from ropewalk_deploy.simulation.chat import Chat
from ropewalk_deploy.simulation.personas import Persona, choose
from ropewalk_deploy.simulation.world import Game, Tape, View
from ropewalk_schemas.encoding import to_json

SYSTEM = (
    "You are an autonomous {name} trader in a market game. {creed} You trade YES/NO shares of "
    "prediction markets and perpetual futures, and you may post or comment. Each round you get "
    "the markets and your account; think briefly, then act with one tool call. Prices are dollars "
    "for perpetuals and probabilities for YES shares. Orders above your balance are rejected."
)
THOUGHTS = (
    "The price moved less than the news would suggest, so the edge is small but real.",
    "My book leans one way already; the next order should not add to that.",
    "Nothing here is clearly mispriced, but the volume says others think it is.",
    "I would rather be early than crowded; the size stays modest until it is confirmed.",
)
REWARD_SCALE_USD = 1_000.0
TRADE_REWARD, POST_REWARD, COMMENT_REWARD = 0.1, 0.1, 0.05
P_QUOTE, P_REVIEW, P_FAILURE = 0.25, 0.4, 0.03
REVIEWED = "risk-management"  # only here a second model reads along, in a thread of its own


@dataclass(frozen=True, slots=True)
class StepPlan:
    """All that one step records. The decision rests on all `calls`."""

    state: Mapping[str, Any]
    observation: Mapping[str, Any]
    reads: Mapping[str, Any]
    calls: tuple[CallPlan, ...]
    reasoning: str
    intent: Intent
    tool_call_id: str
    outcome: Outcome
    components: Mapping[str, float]


class Agent:
    """Plays a game; the same arguments give the same steps."""

    def __init__(self, rng: Random, persona: Persona, game: Game, *, with_token_ids: bool) -> None:
        self._rng, self._persona, self._game = rng, persona, game
        self._with_token_ids = with_token_ids
        self._account, self._tape = Account(), Tape(game)
        self._chat = Chat(SYSTEM.format(name=persona.name, creed=persona.creed))
        self._value = self._account.balance
        self._unheard: list[dict[str, Any]] = []
        self.n_steps = 0

    def unheard(self) -> list[dict[str, Any]]:
        """What was said after the last call, so that no prompt holds it."""
        return self._unheard

    def summary(self) -> dict[str, Any]:
        """How the game went."""
        return {
            "final_value": round(self._value, 2),
            "points": self._account.points,
            "n_steps": self.n_steps,
        }

    def step(self) -> StepPlan:
        """The next step."""
        view = self._tape.advance()
        state = self._account.state(view.prices)
        self._ask(view, state)
        intent = choose(
            self._rng,
            self._persona,
            account=self._account,
            view=view,
            scenario=self._game.scenario,
        )
        thought, tool_call_id = self._rng.choice(THOUGHTS), f"act-{view.step}"
        reads = {"markets": view.as_data()}
        calls = self._think(view, intent, reads, tool_call_id=tool_call_id)
        outcome = self._act(intent, view)
        self._hear(outcome, tool_call_id)
        components = self._rewards(intent, outcome, view)
        observation = {"last_value": round(self._value, 2), "round": view.step}
        self._value = self._account.value(view.prices)
        self.n_steps += 1
        return StepPlan(
            state, observation, reads, calls, thought, intent, tool_call_id, outcome, components
        )

    def _ask(self, view: View, state: Mapping[str, Any]) -> None:
        self._chat.compact(f"Summary so far: {to_json(state).decode()}")
        shown = f"Markets: {to_json(view.as_data()).decode()}\nAccount: {to_json(state).decode()}"
        self._chat.add({"role": "user", "content": shown})

    def _think(
        self, view: View, intent: Intent, reads: dict[str, Any], *, tool_call_id: str
    ) -> tuple[CallPlan, ...]:
        calls: list[CallPlan] = []
        if self._rng.random() < P_QUOTE:
            calls.append(self._quote(view, reads))
        act = tool_call("act", {"type": intent.type, **intent.parameters}, call_id=tool_call_id)
        calls.append(self._answer(act, purpose="action"))
        reviewed = self._game.scenario == REVIEWED and intent.type != "HOLD"
        if reviewed and self._rng.random() < P_REVIEW:
            calls.append(review(self._rng, intent, parent=len(calls) - 1))
        return tuple(calls)

    def _quote(self, view: View, reads: dict[str, Any]) -> CallPlan:
        market = self._rng.choice(sorted(view.prices))
        quote = {"market": market, "price": view.prices[market]}
        reads["quote"] = quote
        call_id = f"quote-{view.step}"
        asked = tool_call("get_quote", {"market": market}, call_id=call_id)
        call = self._answer(asked, purpose="reasoning")
        told = to_json(quote).decode()
        self._chat.add({"role": "tool", "tool_call_id": call_id, "content": told})
        return call

    def _answer(self, output: dict[str, Any], *, purpose: str) -> CallPlan:
        return answer(
            self._rng, self._chat, output, purpose=purpose, with_token_ids=self._with_token_ids
        )

    def _act(self, intent: Intent, view: View) -> Outcome:
        if intent.type != "HOLD" and self._rng.random() < P_FAILURE:
            return Outcome("failed", error="the exchange did not answer within 5 s")
        return self._account.apply(intent, view.prices)

    def _hear(self, outcome: Outcome, tool_call_id: str) -> None:
        told = outcome.error or to_json(outcome.result or {"status": outcome.status}).decode()
        message = {"role": "tool", "tool_call_id": tool_call_id, "content": told}
        self._chat.add(message)
        self._unheard = [message]

    def _rewards(self, intent: Intent, outcome: Outcome, view: View) -> dict[str, float]:
        gained = (self._account.value(view.prices) - self._value) / REWARD_SCALE_USD
        components = {"pnl": round(max(-1.0, min(1.0, gained)), 6)}
        if outcome.status == "executed":
            components |= _activity(intent)
        return components


def _activity(intent: Intent) -> dict[str, float]:
    match intent.type:
        case "CREATE_POST":
            return {"social": POST_REWARD}
        case "COMMENT":
            return {"social": COMMENT_REWARD}
        case _:
            return {"trade": TRADE_REWARD}
