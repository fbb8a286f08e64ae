"""Who counts as erased, decided by the code that both sinks ask; and what tombstones add up to."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.parquet_log import a_record, a_refused, log_of, refused_record
from tests.support.published import a_part, an_entry

from ropewalk_sinks.admission import Admission
from ropewalk_sinks.config import Topics
from ropewalk_sinks.decided import Decided, decide
from ropewalk_sinks.erasure import (
    Erasures,
    Subject,
    erasures_of,
    named_by,
    named_in,
    united,
)
from ropewalk_sinks.incoming import read_record
from ropewalk_sinks.tombstones import ErasedTrajectory, Removal

AGENT = Subject("agent", "agent-a", "demo")


def decided(rows: list[Any], erasures: Erasures) -> Decided:
    batch = [read_record(record, Topics()) for record in rows]
    return decide(batch, Admission({}, {}, erasures), sink="postgres")


def of(subject: Subject) -> Erasures:
    what = "agent" if subject.kind == "agent" else "trajectory"
    return erasures_of([(what, subject.id, subject.project, subject.erasure_id)])  # type: ignore[list-item]  # mypy widens


def test_nothing_of_an_erased_trajectory_is_stored_and_all_of_it_is_counted() -> None:
    gone, kept = a_refused(1, trajectory_id="t-1"), a_refused(2, trajectory_id="t-2", key=b"t-2")
    log = [
        *log_of([a_part("t-1"), an_entry("r-1", "t-1"), a_part("t-2"), an_entry("r-2", "t-2")]),
        refused_record(0, gone),
        refused_record(1, kept),
    ]
    found = decided(log, of(Subject("trajectory", "t-1")))
    assert [part.trajectory_id for part in found.parts] == ["t-2"]
    assert [entry.reward_id for entry in found.entries] == ["r-2"]
    assert [refused.what.offset for refused in found.quarantined] == [2]
    assert (found.erased, found.duplicates, found.conflicts, found.refused) == (3, 0, 0, [])


def test_a_part_of_an_erased_agent_tells_whose_the_rewards_of_its_trajectory_are() -> None:
    erasures = of(AGENT)
    log = log_of([a_part("t-1"), an_entry("r-1", "t-1"), a_part("t-2", agent_id="agent-b")])
    found = decided(log, erasures)
    assert [part.trajectory_id for part in found.parts] == ["t-2"]
    assert (found.entries, found.erased) == ([], 2)
    assert erasures.take_found() == {"t-1": AGENT.erasure_id}
    assert erasures.take_found() == {}


def test_an_erased_part_is_no_conflict_whatever_is_held_and_its_successor_is_none() -> None:
    first, second = a_part("t-1", last=False), a_part("t-1", 1)
    other = a_part("t-1", content_hash="other")
    found = decided(log_of([first, other, second]), of(Subject("trajectory", "t-1")))
    assert (found.erased, found.conflicts, found.refused) == (3, 0, [])


@pytest.mark.parametrize(("project", "erased"), [("demo", True), ("other", False), (None, True)])
def test_an_agent_is_erased_in_one_project_or_in_all(project: str | None, erased: bool) -> None:
    erasures = of(Subject("agent", "agent-a", project))
    assert erasures.has_part("t-1", "agent-a", "demo") is erased
    assert not erasures.has_part("t-2", "agent-b", "demo")


@pytest.mark.parametrize(
    ("key", "value", "account", "erased"),
    [
        (b"t-1", b"\xff", None, True),
        (b"x", b'{"trajectory_id": "t-1"}', None, True),
        (b"x", b"{}", "t-1", True),
        (None, b'{"trajectory_id": "t-1", "seq": NaN}', None, True),
        (None, b'{"agent_id": "agent-a", "project": "demo"}', None, True),
        (None, b'{"agent_id": "agent-a", "project": "other"}', None, False),
        (None, b'{"agent_id": ["agent-a"]}', None, False),
        (None, b'{"agent_id": "agent-a"', None, False),
        (None, b"[" * 5_000, None, False),
        (None, None, None, False),
    ],
)
def test_a_refused_record_names_somebody_by_key_value_or_account(
    key: bytes | None, value: bytes | None, account: str | None, erased: bool
) -> None:
    erasures = united(of(AGENT), of(Subject("trajectory", "t-1")))
    named = named_by(a_refused(key=key, value=value, trajectory_id=account))
    assert erasures.has_refused(named) is erased


def test_a_refused_record_does_not_make_a_trajectory_its_agents() -> None:
    value = json.dumps({"agent_id": "agent-a", "project": "demo", "trajectory_id": "t-9"})
    erasures = of(AGENT)
    log = [refused_record(0, a_refused(value=value.encode())), *log_of([an_entry("r-9", "t-9")])]
    found = decided(log, erasures)
    assert (found.erased, len(found.entries)) == (1, 1)


def test_a_judges_refusal_is_of_whom_its_judgment_is() -> None:
    refused = a_refused(topic="judgments", key=b"j-1", value=b'{"agent_id": "agent-a"}')
    assert not of(AGENT).has_refused(named_by(refused))
    assert Erasures(judgments={"j-1"}).has_refused(named_by(refused))


@given(st.binary(max_size=40), st.binary(max_size=80), st.text(max_size=10))
def test_whatever_a_refused_record_holds_its_names_can_be_stored(
    key: bytes, value: bytes, account: str
) -> None:
    names = named_in("agent-events", key, value, account).trajectories
    assert all("\0" not in name and name.encode() for name in names if name)


def test_names_that_no_store_takes_name_nobody() -> None:
    value = b'{"trajectory_id": "a\\u0000b", "agent_id": "\\ud800"}'
    assert named_in("agent-events", b"\x00", value, None) == (frozenset(), None, None, None)


def test_a_subject_has_one_erasure_and_no_two_share_it() -> None:
    subjects = [
        Subject("agent", "a"),
        Subject("agent", "a", "p"),
        Subject("agent", "a", ""),
        Subject("trajectory", "a"),
    ]
    assert len({subject.erasure_id for subject in subjects}) == len(subjects)
    assert Subject("agent", "a").erasure_id == subjects[0].erasure_id
    assert str(subjects[1]) == "agent a of project p"


def test_what_two_runs_removed_adds_up_and_what_is_left_was_not_removed() -> None:
    def one(*parts: int, events: int = 0, entries: int = 0) -> Removal:
        digests = {part: f"h{part}" for part in parts}
        erased = ErasedTrajectory(parts=digests, n_events=events, n_entries=entries)
        return Removal(trajectories={"t": erased}, n_refused=entries)

    both = one(0, events=3, entries=1).and_then(one(1, events=4))
    assert both == one(0, 1, events=7, entries=1)
    assert both.less(one(1, events=4)) == one(0, events=3, entries=1)
    assert (both.n_parts, both.n_events, both.n_entries, both.is_empty) == (2, 7, 1, False)
    assert Removal(trajectories={"t": ErasedTrajectory()}).is_empty


def test_records_of_other_topics_name_nobody() -> None:
    erasures = united(of(AGENT), of(Subject("trajectory", "0")))
    assert decided([a_record(0, b"junk")], erasures).erased == 0
