import pytest

from ropewalk_producers import RecorderSettings
from ropewalk_producers.importers.backpressure import MAX_IN_FLIGHT, Backpressure, StalledError
from ropewalk_producers.testing import MemoryPublisher, MemoryRecorder

SETTINGS = RecorderSettings(project="tests", service="tests", bootstrap_servers="broker:9092")


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.n_sleeps = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.n_sleeps += 1

    def monotonic(self) -> float:
        return self.now


def waiting_events(n: int) -> tuple[MemoryRecorder, MemoryPublisher]:
    publisher = MemoryPublisher(reachable=False)
    recorder = MemoryRecorder(SETTINGS, publisher=publisher)
    for _ in range(n):
        recorder.reward("t", "r", 1.0, source="human")
    return recorder, publisher


def test_a_broker_that_is_away_is_given_up_with_its_name() -> None:
    recorder, _ = waiting_events(1)
    clock = Clock()
    held = Backpressure(recorder, stall_s=20, monotonic=clock.monotonic, sleep=clock.sleep)
    with pytest.raises(StalledError, match=r"broker:9092 has acknowledged nothing for 20 s"):
        held.drain()
    assert clock.now == pytest.approx(20, abs=0.1)


def test_a_broker_that_refuses_us_is_given_up_with_the_settings_to_look_at() -> None:
    recorder, publisher = waiting_events(1)
    publisher._listener.failing("Kafka: SASL authentication error: invalid credentials", False)
    clock = Clock()
    held = Backpressure(recorder, monotonic=clock.monotonic, sleep=clock.sleep)
    with pytest.raises(StalledError, match=r"invalid credentials\); check .*KAFKA_PASSWORD"):
        held.drain()


def test_a_slow_broker_is_waited_for() -> None:
    recorder, publisher = waiting_events(3)
    clock = Clock()

    def answering(seconds: float) -> None:
        clock.sleep(seconds)
        publisher.reachable = clock.now > 15
        publisher.flush(0)

    Backpressure(recorder, stall_s=20, monotonic=clock.monotonic, sleep=answering).drain()
    assert recorder.counters.in_flight == 0


def test_a_few_events_in_flight_hold_nothing_up() -> None:
    recorder, _ = waiting_events(MAX_IN_FLIGHT)
    clock = Clock()
    Backpressure(recorder, monotonic=clock.monotonic, sleep=clock.sleep).hold()
    assert clock.n_sleeps == 0
