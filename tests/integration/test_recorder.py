import json
import os
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest
from tests.support.kafka_site import KafkaSite
from tests.support.recorder_contract import RecorderContract, play, until

from ropewalk_deploy.stack.model import Stack
from ropewalk_producers import Delivery, Recorder

pytestmark = pytest.mark.integration


@pytest.fixture
def site(stack: Stack, unique: str) -> Any:
    site = KafkaSite(stack.bootstrap_servers, f"{unique}-agent-events")
    yield site
    for recorder in site.made:
        recorder.close(0)


class TestKafkaRecorder(RecorderContract):
    """The contract, on Kafka."""


def test_an_event_that_is_not_acknowledged_in_time_counts_as_failed(site: KafkaSite) -> None:
    heard: list[Delivery] = []
    settings = site.settings(reachable=False, delivery_timeout_ms=300)
    recorder = Recorder(settings, on_delivery=heard.append)
    site.made.append(recorder)
    play(recorder, "t1", n_steps=1)
    until(lambda: recorder.counters.failed == 5)
    assert "timed out" in str(heard[0].error).lower()
    assert "t1" in str(recorder.last_error)
    assert not recorder.close(1).complete


def test_recording_does_not_wait_for_a_broker_that_is_away(site: KafkaSite) -> None:
    recorder = site.recorder(reachable=False, queue=100_000)
    longest = 0.0
    with recorder.trajectory(agent_id="a") as t:
        for n in range(2000):
            begin = time.perf_counter()
            t.llm_call(model="m", messages=[{"role": "user", "content": str(n)}])
            longest = max(longest, time.perf_counter() - begin)
    assert longest < 0.5
    assert recorder.counters.in_flight == 2002


PROGRAM = """
    import json, os, sys
    from ropewalk_producers import Recorder, RecorderSettings

    recorder = Recorder(RecorderSettings.from_environment())
    t = recorder.trajectory(agent_id="a", trajectory_id="t1")
    t.llm_call(model="m", messages=[{"role": "user", "content": "one"}])
"""
FORKED = """
    pid = os.fork()
    t.llm_call(model="m", messages=[{"role": "user", "content": "one"}])
    if pid == 0:
        t.close()
        print(json.dumps({"child": recorder.close(30).delivered}), flush=True)
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    t.end()
    print(json.dumps({"parent": recorder.close(30).delivered, "status": status}), flush=True)
"""


def run(site: KafkaSite, program: str) -> list[dict[str, int]]:
    settings = site.settings()
    environment = {
        "ROPEWALK_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "ROPEWALK_TOPIC": settings.topic,
        "ROPEWALK_PROJECT": "tests",
        "ROPEWALK_SERVICE": "tests",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_end_of_the_process_sends_what_is_waiting(site: KafkaSite) -> None:
    assert run(site, textwrap.dedent(PROGRAM)) == []
    assert len(site.log(2)) == 2


def test_a_forked_child_has_its_own_connection_writer_and_counts(site: KafkaSite) -> None:
    told = run(site, textwrap.dedent(PROGRAM) + textwrap.dedent(FORKED))
    assert told == [{"child": 2}, {"parent": 4, "status": 0}]
    events = [json.loads(value) for _, value, _ in site.log(6)]
    by_writer: dict[str, list[tuple[int, str]]] = {}
    for event in events:
        by_writer.setdefault(event["writer"], []).append((event["seq"], event["type"]))
    assert sorted(by_writer.values(), key=len) == [
        [(0, "llm_call"), (1, "writer_closed")],
        [(0, "trajectory_started"), (1, "llm_call"), (2, "llm_call"), (3, "trajectory_ended")],
    ]
