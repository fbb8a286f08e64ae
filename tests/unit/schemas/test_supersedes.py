"""Corrections in a ledger: held against a replay that takes it entry by entry."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.ledgers import BEGIN, Recorded, a_ledger, replayed

from ropewalk_schemas.supersedes import Problem, ProblemKind, resolve

MINUTES = 5
MOMENTS = st.integers(-1, MINUTES + 1).map(lambda n: BEGIN + timedelta(minutes=n))


@st.composite
def ledgers(draw: st.DrawFn) -> list[Recorded]:
    """Small, so that circles and foreign targets are common."""
    ids = [f"r{n}" for n in range(draw(st.integers(0, 8)))]
    named = st.sampled_from([None, "nobody", *ids])
    trajectories = st.sampled_from(["t-1", "t-1", "t-2"])
    minutes = st.integers(0, MINUTES)
    return [
        Recorded(i, draw(trajectories), draw(named), BEGIN + timedelta(minutes=draw(minutes)))
        for i in ids
    ]


def counting(entries: list[Recorded], as_of: datetime | None = None) -> set[str]:
    return {entry.reward_id for entry in resolve(entries, as_of=as_of).current}


@given(ledgers(), MOMENTS)
def test_it_is_what_a_replay_entry_by_entry_gives(ledger: list[Recorded], as_of: datetime) -> None:
    replay = replayed(ledger, as_of=as_of)
    resolved = resolve(ledger, as_of=as_of)
    assert {entry.reward_id for entry in resolved.current} == replay.counting
    assert resolved.problems == replay.problems()


@given(ledgers(), ledgers(), MOMENTS)
def test_entries_that_come_later_never_change_an_earlier_moment(
    ledger: list[Recorded], more: list[Recorded], as_of: datetime
) -> None:
    later = [
        replace(entry, reward_id=f"later-{n}", recorded_at=as_of + timedelta(microseconds=1 + n))
        for n, entry in enumerate(more)
    ]
    assert resolve(later + ledger, as_of=as_of) == resolve(ledger, as_of=as_of)


@given(ledgers(), MOMENTS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(
    ledger: list[Recorded], as_of: datetime, random: Random
) -> None:
    shuffled = list(ledger)
    random.shuffle(shuffled)
    assert counting(shuffled, as_of) == counting(ledger, as_of)
    assert resolve(shuffled, as_of=as_of).problems == resolve(ledger, as_of=as_of).problems


@given(ledgers(), MOMENTS)
def test_an_entry_sent_again_is_as_old_as_when_it_was_first_recorded(
    ledger: list[Recorded], as_of: datetime
) -> None:
    again = [replace(e, recorded_at=e.recorded_at + timedelta(minutes=1)) for e in ledger]
    assert counting(again + ledger, as_of) == counting(ledger, as_of)


def test_no_moment_means_all_of_it() -> None:
    ledger = a_ledger(Random(4), n_entries=300, trajectories=["t-1", "t-2"], minutes=MINUTES)
    assert resolve(ledger) == resolve(ledger, as_of=BEGIN + timedelta(minutes=MINUTES))


def entries(*links: tuple[str, str | None], trajectory_id: str = "t") -> list[Recorded]:
    """Entries that are recorded a minute apart."""
    return [
        Recorded(reward_id, trajectory_id, target, BEGIN + timedelta(minutes=n))
        for n, (reward_id, target) in enumerate(links)
    ]


def test_a_correction_can_be_corrected() -> None:
    chain = entries(("a", None), ("b", "a"), ("c", "b"))
    as_of = [counting(chain, entry.recorded_at) for entry in chain]
    assert as_of == [{"a"}, {"b"}, {"c"}]
    assert resolve(chain).problems == []


def test_a_correction_that_comes_first_counts_at_once_and_what_it_corrects_never() -> None:
    early, late = entries(("b", "a"), ("a", None))
    before = resolve([late, early], as_of=early.recorded_at)
    assert before.current == [early]
    assert before.problems == [Problem("t", "b", "a", "unknown_target")]
    assert resolve([late, early]).current == [early]
    assert resolve([late, early]).problems == []


@pytest.mark.parametrize(
    ("ledger", "current", "problems"),
    [
        (entries(("a", "a")), set(), {"a": "itself"}),
        (entries(("a", "b"), ("b", "a")), set(), {"a": "cycle", "b": "cycle"}),
        (entries(("a", "b"), ("b", "a"), ("c", "b")), {"c"}, {"a": "cycle", "b": "cycle"}),
        (entries(("a", "gone")), {"a"}, {"a": "unknown_target"}),
        (
            entries(("a", None)) + entries(("b", "a"), trajectory_id="other"),
            {"a", "b"},
            {"b": "other_trajectory"},
        ),
        (
            entries(("a", "b")) + entries(("b", "a"), trajectory_id="other"),
            {"a", "b"},
            {"a": "other_trajectory", "b": "other_trajectory"},
        ),
    ],
    ids=["itself", "circle", "beside a circle", "unknown", "foreign", "foreign circle"],
)
def test_what_cannot_be_followed_is_reported_and_never_guessed(
    ledger: list[Recorded], current: set[str], problems: dict[str, ProblemKind]
) -> None:
    resolved = resolve(ledger)
    assert counting(ledger) == current
    assert {problem.reward_id: problem.kind for problem in resolved.problems} == problems


def test_a_long_chain_does_not_exhaust_the_stack() -> None:
    n = 20_000
    chain = entries(("r0", None), *((f"r{i}", f"r{i - 1}") for i in range(1, n)))
    assert counting(chain) == {f"r{n - 1}"}
