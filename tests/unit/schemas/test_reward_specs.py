"""Specifications: what they count, that scores are linear in their weights, and their files."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_schemas.errors import SpecError
from ropewalk_schemas.reward_specs import (
    DEFAULT_SPEC,
    ComponentRule,
    RewardSpec,
    load_spec,
    require_same,
)
from ropewalk_schemas.scored_trajectory import score_trajectory
from ropewalk_schemas.scoring import ScoredStep, score

# Whole numbers add up exactly, so laws can be held with ==.
WHOLE = st.integers(-50, 50).map(float)
NAMES = st.sampled_from("abc")
SOURCES = st.sampled_from(["environment", "outcome", "judge", "human"])


@dataclass(frozen=True)
class Entry:
    reward_id: str
    value: float
    name: str = "a"
    source: str = "outcome"
    target_event_id: str | None = None
    call_id: str | None = None
    response_id: str | None = None
    supersedes: str | None = None


@st.composite
def parts(draw: st.DrawFn) -> list[ScoredStep]:
    many = draw(st.lists(st.dictionaries(NAMES, WHOLE), max_size=4))
    return [ScoredStep(f"s{i}", components) for i, components in enumerate(many)]


@st.composite
def ledgers(draw: st.DrawFn) -> list[Entry]:
    targets = st.sampled_from([None, "s0", "s1", "elsewhere"])
    many = draw(st.lists(st.tuples(WHOLE, NAMES, SOURCES, targets), max_size=5))
    return [Entry(f"r{i}", *given_entry) for i, given_entry in enumerate(many)]


weights = st.fixed_dictionaries({"a": WHOLE, "b": WHOLE, "other": WHOLE})


def weighted(given_weights: dict[str, float], **more: Any) -> RewardSpec:
    rules = {name: ComponentRule(weight=given_weights[name]) for name in "ab"}
    return RewardSpec("w", "1", components=rules, default_weight=given_weights["other"], **more)


@given(parts(), ledgers(), weights, weights, WHOLE)
def test_scores_are_linear_in_the_weights(
    steps: list[ScoredStep],
    ledger: list[Entry],
    one: dict[str, float],
    two: dict[str, float],
    factor: float,
) -> None:
    more: dict[str, Any] = {"discount": 0.5, "judge_weight": 2.0, "terminal_weight": 3.0}
    both = {name: one[name] + factor * two[name] for name in one}
    first, second, combined = (
        score(weighted(each, **more), steps, ledger) for each in (one, two, both)
    )
    if first.total is not None and second.total is not None:
        assert combined.total == first.total + factor * second.total
    else:
        assert combined.total is first.total is second.total is None
    for name in ("steps", "returns"):
        pairs = zip(getattr(first, name), getattr(second, name), strict=True)
        assert getattr(combined, name) == tuple(a + factor * b for a, b in pairs)


@given(parts(), ledgers(), weights, st.sampled_from([0.0, 0.25, 1.0]))
def test_returns_satisfy_the_recursion_for_every_specification(
    steps: list[ScoredStep], ledger: list[Entry], chosen: dict[str, float], discount: float
) -> None:
    scored = score(weighted(chosen, discount=discount), steps, ledger)
    following = [*scored.returns[1:], 0.0]
    for reward, value, after in zip(scored.steps, scored.returns, following, strict=False):
        assert value == reward + discount * after


@given(parts(), ledgers())
def test_a_part_alone_scores_as_the_trajectory_of_it(
    steps: list[ScoredStep], ledger: list[Entry]
) -> None:
    [only] = score_trajectory(DEFAULT_SPEC, {0: steps}, ledger)
    assert only.score == score(DEFAULT_SPEC, steps, ledger)
    assert only.n_entries == len(ledger)


def test_every_setting_counts_as_it_says() -> None:
    spec = RewardSpec(
        "all",
        "1",
        discount=0.5,
        components={"pnl": ComponentRule(weight=2.0, clip=(-1.0, 1.0))},
        default_weight=10.0,
        step_weight=3.0,
        terminal_weight=0.5,
        sources=frozenset({"judge", "outcome"}),
        judge_weight=0.25,
        clip=(-100.0, 30.0),
    )
    steps = [ScoredStep("s0", {"pnl": 7.0}), ScoredStep("s1", {"fee": -1.0})]
    ledger = [
        Entry("1", 5.0, "pnl", "outcome", target_event_id="s0"),  # 2 * clip 1 * 3
        Entry("2", 8.0, "quality", "judge"),  # 10 * 8 * 0.5 * 0.25
        Entry("3", 99.0, "quality", "human"),  # does not count
        Entry("4", 1.0, "quality", "outcome", target_event_id="nowhere"),  # 10 * 1 * 0.5
    ]
    scored = score(spec, steps, ledger)
    assert scored.steps == (6.0 + 6.0, -30.0 + 10.0)
    assert scored.returns == (12.0 + 0.5 * -20.0, -20.0)
    assert scored.total == -3.0
    assert score(replace(spec, clip=(-1.0, 1.0)), steps, ledger).total == -1.0


def test_what_only_other_sources_rewarded_has_no_total() -> None:
    humans = RewardSpec("humans", "1", sources=frozenset({"human"}))
    assert score(humans, [ScoredStep("s0")], [Entry("1", 1.0)]).total is None


def test_an_entry_counts_in_the_part_that_holds_its_step() -> None:
    parts_of_one = {0: [ScoredStep("s0", calls=frozenset({"c0"}))], 1: [ScoredStep("s1")]}
    ledger = [
        Entry("1", 1.0, target_event_id="s0"),
        Entry("2", 2.0, call_id="c0"),
        Entry("3", 4.0),
        Entry("4", 8.0, target_event_id="nowhere"),
        Entry("5", 16.0, target_event_id="s1", supersedes="1"),
    ]
    first, second = score_trajectory(DEFAULT_SPEC, parts_of_one, ledger)
    assert (first.score.steps, first.score.total, first.n_entries) == ((2.0,), 2.0, 1)
    assert (second.score.steps, second.score.total, second.n_entries) == ((20.0,), 28.0, 3)


WRITTEN = """
name = "settled"
version = "2"
discount = 0.99
default_weight = 0
sources = ["outcome", "judge"]
judge_weight = 0.5
clip = [-10, 10]

[components.pnl]
weight = 0.1
clip = [-5, 5]
"""
MEANT = RewardSpec(
    "settled",
    "2",
    discount=0.99,
    default_weight=0.0,
    sources=frozenset({"judge", "outcome"}),
    judge_weight=0.5,
    clip=(-10.0, 10.0),
    components={"pnl": ComponentRule(weight=0.1, clip=(-5.0, 5.0))},
)


def written(folder: Path, text: str, name: str = "spec.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_and_json_files_say_the_same(tmp_path: Path) -> None:
    from_toml = load_spec(written(tmp_path, WRITTEN))
    from_json = load_spec(written(tmp_path, json.dumps(MEANT.content), "spec.json"))
    assert from_toml == from_json == MEANT
    assert from_toml.digest == from_json.digest == MEANT.digest


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('version = "1"', "field name: Field required"),
        ('name = "a"\nversion = 1', "field version: Input should be a valid string"),
        ('name = "a@b"\nversion = "1"', "field name: String should match pattern"),
        ('name = "a"\nversion = "1"\ndiscount = 1.5', "field discount: Input should be less than"),
        ('name = "a"\nversion = "1"\ndefault_weight = inf', "field default_weight: Input should"),
        ('name = "a"\nversion = "1"\nweigth = 1', "field weigth: Unexpected keyword argument"),
        (
            'name = "a"\nversion = "1"\nclip = [2, 1]',
            "field clip: Value error, must be [low, high]",
        ),
        ('name = "a"\nversion = "1"\nsources = ["rumour"]', "field sources.0: Input should be"),
        ('name = "a"\nversion = "1"\n[components.x]\nweight = "2"', "field components.x.weight:"),
        ("name = ", "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_other_suffixes_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"a\.yaml: a specification is a \.toml or a \.json file"):
        load_spec(written(tmp_path, "", "a.yaml"))
    with pytest.raises(SpecError, match=r"cannot read .*none\.toml: No such file"):
        load_spec(tmp_path / "none.toml")


def test_one_id_never_means_two_contents() -> None:
    require_same(MEANT, MEANT.digest, MEANT.content)
    changed = replace(MEANT, discount=0.5)
    with pytest.raises(SpecError, match=r"settled@2 .*differs in: discount.*new version"):
        require_same(changed, MEANT.digest, MEANT.content)


def test_defaults_written_out_mean_the_same() -> None:
    spelled = RewardSpec("default", "1", discount=1.0, default_weight=1.0, components={})
    assert spelled.digest == DEFAULT_SPEC.digest
