from typing import Any

import pytest
from tests.support.published import a_part, a_step, an_entry, value_of

from ropewalk_schemas.published import ComponentRow, decode_published
from ropewalk_schemas.scoring import RewardSpec
from ropewalk_schemas.trajectory import Trajectory
from ropewalk_sinks.incoming import is_part
from ropewalk_sinks.scored import immediate_reward, schema_major, score_part


def decoded(**changes: Any) -> Trajectory:
    row = decode_published(value_of(a_part(**changes)))
    assert is_part(row)
    return row


def test_the_default_score_adds_immediate_components_and_ledger_entries() -> None:
    part = decoded(rewards=[an_entry(value=2.5)])
    score = score_part(part)
    assert score.total == 0.75 + 0.75 + 2.5
    assert score.steps == (0.75, 3.25)
    assert score.returns == (4.0, 3.25)
    assert immediate_reward(part) == 1.5


@pytest.mark.parametrize("target", ["call-0", "response-0"])
def test_a_reward_for_a_call_counts_at_the_step_that_rests_on_it(target: str) -> None:
    by_call = score_part(decoded(rewards=[an_entry(call_id=target, value=1.0)]))
    by_response = score_part(decoded(rewards=[an_entry(response_id=target, value=1.0)]))
    assert by_call.steps == by_response.steps == (1.75, 0.75)


def test_a_part_that_nothing_rewarded_has_no_total_rather_than_zero() -> None:
    part = decoded(steps=[a_step(0, components=[], calls=[]), a_step(1, components=[], calls=[])])
    assert score_part(part).total is None
    assert immediate_reward(part) is None


def test_what_was_earned_at_once_is_the_score_without_the_ledger_to_the_last_bit() -> None:
    part = decoded(
        steps=[
            a_step(n, components=[ComponentRow(name=name, value=0.1 * n + 0.7) for name in "abc"])
            for n in range(2)
        ]
    )
    assert immediate_reward(part) == score_part(part).total


def test_returns_follow_the_discount_of_the_specification() -> None:
    score = score_part(decoded(), RewardSpec(name="half", version="2", discount=0.5))
    assert score.returns == (0.75 + 0.5 * 0.75, 0.75)


def test_rows_carry_the_major_version_as_a_number() -> None:
    assert schema_major("1.27") == 1
