"""What every recorder promises, whatever carries its events; run on the double and on Kafka."""

import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ropewalk_producers import Delivery, Recorder
from ropewalk_schemas.codec import decode_event_with_models
from ropewalk_schemas.events import LLMCall, Reward, TrajectoryEnded, TrajectoryStarted
from ropewalk_schemas.partitioning import partition_of


class RecorderSite(ABC):
    """Makes recorders, and reads back what reached the log."""

    n_partitions = 4

    @abstractmethod
    def recorder(self, *, reachable: bool = True, queue: int = 1000, **options: Any) -> Recorder:
        """A recorder; an unreachable broker never answers."""

    @abstractmethod
    def log(self, n: int) -> list[tuple[bytes, bytes, int]]:
        """The first n records: key, value, partition; in log order by partition."""


def until(condition: Callable[[], bool], *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def play(recorder: Recorder, trajectory_id: str, n_steps: int = 3) -> None:
    chat: list[dict[str, Any]] = []
    with recorder.trajectory(agent_id="a", trajectory_id=trajectory_id) as t:
        for n in range(n_steps):
            chat.append({"role": "user", "content": f"turn {n}"})
            with t.step(observation=n) as step:
                step.llm_call(model="m", messages=chat, output=f"answer {n}")
                step.action("go")
        t.reward("outcome", 1.0)


class RecorderContract:
    """A suite over the fixture `site`, which the module that runs it has."""

    def test_everything_recorded_is_delivered_and_reported(self, site: RecorderSite) -> None:
        recorder = site.recorder()
        play(recorder, "t1")
        report = recorder.close(30)
        assert report.complete
        assert report.delivered == recorder.counters.accepted == 9
        assert recorder.counters.in_flight == 0
        events = [decode_event_with_models(value) for _, value, _ in site.log(9)]
        kinds = [type(event) for event in events]
        assert kinds[0] is TrajectoryStarted
        assert kinds[-2:] == [Reward, TrajectoryEnded]
        assert isinstance(events[-1], TrajectoryEnded)
        assert events[-1].n_events == 8
        assert next(event.base_call for event in events if isinstance(event, LLMCall)) is None

    def test_every_event_is_keyed_placed_and_ordered(self, site: RecorderSite) -> None:
        recorder = site.recorder()
        ids = [f"trajectory-{n}" for n in range(20)]
        for trajectory_id in ids:
            play(recorder, trajectory_id)
        recorder.close(30)
        seqs = defaultdict(list)
        for key, value, partition in site.log(20 * 9):
            event = decode_event_with_models(value)
            assert key.decode() == event.trajectory_id
            assert partition == partition_of(key, site.n_partitions)
            if not isinstance(event, Reward):
                seqs[event.trajectory_id].append(event.seq)
        assert dict(seqs) == {trajectory_id: list(range(8)) for trajectory_id in ids}

    def test_threads_may_share_a_trajectory(self, site: RecorderSite) -> None:
        recorder = site.recorder()

        def work() -> None:
            for n in range(50):
                t.llm_call(model="m", messages=[{"role": "user", "content": str(n)}])

        with recorder.trajectory(agent_id="a") as t:
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert recorder.close(30).complete
        events = [decode_event_with_models(value) for _, value, _ in site.log(202)]
        assert [event.seq for event in events if not isinstance(event, Reward)] == list(range(202))

    def test_the_listener_hears_of_every_event_once(self, site: RecorderSite) -> None:
        heard: list[Delivery] = []
        recorder = site.recorder(on_delivery=heard.append)
        play(recorder, "t1")
        recorder.close(30)
        log = site.log(9)
        assert sorted(d.value for d in heard) == sorted(value for _, value, _ in log)
        for delivery in heard:
            assert delivery.event_id == decode_event_with_models(delivery.value).event_id
            assert (delivery.key, delivery.error) == (b"t1", None)
            assert delivery.partition == partition_of(b"t1", site.n_partitions)
        assert sorted(d.offset for d in heard if d.offset is not None) == list(range(9))

    def test_a_listener_that_raises_harms_nothing(self, site: RecorderSite) -> None:
        def listen(_: Delivery) -> None:
            message = "the service's own mistake"
            raise RuntimeError(message)

        recorder = site.recorder(on_delivery=listen)
        play(recorder, "t1")
        assert recorder.close(30).complete
        assert "the service's own mistake" in str(recorder.last_error)

    def test_a_full_queue_drops_and_counts_and_does_not_wait(self, site: RecorderSite) -> None:
        recorder = site.recorder(reachable=False, queue=5)
        begin = time.monotonic()
        play(recorder, "t1")
        assert time.monotonic() - begin < 2
        counters = recorder.counters
        assert (counters.accepted, counters.dropped_full) == (5, 4)
        assert "t1" in str(recorder.last_error)
        assert "queue is full" in str(recorder.last_error)
        recorder.close(0)

    def test_closing_without_a_broker_reports_what_was_not_delivered(
        self, site: RecorderSite
    ) -> None:
        heard: list[Delivery] = []
        recorder = site.recorder(reachable=False, on_delivery=heard.append)
        play(recorder, "t1")
        begin = time.monotonic()
        report = recorder.close(0.5)
        assert time.monotonic() - begin < 5
        assert not report.complete
        assert (report.delivered, report.undelivered) == (0, 9)
        until(lambda: len(heard) == 9)
        assert all(delivery.error and delivery.offset is None for delivery in heard)
        assert recorder.counters.in_flight == 0
        assert recorder.close() is report

    def test_a_closed_recorder_refuses_and_counts(self, site: RecorderSite) -> None:
        recorder = site.recorder()
        recorder.close(5)
        play(recorder, "t1", n_steps=1)
        assert recorder.counters.rejected == 5
        assert "the recorder is closed" in str(recorder.last_error)
