"""What each trajectory will be, and what will go wrong with it: drawn from the seed alone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from ropewalk_deploy.simulation.agents import Agent
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.simulation.personas import PERSONAS, Persona
from ropewalk_deploy.simulation.world import Game, draw_game

Ending = Literal["completed", "terminated", "truncated", "failed", "vanishes"]
SHORT, ORDINARY, LONG = (1, 3), (5, 20), (150, 400)
# How far wrong clocks are, in hours. Never more than an hour ahead: that is quarantined.
CLOCKS_OFF_H = (-6.0, -2.5, 0.6)


@dataclass(frozen=True, slots=True)
class Clock:
    """An agent's clock: `behind` as all are, and off by `offset` from step `jumps_at` on."""

    offset: timedelta = timedelta(0)
    jumps_at: int = 0
    behind: timedelta = timedelta(0)

    def at(self, now: datetime, *, step: int) -> datetime:
        """What the agent takes `now` for."""
        simulated = now - self.behind
        return simulated + self.offset if step >= self.jumps_at else simulated


@dataclass(frozen=True, slots=True)
class Script:
    """One trajectory to be played.

    Args:
        hands_over_at: The step a child writer plays; None when there is no child.
        late_reward: Paid after the end; None for none.
    """

    trajectory_id: str
    agent_id: str
    seed: str
    persona: Persona
    game: Game
    n_steps: int
    ending: Ending
    clock: Clock
    hands_over_at: int | None
    late_reward: float | None
    with_token_ids: bool

    def agent(self, *, after: int = 0) -> Agent:
        """The agent as it is after `after` steps: pure, so a restart can catch up."""
        rng = Random(self.seed)  # noqa: S311 - a simulation, not a secret
        agent = Agent(rng, self.persona, self.game, with_token_ids=self.with_token_ids)
        for _ in range(after):
            agent.step()
        return agent


def draw_script(options: SimulationOptions, *, process: int, slot: int, number: int) -> Script:
    """The `number`-th trajectory of an agent; all agents play the same game at the same number."""
    name = f"p{process}-a{slot}"
    seed = f"{options.seed}/{name}/{number}"
    rng = Random(seed)  # noqa: S311 - a simulation, not a secret
    n_steps, is_long = _length(rng, options)
    hands_over = n_steps > 1 and rng.random() < options.handovers
    return Script(
        trajectory_id=f"{options.run}/{name}/{number}",
        agent_id=f"{options.run}-{name}",
        seed=seed,
        persona=PERSONAS[(process * options.agents + slot) % len(PERSONAS)],
        game=draw_game_of(options, number),
        n_steps=n_steps,
        ending=_ending(rng, options),
        clock=_clock(rng, options, n_steps),
        hands_over_at=rng.randrange(1, n_steps) if hands_over else None,
        late_reward=round(rng.uniform(-1, 1), 3) if rng.random() < options.late_rewards else None,
        # A long trajectory would repeat its token ids at every call.
        with_token_ids=rng.random() < options.token_ids and not is_long,
    )


def draw_game_of(options: SimulationOptions, number: int) -> Game:
    """The game that all agents play as their `number`-th."""
    rng = Random(f"{options.seed}/game/{number}")  # noqa: S311 - a simulation, not a secret
    names, weights = zip(*sorted(options.scenarios.items()), strict=True)
    scenario = rng.choices(names, weights)[0]
    return draw_game(rng, game=f"{options.run}.game-{number}", scenario=scenario)


def _length(rng: Random, options: SimulationOptions) -> tuple[int, bool]:
    drawn = rng.random()
    if drawn < options.long:
        return options.long_steps or rng.randint(*LONG), True
    return rng.randint(*(SHORT if drawn < options.long + options.short else ORDINARY)), False


def _ending(rng: Random, options: SimulationOptions) -> Ending:
    if rng.random() < options.vanish:
        return "vanishes"
    endings: tuple[Ending, ...] = ("completed", "terminated", "failed")
    return rng.choices(endings, weights=(90, 6, 4))[0]


def _clock(rng: Random, options: SimulationOptions, n_steps: int) -> Clock:
    behind = timedelta(hours=options.hours_behind)
    if rng.random() >= options.lost_clocks:
        return Clock(behind=behind)
    jumps_at = rng.choice((0, rng.randint(0, n_steps)))
    return Clock(timedelta(hours=rng.choice(CLOCKS_OFF_H)), jumps_at, behind)
