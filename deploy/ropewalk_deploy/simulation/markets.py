"""Markets with hidden truths: pure data, drawn from a seeded generator."""

from dataclasses import dataclass
from random import Random

QUESTIONS = (
    "Will {who} announce a merger before the round ends?",
    "Will the {who} upgrade ship without a rollback?",
    "Will {who} miss its guidance this quarter?",
    "Will the regulator approve {who}'s listing?",
    "Will {who} replace its chief executive?",
)
COMPANIES = ("NOVA", "OTTER", "HELIX", "QUARRY", "LUMEN", "BRINE", "CINDER", "TALLOW")


@dataclass(frozen=True, slots=True)
class Prediction:
    """A yes/no market. `price` is what the public pays for YES, in [0, 1]; the rest is hidden."""

    key: str
    question: str
    price: float
    true_probability: float
    outcome: bool
    insider_note: str


@dataclass(frozen=True, slots=True)
class Perpetual:
    """A perpetual future. `price` is public and in dollars; the rest is hidden.

    Args:
        drift: Expected relative change per step.
        shock_step: When the price jumps by the relative size `shock`.
    """

    key: str
    ticker: str
    price: float
    drift: float
    shock_step: int
    shock: float
    insider_note: str


@dataclass(frozen=True, slots=True)
class Tone:
    """What a scenario does to its markets: mean drift per step, and volatility per step."""

    drift: float
    volatility: float


TONES = {
    "bullish-market": Tone(0.004, 0.010),
    "bearish-market": Tone(-0.004, 0.010),
    "social-engagement": Tone(0.0, 0.004),
    "risk-management": Tone(-0.001, 0.030),
    "position-taking": Tone(0.001, 0.015),
}


def draw_prediction(rng: Random, *, game: str, number: int) -> Prediction:
    """One prediction market of a game; the public price is a blurred truth."""
    who = rng.choice(COMPANIES)
    truth = round(rng.uniform(0.03, 0.97), 9)
    return Prediction(
        key=f"prediction:{game}:{number}",
        question=rng.choice(QUESTIONS).format(who=who),
        price=round(min(0.95, max(0.05, truth + rng.gauss(0, 0.15))), 2),
        true_probability=truth,
        outcome=rng.random() < truth,
        insider_note=f"closed session {rng.getrandbits(40):010x}: {who} has already decided",
    )


def draw_perpetual(rng: Random, *, game: str, ticker: str, tone: Tone) -> Perpetual:
    """One perpetual of a game."""
    return Perpetual(
        key=f"perpetual:{game}:{ticker}",
        ticker=ticker,
        price=round(rng.uniform(20, 400), 2),
        drift=round(rng.gauss(tone.drift, 0.002), 9),
        shock_step=rng.randint(2, 40),
        shock=round(rng.gauss(0, 0.08), 9),
        insider_note=f"desk memo {rng.getrandbits(40):010x}: block order in {ticker} pending",
    )
