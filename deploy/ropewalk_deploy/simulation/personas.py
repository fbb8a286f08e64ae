"""How agents differ, and what they choose: pure functions of what is public."""

from dataclasses import dataclass
from random import Random

from ropewalk_deploy.simulation.accounts import Account, Intent
from ropewalk_deploy.simulation.world import View


@dataclass(frozen=True, slots=True)
class Persona:
    """A strategy.

    Args:
        risk: Share of the balance put into one order, times ten.
        activity: Probability of doing anything at a step.
        social: Probability that an action is a post or a comment.
    """

    name: str
    risk: float
    activity: float
    social: float
    creed: str


PERSONAS = (
    Persona("conservative", 0.2, 0.60, 0.15, "Protect capital first; small orders, few of them."),
    Persona("balanced", 0.5, 0.75, 0.25, "Balance risk and reward; diversify across markets."),
    Persona("aggressive", 0.8, 0.95, 0.10, "Press every edge; large orders, quick exits."),
    Persona("momentum", 0.7, 0.85, 0.15, "Follow what moves; leave when it stops."),
    Persona("contrarian", 0.4, 0.70, 0.45, "Distrust the crowd; say in public why it errs."),
)

SOCIAL_SCENARIO_BONUS = 0.35
TOPICS = ("the spread", "the tape", "this crowd", "the odds", "my book", "the close")


def choose(rng: Random, persona: Persona, *, account: Account, view: View, scenario: str) -> Intent:
    """The agent's next intent; now and then one the exchange must reject."""
    if rng.random() > persona.activity:
        return Intent("HOLD")
    social = persona.social + (SOCIAL_SCENARIO_BONUS if scenario == "social-engagement" else 0)
    if rng.random() < social:
        return _speak(rng, view)
    if account.positions and rng.random() < 0.35:  # noqa: PLR2004 - how often agents close
        market = rng.choice(sorted(account.positions))
        return Intent(_closing(market), {"market": market})
    return _order(rng, persona, account=account, view=view)


def _speak(rng: Random, view: View) -> Intent:
    topic = rng.choice(TOPICS)
    if rng.random() < 0.5:  # noqa: PLR2004 - as many comments as posts
        return Intent("CREATE_POST", {"text": f"Round {view.step}: I do not trust {topic}."})
    market = rng.choice(sorted(view.prices))
    return Intent("COMMENT", {"market": market, "text": f"Look at {topic} before you buy here."})


def _order(rng: Random, persona: Persona, *, account: Account, view: View) -> Intent:
    market = rng.choice(sorted(view.prices))
    if rng.random() < 0.06:  # noqa: PLR2004 - how often agents misread their own book
        return Intent(_closing(market), {"market": market})
    amount = round(account.balance * persona.risk * rng.uniform(0.02, 0.2), 2)
    if rng.random() < 0.04:  # noqa: PLR2004 - how often agents overspend
        amount = round(account.balance * 1.5, 2)
    if market in view.tickers:
        side = rng.choice(("long", "short"))
        return Intent("OPEN_PERP", {"market": market, "side": side, "amount": amount})
    return Intent(
        "BUY_SHARES", {"market": market, "side": rng.choice(("yes", "no")), "amount": amount}
    )


def _closing(market: str) -> str:
    return "CLOSE_PERP" if market.startswith("perpetual:") else "SELL_SHARES"
