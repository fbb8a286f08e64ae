"""Scores: linear in what was given, and indifferent to the order in which it came."""

from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_schemas.scoring import (
    DEFAULT_SPEC,
    RewardSpec,
    ScoredStep,
    current_entries,
    discounted_returns,
    score,
)

# Whole numbers add up exactly, so laws can be held with ==.
VALUES = st.integers(-1000, 1000).map(float)
TARGETS = st.sampled_from([None, "s0", "s1", "elsewhere"])
CALLS = st.sampled_from([None, "c0", "c1", "unknown"])


@dataclass(frozen=True)
class Entry:
    reward_id: str
    value: float
    target_event_id: str | None = None
    call_id: str | None = None
    response_id: str | None = None
    supersedes: str | None = None
    name: str = "late"
    source: str = "outcome"


def steps() -> st.SearchStrategy[list[ScoredStep]]:
    components = st.dictionaries(st.sampled_from("ab"), VALUES)
    given_steps = st.lists(components, max_size=3)
    return given_steps.map(
        lambda many: [ScoredStep(f"s{i}", c, frozenset({f"c{i}"})) for i, c in enumerate(many)]
    )


def entries() -> st.SearchStrategy[list[Entry]]:
    superseded = st.sampled_from([None, None, "r0", "r1", "r2"])
    some = st.lists(st.tuples(VALUES, TARGETS, CALLS, superseded), max_size=4)
    return some.map(
        lambda many: [
            Entry(f"r{i}", value, target, call, None, old if old != f"r{i}" else None)
            for i, (value, target, call, old) in enumerate(many)
        ]
    )


@given(steps(), entries(), st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(
    given_steps: list[ScoredStep], ledger: list[Entry], random: Random
) -> None:
    shuffled = list(ledger)
    random.shuffle(shuffled)
    assert score(DEFAULT_SPEC, given_steps, shuffled) == score(DEFAULT_SPEC, given_steps, ledger)


@given(steps(), entries())
def test_an_entry_that_comes_twice_counts_once(
    given_steps: list[ScoredStep], ledger: list[Entry]
) -> None:
    once = score(DEFAULT_SPEC, given_steps, ledger)
    assert score(DEFAULT_SPEC, given_steps, ledger + ledger) == once


@given(steps(), entries())
def test_doubling_every_reward_doubles_every_score(
    given_steps: list[ScoredStep], ledger: list[Entry]
) -> None:
    single = score(DEFAULT_SPEC, given_steps, ledger)
    double = score(
        DEFAULT_SPEC,
        [replace(s, components={k: 2 * v for k, v in s.components.items()}) for s in given_steps],
        [replace(entry, value=2 * entry.value) for entry in ledger],
    )
    assert double.steps == tuple(2 * value for value in single.steps)
    assert double.returns == tuple(2 * value for value in single.returns)
    assert double.total == (None if single.total is None else 2 * single.total)


@given(steps(), entries())
def test_the_total_is_every_current_reward_once(
    given_steps: list[ScoredStep], ledger: list[Entry]
) -> None:
    immediate = [value for step in given_steps for value in step.components.values()]
    replaced = {entry.supersedes for entry in ledger}
    later = [entry.value for entry in ledger if entry.reward_id not in replaced]
    total = score(DEFAULT_SPEC, given_steps, ledger).total
    assert total == (sum(immediate + later) if immediate or later else None)


@given(st.lists(VALUES), st.sampled_from([0.0, 0.5, 1.0]))
def test_returns_satisfy_the_recursion(rewards: list[float], discount: float) -> None:
    returns = discounted_returns(rewards, discount=discount)
    assert len(returns) == len(rewards)
    for t, reward in enumerate(rewards):
        following = returns[t + 1] if t + 1 < len(rewards) else 0.0
        assert returns[t] == reward + discount * following


@pytest.mark.parametrize("discount", [-0.01, 1.01])
def test_a_discount_outside_0_to_1_is_refused(discount: float) -> None:
    with pytest.raises(ValueError, match="discount"):
        discounted_returns([1.0], discount=discount)


def test_only_the_end_of_a_chain_of_corrections_counts() -> None:
    chain = [Entry("a", 1.0), Entry("b", 2.0, supersedes="a"), Entry("c", 4.0, supersedes="b")]
    assert [entry.reward_id for entry in current_entries(reversed(chain))] == ["c"]
    assert score(DEFAULT_SPEC, [], chain).total == 4.0


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (Entry("r", 1.0), (0.0, 1.0)),
        (Entry("r", 1.0, target_event_id="s0"), (1.0, 0.0)),
        (Entry("r", 1.0, call_id="c0"), (1.0, 0.0)),
        (Entry("r", 1.0, response_id="chat-0"), (1.0, 0.0)),
        (Entry("r", 1.0, target_event_id="in another part"), (0.0, 0.0)),
        (Entry("r", 1.0, target_event_id="s0", call_id="c1"), (1.0, 0.0)),
    ],
)
def test_an_entry_counts_at_the_step_it_is_for(entry: Entry, expected: tuple[float, ...]) -> None:
    part = [
        ScoredStep("s0", calls=frozenset({"c0", "chat-0"})),
        ScoredStep("s1", calls=frozenset({"c1"})),
    ]
    scored = score(DEFAULT_SPEC, part, [entry])
    assert scored.steps == expected
    assert scored.total == 1.0


def test_what_was_never_rewarded_has_no_total_and_zero_rewards() -> None:
    scored = score(RewardSpec("discounted", "2", discount=0.5), [ScoredStep("s0")], [])
    assert scored.total is None
    assert scored.steps == scored.returns == (0.0,)


def test_a_specification_is_named_with_its_version() -> None:
    assert DEFAULT_SPEC.id == "default@1"
