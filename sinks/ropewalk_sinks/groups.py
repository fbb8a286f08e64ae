"""Groups of trajectories as trainers take them: what both sinks' views say, and GRPO's formula."""

from collections.abc import Sequence
from importlib.resources import files
from math import fsum, sqrt
from typing import NamedTuple

from ropewalk_sinks import sql

EPSILON = 1e-6


class Group(NamedTuple):
    """A row of the view `groups`; lists are in the order of `trajectory_ids`.

    Attributes:
        std_reward: Population deviation.
        advantages: One per member; None for a member without a reward.
        why_not: What stands against training on it; empty if `trainable`.
    """

    project: str
    scenario: str | None
    group_key: str | None
    window_id: str
    policy_version: str | None
    size: int
    n_agents: int
    same_policy: bool
    n_complete: int
    n_pending: int
    n_rewarded: int
    min_reward: float | None
    max_reward: float | None
    mean_reward: float | None
    std_reward: float | None
    trajectory_ids: list[str]
    rewards: list[float | None]
    advantages: list[float | None]
    why_not: list[str]
    trainable: bool


def advantages(rewards: Sequence[float]) -> list[float]:
    """How much better than its group each reward is: ``(r - mean) / (std + 1e-6)``.

    >>> [round(a, 6) for a in advantages([1.0, 0.0, 0.0, 1.0])]
    [0.999998, -0.999998, -0.999998, 0.999998]

    Args:
        rewards: Of one group, at least one; ``std`` is their population deviation.

    Source:
        Shao et al., *DeepSeekMath* (2024), section 4.1.2.
    """
    mean = fsum(rewards) / len(rewards)
    std = sqrt(fsum((reward - mean) ** 2 for reward in rewards) / len(rewards))
    return [(reward - mean) / (std + EPSILON) for reward in rewards]


def group_macros() -> str:
    """The groups over the Parquet datasets, in DuckDB's SQL; needs the macros of the ledger."""
    return (files(sql) / "groups.duckdb.sql").read_text(encoding="utf-8")
