from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.published import T0, a_part, an_entry, raw

from ropewalk_sinks.admission import (
    Admission,
    Conflict,
    HeldPart,
    Verdict,
    admit,
    admit_entry,
    entry_hash,
)


class Part(NamedTuple):
    trajectory_id: str
    part: int
    last: bool
    content_hash: str
    previous_hash: str
    agent_id: str = "a"
    project: str = "p"


HELD = {0: HeldPart("h0", last=False), 1: HeldPart("h1", last=False)}


def part(number: int, own: str, before: str, *, last: bool = False) -> Part:
    return Part("t", number, last, own, before)


@pytest.mark.parametrize(
    ("held", "incoming", "expected"),
    [
        ({}, part(0, "h0", ""), "new"),
        (HELD, part(2, "h2", "h1"), "new"),
        (HELD, part(2, "h2", "h1", last=True), "new"),
        (HELD, part(0, "h0", ""), "duplicate"),
        (HELD, part(1, "h1", "h0"), "duplicate"),
    ],
)
def test_a_part_that_fits_its_chain_is_new_and_one_with_a_held_hash_a_duplicate(
    held: dict[int, HeldPart], incoming: Part, expected: str
) -> None:
    assert admit(held, incoming) == expected


@pytest.mark.parametrize(
    ("held", "incoming", "told"),
    [
        (HELD, part(1, "other", "h0"), "already held with content_hash h1"),
        (HELD, part(2, "h2", "elsewhere"), "held is 'h1'"),
        (HELD, part(3, "h3", "h2"), "part 2, which is not held"),
        ({}, part(1, "h1", "h0"), "part 0, which is not held"),
        ({}, part(0, "h0", "h9"), "held is ''"),
        ({0: HeldPart("h0", last=True)}, part(1, "h1", "h0"), "part 0 was the last"),
    ],
)
def test_a_part_that_does_not_fit_is_a_conflict_that_says_why(
    held: dict[int, HeldPart], incoming: Part, told: str
) -> None:
    verdict = admit(held, incoming)
    assert isinstance(verdict, Conflict)
    assert told in verdict.detail


def test_a_life_sent_again_whole_and_cut_differently_conflicts_from_the_first_other_part() -> None:
    admission = Admission({}, {})
    first = [part(0, "a", ""), part(1, "b", "a", last=True)]
    again = [part(0, "ab", "", last=True)]
    other = [part(0, "a", ""), part(1, "c", "a"), part(2, "d", "c", last=True)]
    assert [admission.part(p) for p in first] == ["new", "new"]
    assert isinstance(admission.part(again[0]), Conflict)
    verdicts = [admission.part(p) for p in other]
    assert verdicts[0] == "duplicate"
    assert all(isinstance(verdict, Conflict) for verdict in verdicts[1:])


HASHES = st.sampled_from(["a", "b", "c"])
PARTS = st.builds(
    Part,
    trajectory_id=st.sampled_from(["t", "u"]),
    part=st.integers(0, 3),
    last=st.booleans(),
    content_hash=HASHES,
    previous_hash=st.sampled_from(["", "a", "b", "c"]),
)
Held = dict[str, dict[int, HeldPart]]


def decide_in_batches(parts: list[Part], sizes: list[int]) -> tuple[list[Verdict], Held]:
    """What a sink does: admits batch after batch, and stores what is new."""
    stored: Held = {}
    verdicts: list[Verdict] = []
    rest = list(parts)
    for size in [*sizes, len(parts)]:
        batch, rest = rest[:size], rest[size:]
        admission = Admission(stored, {})
        for incoming in batch:
            verdicts.append(admission.part(incoming))
            if verdicts[-1] == "new":
                held = stored.setdefault(incoming.trajectory_id, {})
                assert incoming.part not in held, "a final part was replaced"
                held[incoming.part] = HeldPart(incoming.content_hash, incoming.last)
    return verdicts, stored


@given(st.lists(PARTS, max_size=30), st.lists(st.integers(1, 5), max_size=10))
def test_where_batches_are_cut_changes_no_verdict(parts: list[Part], sizes: list[int]) -> None:
    assert decide_in_batches(parts, sizes) == decide_in_batches(parts, [])


@given(st.lists(PARTS, max_size=30))
def test_what_is_held_is_always_one_chain_from_part_0_that_ends_at_most_once(
    parts: list[Part],
) -> None:
    verdicts, stored = decide_in_batches(parts, [])
    for held in stored.values():
        assert sorted(held) == list(range(len(held)))
        assert not any(held[number].last for number in range(len(held) - 1))
    new = [p for p, verdict in zip(parts, verdicts, strict=True) if verdict == "new"]
    for p in new:
        before = stored[p.trajectory_id].get(p.part - 1)
        assert p.previous_hash == (before.content_hash if before else "")


@given(st.lists(PARTS, max_size=30))
def test_what_was_new_is_a_duplicate_for_ever_after(parts: list[Part]) -> None:
    verdicts, stored = decide_in_batches(parts, [])
    for p, verdict in zip(parts, verdicts, strict=True):
        if verdict == "new":
            assert admit(stored[p.trajectory_id], p) == "duplicate"


def test_a_decoded_trajectory_is_what_admission_reads() -> None:
    admission = Admission({}, {})
    assert admission.part(a_part("t", 0, last=False)) == "new"
    assert admission.part(a_part("t", 1)) == "new"
    assert admission.part(a_part("t", 1)) == "duplicate"


def test_the_same_reward_sent_again_later_is_a_duplicate() -> None:
    admission = Admission({}, {})
    assert admission.entry(an_entry(metadata=raw({"a": 1, "b": 2}))) == "new"
    later = an_entry(
        recorded_at=T0.replace(year=2027), source_offset=999, metadata=raw({"b": 2, "a": 1})
    )
    assert admission.entry(later) == "duplicate"


@pytest.mark.parametrize(
    "change",
    [
        {"value": 2.0},
        {"trajectory_id": "other"},
        {"target_event_id": "event-1"},
        {"supersedes": "r-0"},
        {"reason": "why"},
        {"occurred_at": T0},
        {"metadata": raw({"a": 1})},
        {"source": "human"},
        {"outcome_version": 2},
    ],
)
def test_a_reward_with_any_other_content_is_a_conflict(change: dict[str, Any]) -> None:
    held, incoming = entry_hash(an_entry()), entry_hash(an_entry(**change))
    verdict = admit_entry(held, incoming, "r-1")
    assert isinstance(verdict, Conflict)
    assert "r-1" in verdict.detail
