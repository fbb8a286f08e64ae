import json
import os
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.support.recorder_contract import RecorderContract, RecorderSite, play, until

from ropewalk_deploy.stack.model import Stack
from ropewalk_producers import Delivery, Recorder, RecorderSettings
from ropewalk_schemas.topics import AGENT_EVENTS

pytestmark = pytest.mark.integration

NOBODY = "127.0.0.1:1"  # a port no broker listens on


class KafkaSite(RecorderSite):
    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self.topic = topic
        self.made: list[Recorder] = []
        spec = NewTopic(topic, self.n_partitions, 1, config=AGENT_EVENTS.config())
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        for made in admin.create_topics([spec]).values():
            made.result(30)

    def settings(self, *, reachable: bool = True, **given: Any) -> RecorderSettings:
        return RecorderSettings(
            project="tests",
            service="tests",
            bootstrap_servers=self._bootstrap_servers if reachable else NOBODY,
            topic=self.topic,
            **given,
        )

    def recorder(self, *, reachable: bool = True, queue: int = 1000, **options: Any) -> Recorder:
        settings = self.settings(reachable=reachable, queue_messages=queue)
        self.made.append(Recorder(settings, **options))
        return self.made[-1]

    def log(self, n: int) -> list[tuple[bytes, bytes, int]]:
        consumer = Consumer({"bootstrap.servers": self._bootstrap_servers, "group.id": self.topic})
        found: list[tuple[bytes, bytes, int]] = []
        try:
            consumer.assign([TopicPartition(self.topic, p, 0) for p in range(self.n_partitions)])
            deadline = time.monotonic() + 30
            while len(found) < n and time.monotonic() < deadline:
                for message in consumer.consume(1000, 0.5):
                    assert message.error() is None
                    found.append(
                        (message.key() or b"", message.value() or b"", message.partition() or 0)
                    )
        finally:
            consumer.close()
        assert len(found) == n
        return sorted(found, key=lambda record: record[2])


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
