"""A broker that is frozen, or killed and started again, while agents record with a spool.

`ROPEWALK_OUTAGE_S` is how long it is away (12 seconds; a minute is what we promise).
"""

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.support.pipeline import Pipeline, local_pipeline
from tests.support.recorder_contract import until
from tests.support.spool import seqs_by_writer

from ropewalk_deploy.stack.local import describe, up
from ropewalk_producers import Delivery, Recorder, RecorderSettings
from ropewalk_schemas.topics import AGENT_EVENTS

pytestmark = pytest.mark.integration

OUTAGE_S = float(os.environ.get("ROPEWALK_OUTAGE_S", "12"))
AGENTS, CALLS, PACE_S = 8, 10, 0.02
SANE_S = 2.0  # nothing to be proud of: a test machine is shared, and a hang takes longer


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with local_pipeline(tmp_path_factory.mktemp("outage")) as pipeline:
        yield pipeline


def broker(own: Pipeline) -> psutil.Process:
    stack = describe(own.home)
    assert stack is not None
    return psutil.Process(stack.pids["kafka"])


def freeze(own: Pipeline) -> Callable[[], None]:
    frozen = broker(own)
    frozen.send_signal(SIGSTOP)
    return lambda: frozen.send_signal(SIGCONT)


def kill(own: Pipeline) -> Callable[[], None]:
    killed = broker(own)
    killed.send_signal(SIGKILL)
    killed.wait(30)

    def come_back() -> None:
        up(own.home, lambda _: None)

    return come_back


class Agents:
    """Threads that record trajectories at a steady pace, and how long their calls took."""

    def __init__(self, recorder: Recorder, run: str) -> None:
        self.call_s: list[float] = []
        self._recorder, self._run = recorder, run
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(AGENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, agent: int) -> None:
        n = 0
        while not self._stop.is_set():
            self._play(f"{self._run}-{agent}-{n}")
            n += 1

    def _play(self, trajectory_id: str) -> None:
        chat: list[dict[str, str]] = []
        with self._recorder.trajectory(agent_id="a", trajectory_id=trajectory_id) as t:
            for n in range(CALLS):
                chat.append({"role": "user", "content": f"{n} " * 200})
                begin = time.perf_counter()
                t.llm_call(model="m", messages=chat, output="done")
                self.call_s.append(time.perf_counter() - begin)
                self._stop.wait(PACE_S)


def told(call_s: list[float]) -> str:
    cuts = statistics.quantiles(call_s, n=100)
    times = f"p50 {cuts[49] * 1e6:.0f} us, p99 {cuts[98] * 1e6:.0f} us"
    return f"{len(call_s):,} calls: {times}, longest {max(call_s) * 1e3:.1f} ms"


def log_of(own: Pipeline, n: int) -> list[tuple[bytes, bytes]]:
    """At least n records of the topic, and all there are."""
    consumer = Consumer({"bootstrap.servers": own.places.bootstrap_servers, "group.id": "outage"})
    found: list[tuple[bytes, bytes]] = []
    try:
        places = [TopicPartition(AGENT_EVENTS.name, p, 0) for p in range(AGENT_EVENTS.partitions)]
        consumer.assign(places)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            messages = consumer.consume(1000, 2)
            if not messages and len(found) >= n:
                break
            found += [(message.key() or b"", message.value() or b"") for message in messages]
    finally:
        consumer.close()
    return found


@pytest.mark.parametrize("away", [freeze, kill])
def test_an_outage_under_load_costs_nothing_and_slows_no_agent(
    own: Pipeline,
    tmp_path: Path,
    away: Callable[[Pipeline], Callable[[], None]],
    record_property: Callable[[str, object], None],
) -> None:
    heard: list[Delivery] = []
    settings = RecorderSettings(
        project="tests",
        service="tests",
        bootstrap_servers=own.places.bootstrap_servers,
        durability="spool",
        spool_path=str(tmp_path / "spool"),
    )
    recorder = Recorder(settings, on_delivery=heard.append)
    agents = Agents(recorder, away.__name__)
    until(lambda: recorder.counters.delivered > 1000, within_s=60)
    before = len(agents.call_s)
    come_back = away(own)
    try:
        gone_at = time.monotonic()
        until(lambda: time.monotonic() - gone_at > OUTAGE_S, within_s=OUTAGE_S + 10)
        n_before, n_during = before, len(agents.call_s)
        counters = recorder.counters
    finally:
        come_back()
    back_at = time.monotonic()
    until(lambda: recorder.counters.spooled < counters.spooled / 2, within_s=120)
    agents.stop()
    report = recorder.close(60)
    during = agents.call_s[n_before:n_during]
    summary = (
        f"{away.__name__} {OUTAGE_S:.0f} s: before {told(agents.call_s[:n_before])}; "
        f"during {told(during)}; after {told(agents.call_s[n_during:])}; "
        f"{counters.spooled:,} events waited on disk; caught up {time.monotonic() - back_at:.1f} s "
        "after it was back"
    )
    record_property("outage", summary)
    os.write(2, f"\n{summary}\n".encode())
    assert counters.spooled > 100, "the broker was away"
    assert report.complete
    assert (report.spooled, report.delivered) == (0, recorder.counters.accepted)
    assert (counters.dropped_full, counters.refused) == (0, 0)
    assert max(during) < SANE_S
    assert len({delivery.event_id for delivery in heard}) == len(heard) == report.delivered
    log = [(k, v) for k, v in log_of(own, report.delivered) if k.startswith(away.__name__.encode())]
    seqs = seqs_by_writer(log)
    assert all(given == list(range(len(given))) for given in seqs.values())
    assert sum(map(len, seqs.values())) == report.delivered
    assert len({value for _, value in log}) == report.delivered
