"""Simulated processes and replayed logs on a real Kafka, compared with what its log holds."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.shared_data import logs_of, shared_data, truth_of

from ropewalk_deploy.kafka import LogScanner, create_topics
from ropewalk_deploy.simulation.driver import simulate
from ropewalk_deploy.simulation.ledger import read_ledger
from ropewalk_deploy.simulation.options import SimulationError, SimulationOptions
from ropewalk_deploy.stack.model import Stack
from ropewalk_producers import RecorderSettings
from ropewalk_producers.importers.replay import replay
from ropewalk_schemas.codec import decode_event
from ropewalk_schemas.topics import AGENT_EVENTS

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(stack: Stack, unique: str) -> RecorderSettings:
    spec = replace(AGENT_EVENTS, name=unique)
    create_topics(stack.bootstrap_servers, [spec])
    return RecorderSettings(
        project="tests",
        service="tests",
        bootstrap_servers=stack.bootstrap_servers,
        topic=spec.name,
    )


def log_of(settings: RecorderSettings) -> Iterator[tuple[int, int, bytes]]:
    """Partition, offset and value of every record."""
    with LogScanner(settings.bootstrap_servers) as scanner:
        for partition in scanner.partitions(settings.topic):
            for record in scanner.records(settings.topic, partition):
                yield record.partition, record.offset, record.value or b""


def test_what_dying_processes_had_acknowledged_is_in_the_log_as_the_ledger_says(
    settings: RecorderSettings, tmp_path: Path
) -> None:
    options = SimulationOptions(
        ledger=tmp_path / "ledger",
        run="run",
        processes=3,
        events=6_000,
        deaths=2,
        duplicates=0.05,
        handovers=0.1,
    )
    shares: list[float] = []
    report = simulate(options, settings, shares.append)
    ledger = read_ledger(options.ledger)
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for partition, offset, value in log_of(settings):
        event = ledger.events[decode_event(value).event.event_id]
        assert event.intent.sha256 == sha256(value).hexdigest()
        places[event.intent.event_id].append((partition, offset))
    for event_id, event in ledger.acknowledged.items():
        assert set(event.places) <= set(places[event_id])
    assert report.n_deaths == ledger.n_deaths == 2
    assert report.n_acknowledged == len(ledger.acknowledged) >= options.events
    assert report.n_duplicates > 0
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_process_that_comes_back_ends_what_it_left_open(
    settings: RecorderSettings, tmp_path: Path
) -> None:
    options = SimulationOptions(
        ledger=tmp_path / "ledger", run="run", processes=1, events=2_000, deaths=1, vanish=0.0
    )
    simulate(options, settings)
    ledger = read_ledger(options.ledger)
    writers = {event.intent.writer for event in ledger.events.values()}
    assert {"run/p0.0", "run/p0.1"} <= writers
    ended = {t.trajectory_id for t in ledger.trajectories().values() if t.status}
    unsure = {event.intent.trajectory_id for event in ledger.unsure.values()}
    assert ledger.opened.keys() - ended <= unsure


def test_a_folder_with_another_run_s_ledger_is_refused(
    settings: RecorderSettings, tmp_path: Path
) -> None:
    (tmp_path / "p0.jsonl").touch()
    with pytest.raises(SimulationError, match="holds the ledger of another run"):
        simulate(SimulationOptions(ledger=tmp_path, run="run"), settings)


def test_replaying_real_logs_twice_puts_the_same_events_there_twice(
    settings: RecorderSettings,
) -> None:
    folder = shared_data("tau2_dev")
    for _ in range(2):
        report = replay(logs_of(folder), format="tau2", recorder_settings=settings)
        assert report.delivery.complete
        assert report.delivery.delivered == report.n_events
    values = Counter(value for _, _, value in log_of(settings))
    assert len(values) == report.n_events
    assert set(values.values()) == {2}
    n_ended = sum(decode_event(value).type == "trajectory_ended" for value in values)
    assert n_ended == truth_of(folder)["totals"]["trajectories"]
