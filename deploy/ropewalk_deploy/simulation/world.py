"""Games: markets, the public view agents get of them, and the truth they never see."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from ropewalk_deploy.simulation.markets import (
    COMPANIES,
    TONES,
    Perpetual,
    Prediction,
    Tone,
    draw_perpetual,
    draw_prediction,
)

N_PREDICTIONS = 3
N_PERPETUALS = 2


@dataclass(frozen=True, slots=True)
class Game:
    """One seeded game. Agents that play the same game can be compared, so it is their group."""

    id: str
    scenario: str
    seed: int
    tone: Tone
    predictions: tuple[Prediction, ...]
    perpetuals: tuple[Perpetual, ...]

    @property
    def markets(self) -> tuple[Prediction | Perpetual, ...]:
        """All of them."""
        return (*self.predictions, *self.perpetuals)

    def hidden(self) -> dict[str, Any]:
        """The truth, for metadata only: it must never reach a prompt."""
        return {
            "true_probabilities": {m.key: m.true_probability for m in self.predictions},
            "outcomes": {m.key: m.outcome for m in self.predictions},
            "drifts": {m.key: m.drift for m in self.perpetuals},
            "shocks": {m.key: [m.shock_step, m.shock] for m in self.perpetuals},
            "insider_notes": [m.insider_note for m in self.markets],
        }


def draw_game(rng: Random, *, game: str, scenario: str) -> Game:
    """A game named `game`, with its markets and their truths."""
    tone = TONES[scenario]
    tickers = rng.sample(COMPANIES, N_PERPETUALS)
    return Game(
        id=game,
        scenario=scenario,
        seed=rng.getrandbits(53),
        tone=tone,
        predictions=tuple(draw_prediction(rng, game=game, number=n) for n in range(N_PREDICTIONS)),
        perpetuals=tuple(draw_perpetual(rng, game=game, ticker=t, tone=tone) for t in tickers),
    )


@dataclass(frozen=True, slots=True)
class View:
    """What anyone can see of the markets at one step: dollars for perpetuals, [0, 1] for YES."""

    step: int
    questions: Mapping[str, str]
    prices: Mapping[str, float]
    tickers: Mapping[str, str]

    def as_data(self) -> dict[str, Any]:
        """The view as a provider hands it to an agent."""
        return {
            "step": self.step,
            "predictions": [
                {"market": key, "question": question, "yes": self.prices[key]}
                for key, question in self.questions.items()
            ],
            "perpetuals": [
                {"market": key, "ticker": ticker, "price": self.prices[key]}
                for key, ticker in self.tickers.items()
            ],
        }


class Tape:
    """The prices of a game as they move, step by step; equal for all who play it."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._rng = Random(game.seed)  # noqa: S311 - a simulation, not a secret
        self._step = -1
        self._prices = {m.key: m.price for m in game.markets}
        self._questions = {m.key: m.question for m in game.predictions}
        self._tickers = {m.key: m.ticker for m in game.perpetuals}

    def advance(self) -> View:
        """Move the markets by one step and show them."""
        self._step += 1
        for prediction in self._game.predictions:
            yes = self._prices[prediction.key] + self._rng.gauss(0, 0.02)
            self._prices[prediction.key] = round(min(0.97, max(0.03, yes)), 2)
        for perpetual in self._game.perpetuals:
            change = perpetual.drift + self._rng.gauss(0, self._game.tone.volatility)
            if self._step == perpetual.shock_step:
                change += perpetual.shock
            price = self._prices[perpetual.key] * (1 + max(-0.5, change))
            self._prices[perpetual.key] = round(price, 2)
        return View(self._step, self._questions, dict(self._prices), self._tickers)
