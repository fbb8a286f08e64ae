"""Events in bulk are events like any other; gaps are found where they are."""

from collections import Counter
from datetime import UTC, datetime

from ropewalk_deploy.chaos.bulk import Bulk
from ropewalk_deploy.chaos.gaps import find_gaps
from ropewalk_deploy.chaos.stored import StoredSpan
from ropewalk_deploy.simulation.ledger import LedgerEvent
from ropewalk_deploy.simulation.ledger_lines import Intent
from ropewalk_schemas.codec import decode_event

BULK = Bulk("b-1", datetime(2026, 3, 1, tzinfo=UTC), trajectories=7, steps=2, abreast=3)


def test_every_event_is_valid_and_counted_and_its_key_is_its_trajectory() -> None:
    records = list(BULK.records())
    assert len(records) == BULK.n_events == 28
    events = [decode_event(value).event for _, value in records]
    assert [event.trajectory_id.encode() for event in events] == [key for key, _ in records]
    assert len({event.event_id for event in events}) == 28
    seqs: dict[str, list[int]] = {}
    for event in events:
        seqs.setdefault(event.trajectory_id, []).append(event.seq)
    assert all(found == [0, 1, 2, 3] for found in seqs.values())
    assert Counter(event.type for event in events)["decision"] == 14


def test_begun_and_ended_are_everything() -> None:
    everything = range(BULK.trajectories)
    assert set(BULK.begun(everything)) | set(BULK.ended(everything)) == set(BULK.records())


def unsent(seq: int, *, kind: str = "decision") -> dict[str, LedgerEvent]:
    return {f"e{seq}": LedgerEvent(Intent(f"e{seq}", kind, "t", "", writer="w", seq=seq))}


def a_span(missing: list[int], *, complete: bool = False) -> StoredSpan:
    return StoredSpan("t", 0, complete, "w", 0, 9, missing)


def test_what_was_never_sent_is_listed_or_out_of_range_or_wrong() -> None:
    listed = find_gaps(unsent(5), [a_span([5])])
    assert (listed.listed, listed.unlisted, listed.wrong) == (1, 0, [])
    beyond = find_gaps(unsent(10), [a_span([5])])
    assert (beyond.listed, beyond.unlisted, beyond.wrong) == (0, 1, [])
    claimed = find_gaps(unsent(5), [a_span([])])
    assert not claimed.check().ok
    assert find_gaps(unsent(5), [a_span([5], complete=True)]).wrong == ["e5 of t"]
    assert find_gaps(unsent(0, kind="reward"), []).never_sent == 0
