"""What is told after the play, and in which round: markets' outcomes, humans' reviews. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from ropewalk_deploy.simulation.ledger import Ledger
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.outcomes import draw_outcomes
from ropewalk_producers.ids import derived_ids
from ropewalk_schemas.outcomes import Outcome

P_REVIEWED_AGAIN = 0.4
REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Review:
    """A human's word on a late reward, or on an earlier review: it replaces that."""

    reward_id: str
    supersedes: str
    trajectory_id: str
    value: float


@dataclass(slots=True)
class Round:
    """What is told before everyone waits for its consequences."""

    outcomes: list[Outcome] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)


def draw_rounds(
    options: SimulationOptions, ledger: Ledger, *, played_until: datetime
) -> list[Round]:
    """All that comes after the play, each piece in a round of its own chance.

    So a correction may be told rounds before what it corrects. Some outcomes are told twice.
    """
    rounds = [Round() for _ in range(options.rounds)]
    rng = Random(f"{options.seed}/rounds")  # noqa: S311 - a simulation
    games = sorted({line.number for line in ledger.opened.values()})
    for outcome in draw_outcomes(options, games, played_until=played_until):
        for _ in range(2 if rng.random() < options.duplicates else 1):
            rng.choice(rounds).outcomes.append(outcome)
    for review in _reviews(options, ledger):
        rng.choice(rounds).reviews.append(review)
    return [told for told in rounds if told.outcomes or told.reviews]


def _reviews(options: SimulationOptions, ledger: Ledger) -> Iterable[Review]:
    for event in ledger.acknowledged.values():
        if event.intent.type == "reward":
            yield from _reviews_of(options, event.intent.event_id, event.intent.trajectory_id)


def _reviews_of(options: SimulationOptions, reward_id: str, trajectory_id: str) -> Iterator[Review]:
    rng = Random(f"{options.seed}/review/{reward_id}")  # noqa: S311 - a simulation
    ids = derived_ids(options.run)
    n_reviews = (rng.random() < options.reviewed) * (1 + (rng.random() < P_REVIEWED_AGAIN))
    for number in range(n_reviews):
        before, reward_id = reward_id, ids.reward_id(trajectory_id, REVIEW, number)
        yield Review(reward_id, before, trajectory_id, round(rng.uniform(-1, 1), 3))
