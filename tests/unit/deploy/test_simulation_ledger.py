"""The truth ledger says what was sent, whatever happens to the process that wrote it."""

from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.simulated import live, lived, options

from ropewalk_deploy.simulation.ledger import Ledger, LedgerWriter, read_ledger
from ropewalk_deploy.simulation.ledger_lines import Ack, Intent, Opened
from ropewalk_deploy.simulation.life import LifePlan
from ropewalk_deploy.simulation.options import SimulationError
from ropewalk_producers.testing import MemoryPublisher
from ropewalk_schemas.events import Decision, Reward, TrajectoryEnded


def test_the_ledger_is_what_was_recorded(tmp_path: Path) -> None:
    result, ledger = lived(options(tmp_path, late_rewards=0.5, handovers=0.3, vanish=0.1))
    recorded = {
        event.event_id: (event.type, event.trajectory_id, sha256(record.value).hexdigest())
        for event, record in zip(result.events, result.records, strict=True)
    }
    assert {
        key: (event.intent.type, event.intent.trajectory_id, event.intent.sha256)
        for key, event in ledger.acknowledged.items()
    } == recorded
    assert ledger.unsure == {}
    for event in result.events:
        intent = ledger.events[event.event_id].intent
        if not isinstance(event, Reward):
            assert (intent.writer, intent.seq) == (event.writer, event.seq)
        assert intent.n_events == getattr(event, "n_events", None)


def test_the_ledger_knows_what_each_trajectory_is_worth(tmp_path: Path) -> None:
    result, ledger = lived(options(tmp_path, late_rewards=0.5))
    worth: Counter[str] = Counter()
    for event in result.events:
        if isinstance(event, Decision):
            worth[event.trajectory_id] += sum(event.reward_components.values())  # type: ignore[assignment] # a float
        elif isinstance(event, Reward):
            worth[event.trajectory_id] += event.value  # type: ignore[assignment] # a float
    said = ledger.trajectories()
    assert {key: said[key].reward for key in said} == pytest.approx(dict(worth))
    given = sum(event.value for event in result.events if isinstance(event, Reward))
    assert sum(t.reward - t.immediate for t in said.values()) == pytest.approx(given)
    ends = {e.trajectory_id: e.status for e in result.events if isinstance(e, TrajectoryEnded)}
    assert {key: trajectory.status for key, trajectory in said.items()} == ends
    assert said.keys() == ledger.opened.keys()


def test_a_duplicate_is_one_event_with_two_places(tmp_path: Path) -> None:
    result, ledger = lived(options(tmp_path, duplicates=0.2))
    copies = Counter(record.value for record in result.records)
    assert {len(event.places) for event in ledger.events.values()} == {1, 2}
    assert ledger.n_duplicates == sum(n - 1 for n in copies.values()) > 60
    assert len(ledger.events) == len(copies)


def test_what_the_broker_never_answered_is_unsure(tmp_path: Path) -> None:
    silent = MemoryPublisher(reachable=False)
    dead = live(LifePlan(options(tmp_path), 0, dies_at=0.5), broker=silent)
    ledger = read_ledger(tmp_path)
    assert dead.died
    assert ledger.n_deaths == 1
    assert ledger.acknowledged == {}
    assert len(ledger.unsure) >= 300


def intent(event_id: str) -> Intent:
    return Intent(event_id=event_id, type="decision", trajectory_id="t", sha256="0")


def test_acknowledgements_lost_in_a_crash_leave_their_events_unsure(tmp_path: Path) -> None:
    path = tmp_path / "p0.jsonl"
    writer = LedgerWriter(path)
    for n in range(100):
        writer.write(intent(f"e{n}"))
        writer.acknowledge(Ack(f"e{n}", 0, n))
    ledger = read_ledger(path)  # as after a crash: the writer was never closed
    assert len(ledger.acknowledged) == 64
    assert len(ledger.unsure) == 36


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_line_torn_by_a_crash_is_passed_over_and_the_next_life_goes_on(
    tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "p0.jsonl"
    with LedgerWriter(path) as writer:
        writer.write(intent("whole"))
        writer.write(intent("torn"))
    path.write_bytes(path.read_bytes()[:-cut])
    with LedgerWriter(path) as writer:
        writer.write(intent("after"))
        writer.acknowledge(Ack("after", 1, 2))
    ledger = read_ledger(tmp_path)
    torn = [] if cut > 1 else ["torn"]
    assert list(ledger.events) == ["whole", *torn, "after"]
    assert ledger.events["after"].places == [(1, 2)]


def test_processes_are_read_together(tmp_path: Path) -> None:
    for process in range(3):
        with LedgerWriter(tmp_path / f"p{process}.jsonl") as writer:
            writer.write(Opened(f"t{process}", "2026-01-01T00:00:00Z", 0, 0))
            writer.write(intent(f"e{process}"))
    ledger = read_ledger(tmp_path)
    assert ledger.events.keys() == {"e0", "e1", "e2"}
    assert ledger.opened.keys() == {"t0", "t1", "t2"}
    assert read_ledger(tmp_path / "p1.jsonl").events.keys() == {"e1"}


def test_a_folder_without_a_ledger_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.jsonl"):
        with pytest.raises(SimulationError, match="holds no truth ledger"):
            read_ledger(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p0.jsonl").write_text('{"event_id": "e1"}\n')
    with pytest.raises(SimulationError, match="is no truth ledger"):
        read_ledger(tmp_path)


def test_an_empty_ledger_says_nothing() -> None:
    assert Ledger().trajectories() == {}
