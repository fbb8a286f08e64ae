"""What became of the markets: drawn from the seed, told to nobody before the agents have played."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from ropewalk_deploy.simulation.markets import Perpetual, Prediction
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.scripts import draw_game_of
from ropewalk_schemas.outcomes import Outcome

MOVE = 0.2
"""The largest relative move of a perpetual until it is settled."""


def draw_outcomes(
    options: SimulationOptions, games: Iterable[int], *, played_until: datetime
) -> list[Outcome]:
    """The outcomes of the games with these numbers, in the order in which they are told.

    A `resolved` fraction of markets has one at all; of those, a `corrected` fraction has a second
    version, which may be told before the first. They lie hours after the decisions, as far as
    simulated time is behind ours.
    """
    drawn = [
        outcome
        for number in games
        for market in draw_game_of(options, number).markets
        for outcome in _of_market(options, market, played_until)
    ]
    Random(f"{options.seed}/told").shuffle(drawn)  # noqa: S311 - a simulation
    return drawn


def _of_market(
    options: SimulationOptions, market: Prediction | Perpetual, played_until: datetime
) -> Iterator[Outcome]:
    rng = Random(f"{options.seed}/outcome/{market.key}")  # noqa: S311 - a simulation
    if rng.random() >= options.resolved:
        return
    n_versions = 2 if rng.random() < options.corrected else 1
    for version in range(1, n_versions + 1):
        after = timedelta(hours=options.hours_behind * rng.uniform(0.5, 0.9))
        yield Outcome(
            outcome_key=market.key,
            version=version,
            occurred_at=played_until + after,
            values=_values(rng, market, is_last=version == n_versions),
        )


def _values(rng: Random, market: Prediction | Perpetual, *, is_last: bool) -> dict[str, Any]:
    if isinstance(market, Prediction):
        return {"resolved": "yes" if market.outcome == is_last else "no"}
    return {"price": round(market.price * (1 + rng.uniform(-MOVE, MOVE)), 2)}
