"""A worker that spills, and is killed: what was spilled is in memory again, and nothing differs."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.events import a_call, a_decision, a_reward, a_start, an_end, assistant, user
from tests.support.pipeline import LIMITS, Pipeline, wait_for

from ropewalk_deploy.audit.readers import newest_progress, read_logs
from ropewalk_deploy.audit.replay import check_replay, replay
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.chunks import chunk_key
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.published import decode_published
from ropewalk_schemas.topics import AGENT_EVENTS, CHUNKS, TRAJECTORIES
from ropewalk_schemas.trajectory import Trajectory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SPILLS = json.dumps(LIMITS | {"spill_ms": 200, "spill_records": 1})


@contextmanager
def a_worker(pipeline: Pipeline, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that spills after a tick; its fixed name gives it the partitions at once."""
    changes = {"ROPEWALK_LIMITS": SPILLS, "ROPEWALK_INSTANCE_ID": "spilling"}
    with pipeline.log.open("ab") as log:
        process = subprocess.Popen(
            pipeline.command("worker", "--name", name),
            env=pipeline.environ(changes),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def account_that_names(scanner: LogScanner, t: str) -> Progress | None:
    partition = partition_of(t.encode(), AGENT_EVENTS.partitions)
    progress = newest_progress(scanner).get(partition)
    return progress if progress is not None and t in progress.chunks else None


def test_a_worker_killed_with_a_spilled_trajectory_gives_what_it_would_have_given(
    pipeline: Pipeline, unique: str
) -> None:
    t = f"{unique}-long"
    partition = partition_of(t.encode(), AGENT_EVENTS.partitions)
    first_call = a_call(1, t=t, call_id="c1", messages=[user("Hi")], output=[assistant("Hello")])
    delta = a_call(
        2, t=t, call_id="c2", base_call="c1", base_messages=2, messages=[user("Go on")],
        output=[assistant("Done")],
    )  # fmt: skip
    with LogScanner(pipeline.places.bootstrap_servers) as scanner:
        with a_worker(pipeline, "killed") as killed:
            first = scanner.bounds(AGENT_EVENTS.name, partition).end
            pipeline.send(a_start(t=t), first_call, a_reward("r1", t))
            wait_for(lambda: account_that_names(scanner, t), told="the trajectory is spilled")
            killed.send_signal(signal.SIGKILL)
            killed.wait(30)
        account = account_that_names(scanner, t)
        assert account is not None
        assert account.replay_offset > first + 2, "C passed all that was spilled"
        assert account.headers == [] or t not in {h.trajectory_id for h in account.headers}
        with a_worker(pipeline, "again"):
            pipeline.send(delta, a_decision(3, t=t), an_end(4, t=t))
            pipeline.wait_until_settled()
            keys = {chunk_key(t, span) for span in account.chunks[t]}
            wait_for(lambda: not keys & chunks_left(scanner, partition), told="it is deleted")
        (part,) = parts_of(scanner, partition, t)
        assert (part.complete, part.n_events, len(part.rewards)) == (True, 5, 1)
        assert [call.input for call in part.llm_calls] == [[0], [0, 1, 2]]
        reading = read_logs(scanner, lambda _: None)
        checks = check_replay(replay(scanner, reading), reading.accounts)
        assert [check for check in checks if not check.ok] == []


def chunks_left(scanner: LogScanner, partition: int) -> set[bytes]:
    left: set[bytes] = set()
    for record in scanner.records(CHUNKS.name, partition):
        (left.discard if record.value is None else left.add)(record.key or b"")
    return left


def parts_of(scanner: LogScanner, partition: int, t: str) -> list[Trajectory]:
    rows = (decode_published(r.value or b"") for r in scanner.records(TRAJECTORIES.name, partition))
    return [row for row in rows if row.trajectory_id == t and hasattr(row, "content_hash")]  # type: ignore[misc]
