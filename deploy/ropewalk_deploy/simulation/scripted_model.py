"""What a model would answer that is asked to rank trajectories, also badly on purpose. Pure."""

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any, Literal, get_args

BadAnswer = Literal[
    "wrong_count", "unknown_id", "out_of_range", "not_finite", "not_json", "no_choices", "slow",
    "too_many", "broken", "drops",
]  # fmt: skip
Behaviour = Literal["good", "fenced", "reordered", BadAnswer, "refuses", "no_key", "moved"]
Choose = Callable[[str, int], Behaviour]
"""How to answer a prompt that was asked about so many times before."""
Score = Callable[[str, str, int], float]
"""From what all trajectories have in common, what one shows, and how often it was asked before."""

STATUS: dict[Behaviour, int] = {
    "too_many": 429, "broken": 500, "refuses": 400, "no_key": 401, "moved": 302,
}  # fmt: skip
FAIR_USD, SCALE_USD = 10_000.0, 4_000.0
P_BAD = 0.3
_CONTEXT = re.compile(r"<context>(.*?)</context>", re.DOTALL)
_TRAJECTORY = re.compile(r'<trajectory id="(\d+)">(.*?)</trajectory>', re.DOTALL)
_OWNED = re.compile(r'portfolio_value\\*":\s*(-?[0-9.]+)')


def said(behaviour: Behaviour, text: str, nth: int, score: Score) -> str:
    """The text of an answer to a prompt's text."""
    context = "".join(_CONTEXT.findall(text))
    scores: list[dict[str, Any]] = [
        {
            "trajectory_id": number,
            "explanation": f"answer {nth}",
            "score": score(context, shown, nth),
        }
        for number, shown in _TRAJECTORY.findall(text)
    ]
    match behaviour:
        case "reordered":
            scores.reverse()
        case "wrong_count":
            scores.pop()
        case "unknown_id":
            scores[0]["trajectory_id"] = "77"
        case "out_of_range":
            scores[0]["score"] = 7
        case "not_finite":
            scores[0]["score"] = float("nan")
        case "not_json":
            return "I think the first one is best."
    answer = json.dumps({"scores": scores})
    return f"```json\n{answer}\n```" if behaviour == "fenced" else answer


def by_account(context: str, shown: str, _nth: int) -> float:
    """The score of a simulated agent: by what it says, in its last prompt, that it owned."""
    owned = _OWNED.findall(shown) or _OWNED.findall(context)
    return score_of(float(owned[-1])) if owned else 0.0


def score_of(owned: float) -> float:
    """0 to 1 for what an agent owned, in dollars; it began with `FAIR_USD`."""
    return round(min(1.0, max(0.0, 0.5 + (owned - FAIR_USD) / SCALE_USD)), 3)


def moody(seed: int) -> Choose:
    """Good in the end: about some prompts, the first answer or two are bad in any way."""

    def choose(text: str, nth: int) -> Behaviour:
        rng = Random(f"{seed}/{nth}/{text}")  # noqa: S311 - a simulation
        if nth < 2 and rng.random() < P_BAD:  # noqa: PLR2004 - as the docstring says
            return rng.choice(get_args(BadAnswer))
        return rng.choice(("good", "fenced", "reordered"))

    return choose


def always(behaviour: Behaviour = "good") -> Choose:
    """The same for every request."""
    return lambda _text, _nth: behaviour


def in_turn(*behaviours: Behaviour) -> Choose:
    """One after the other for each prompt; the last one from then on."""
    return lambda _text, nth: behaviours[min(nth, len(behaviours) - 1)]
