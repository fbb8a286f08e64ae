"""Advantages as GRPO has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_sinks.groups import EPSILON, advantages

REWARDS = st.lists(st.floats(-100, 100), min_size=1, max_size=16)


@given(REWARDS)
def test_advantages_have_mean_zero(rewards: list[float]) -> None:
    assert sum(advantages(rewards)) / len(rewards) == pytest.approx(0.0, abs=1e-6)


@given(REWARDS)
def test_equal_rewards_have_equal_advantages_and_better_ones_no_smaller(
    rewards: list[float],
) -> None:
    pairs = sorted(zip(rewards, advantages(rewards), strict=True))
    assert [a for _, a in pairs] == sorted(a for _, a in pairs)


def test_a_known_group() -> None:
    assert advantages([1.0, 0.0, 0.0, 1.0]) == [
        0.5 / (0.5 + EPSILON),
        -0.5 / (0.5 + EPSILON),
        -0.5 / (0.5 + EPSILON),
        0.5 / (0.5 + EPSILON),
    ]
    assert advantages([3.0, 3.0]) == [0.0, 0.0]
