"""A worker as a process: it ends when told to, and a bug of the engine stops no partition."""

import re
import signal
import subprocess
import sys
import time
from functools import partial

import psycopg
import pytest
from tests.support.events import a_decision, a_start, an_end
from tests.support.pipeline import Pipeline, wait_for

from ropewalk_deploy.audit.quarantine import Filter, refused_records
from ropewalk_deploy.audit.readers import newest_progress
from ropewalk_deploy.chaos import faulty_worker
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.progress import Crash, Skip
from ropewalk_schemas.topics import AGENT_EVENTS, PROGRESS
from ropewalk_stream_processors.app import STOP_WITHIN_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

N = AGENT_EVENTS.partitions


@pytest.fixture(scope="module")
def written(pipeline: Pipeline) -> Pipeline:
    """The pipeline with its settings in the log."""
    with pipeline.running():
        pipeline.wait_until_owned()
    return pipeline


def progress_values(pipeline: Pipeline, partition: int, key: str) -> list[bytes]:
    with LogScanner(pipeline.places.bootstrap_servers) as scanner:
        records = scanner.records(PROGRESS.name, partition)
        return [r.value or b"" for r in records if (r.key or b"").startswith(key.encode())]


def run_poisoned(pipeline: Pipeline) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", faulty_worker.__name__, "worker", "--name", "poisoned"],
        env=pipeline.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_record_the_engine_fails_on_three_times_is_quarantined_and_the_partition_goes_on(
    written: Pipeline, unique: str
) -> None:
    t, after = f"{unique}-poison", f"{unique}-after"
    partition = partition_of(t.encode(), N)
    after = next(
        f"{after}{i}" for i in range(99) if partition_of(f"{after}{i}".encode(), N) == partition
    )
    marked = a_decision(1, t=t, reasoning=faulty_worker.MARK)
    written.send(a_start(t=t), marked, an_end(2, t=t), a_start(t=after), an_end(1, t=after))
    for times in (1, 2, 3):
        crashing = run_poisoned(written)
        said, complaint = crashing.communicate(timeout=60)
        assert (crashing.returncode, said) == (70, ""), complaint
        assert "Traceback" not in complaint
        (line,) = [line for line in complaint.splitlines() if "worker stops" in line]
        assert "ZeroDivisionError: a bug in the engine" in line
        assert f"time {times} of 3" in line
        crash = Crash.model_validate_json(
            progress_values(written, partition, f"{partition}/crash")[-1]
        )
        assert crash.times == times
    survivor = run_poisoned(written)
    try:
        written.wait_until_settled()
    finally:
        survivor.send_signal(signal.SIGTERM)
        _, complaint = survivor.communicate(timeout=30)
    assert survivor.returncode == 0, complaint
    assert "poison record goes to quarantine" in complaint
    skip = Skip.model_validate_json(progress_values(written, partition, f"{partition}/skip/")[-1])
    with LogScanner(written.places.bootstrap_servers) as scanner:
        chosen = Filter(reason="poison", partition=partition)
        refused = [r for r in refused_records(scanner, chosen) if r.value == encode_event(marked)]
        assert [r.offset for r in refused] == [skip.offset] == [crash.offset]
        counts = newest_progress(scanner)[partition].counts
    assert counts.quarantined["poison"] >= 1
    with written.running():  # a worker without the bug honours the skip, in every replay
        written.wait_until_owned()
        written.send(a_start(t=f"{unique}-later"), an_end(1, t=f"{unique}-later"))
        written.wait_until_settled()
        written.verify()
    with psycopg.connect(written.places.postgres_dsn) as connection:
        query = b"SELECT trajectory_id, complete, n_missing FROM trajectories"
        stored = {row[0]: row[1:] for row in connection.execute(query)}
    assert (stored[t], stored[after]) == ((False, 1), (True, 0))


def has_said(pipeline: Pipeline, pattern: str) -> bool:
    return re.search(pattern, pipeline.log_tail(200)) is not None


def test_a_worker_told_to_stop_in_a_rebalance_stops(written: Pipeline) -> None:
    """Faust's own shutdown waits for ever when the signal comes at the wrong moment."""
    started = [written.start("worker", "--name", "staying")]
    joined: list[subprocess.Popen[bytes]] = []
    try:
        for delay_s in (0.8, 1.6):
            leaving = written.start("worker", "--name", f"leaving-{delay_s}")
            started.append(leaving)
            wait_for(partial(has_said, written, rf"leaving-{delay_s} +partition restored"), told="")
            joined.append(written.start("worker", "--name", "joining"))
            time.sleep(delay_s)  # the rebalance it causes is under way
            begun = time.monotonic()
            leaving.send_signal(signal.SIGTERM)
            assert leaving.wait(20) == 0, written.log_tail()
            assert time.monotonic() - begun < STOP_WITHIN_S + 3
    finally:
        for process in (*started, *joined):
            process.send_signal(signal.SIGTERM)
        statuses = {process.wait(30) for process in started}
        statuses_of_joined = {process.wait(30) for process in joined}
    assert statuses == {0}
    # One that is still importing has nothing to end in order: the signal itself ends it.
    assert statuses_of_joined <= {0, -signal.SIGTERM}
