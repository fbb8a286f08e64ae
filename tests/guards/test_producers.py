"""Every producer of ours, on librdkafka's broker: where records go, what a flush promises."""

import itertools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from tests.support.parquet_log import a_refused

from ropewalk_deploy import kafka as deploy_kafka
from ropewalk_deploy.kafka import send_again
from ropewalk_producers import RecorderSettings
from ropewalk_producers.kafka import KafkaPublisher
from ropewalk_producers.publisher import Listener, ignore
from ropewalk_schemas.partitioning import partition_of
from ropewalk_sinks import kafka as sinks_kafka
from ropewalk_sinks import reward_log
from ropewalk_sinks.config import SinkSettings, Topics
from ropewalk_sinks.errors import QuarantineError
from ropewalk_sinks.kafka import QuarantineWriter
from ropewalk_sinks.reward_log import RewardWriter
from ropewalk_stream_processors import kafka as worker_kafka
from ropewalk_stream_processors.errors import PublishError
from ropewalk_stream_processors.kafka import Publisher

N = 4  # what librdkafka's own test broker gives a topic
KEYS = [f"trajectory-{n}".encode() for n in range(60)]
_topics = itertools.count()


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """The address of a broker inside this process."""
    host = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (found,) = host.list_topics(timeout=10).brokers.values()
    yield f"{found.host}:{found.port}"
    del host


@pytest.fixture
def topic() -> str:
    return f"topic-{next(_topics)}"


def placed(broker: str, topic: str) -> dict[bytes, int]:
    """In which partition each key of a topic is."""
    config = {"bootstrap.servers": broker, "group.id": topic, "log_level": 0}
    consumer = Consumer(config)
    consumer.assign([TopicPartition(topic, n, 0) for n in range(N)])
    found: dict[bytes, int] = {}
    while len(found) < len(KEYS):
        for message in consumer.consume(len(KEYS), 0.1):
            assert message.error() is None
            found[bytes(message.key() or b"")] = message.partition() or 0
    consumer.close()
    return found


WANTED = {key: partition_of(key, N) for key in KEYS}


def a_sink(broker: str, topic: str = "q") -> SinkSettings:
    return SinkSettings.load(bootstrap_servers=broker, topics=Topics(quarantine=topic))


def test_what_an_agent_records_is_placed_as_kafka_places(broker: str, topic: str) -> None:
    settings = RecorderSettings(project="p", service="s", bootstrap_servers=broker, topic=topic)
    publisher = KafkaPublisher(settings)
    publisher.listen(Listener(delivered=ignore, failing=lambda *_: None))
    for n, key in enumerate(KEYS):
        publisher.publish(key, b"{}", str(n))
    publisher.flush(10)
    publisher.close()
    assert placed(broker, topic) == WANTED


def test_rewards_of_settlement_and_judge_are_placed_as_kafka_places(
    broker: str, topic: str
) -> None:
    RewardWriter(a_sink(broker), topic, promise="")([(key, b"{}") for key in KEYS])
    assert placed(broker, topic) == WANTED


def test_what_a_sink_refuses_is_placed_as_kafka_places(broker: str, topic: str) -> None:
    QuarantineWriter(a_sink(broker, topic))([a_refused(n, key=key) for n, key in enumerate(KEYS)])
    assert placed(broker, topic) == WANTED


def test_what_a_person_sends_again_is_placed_as_kafka_places(broker: str, topic: str) -> None:
    send_again(broker, topic, [(key, b"{}") for key in KEYS])
    assert placed(broker, topic) == WANTED


def test_what_a_worker_writes_goes_into_the_partition_it_came_from(broker: str, topic: str) -> None:
    publisher = Publisher(broker, timeout_s=10)
    for n, key in enumerate(KEYS):
        publisher.send(topic, n % N, key, b"{}")
    publisher.flush()
    assert placed(broker, topic) == {key: n % N for n, key in enumerate(KEYS)}


# -- what a flush promises


class Told:
    """A client that only keeps what it was told, and says at a flush what is left."""

    left = 0

    def __init__(self, config: dict[str, Any], **_: Any) -> None:
        self.config = config
        Told.last = self

    last: "Told"

    def flush(self, _: float) -> int:
        return Told.left

    def poll(self, _: float) -> None:
        pass


MAKERS: dict[str, tuple[ModuleType, Callable[[], object]]] = {
    "rewards": (reward_log, lambda: RewardWriter(a_sink("x:1"), "t", promise="")),
    "quarantine": (sinks_kafka, lambda: QuarantineWriter(a_sink("x:1"))),
    "again": (deploy_kafka, lambda: send_again("x:1", "t", [])),
    "worker": (worker_kafka, lambda: Publisher("x:1", timeout_s=1)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_acknowledged_means_on_every_replica_and_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, make = MAKERS[name]
    monkeypatch.setattr(module, "Producer", Told)
    make()
    config = Told.last.config
    assert config.get("enable.idempotence") is True
    assert config.get("acks", "all") == "all"  # which an idempotent producer has by itself


def test_a_worker_does_not_go_on_when_outputs_are_not_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_kafka, "Producer", Told)
    monkeypatch.setattr(Told, "left", 3)
    with pytest.raises(PublishError, match="3 outputs were not acknowledged"):
        Publisher("x:1", timeout_s=1).flush()


def test_a_worker_does_not_go_on_when_an_output_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Error:
        def str(self) -> str:
            return "too large"

    monkeypatch.setattr(worker_kafka, "Producer", Told)
    publisher = Publisher("x:1", timeout_s=1)
    Told.last.config["on_delivery"](Error(), None)
    with pytest.raises(PublishError, match="too large"):
        publisher.flush()


def test_a_sink_does_not_go_on_when_what_it_refuses_is_not_in_quarantine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sinks_kafka, "QUARANTINE_WITHIN_S", 0.1)
    with pytest.raises(QuarantineError, match="1 refused records could not be written"):
        QuarantineWriter(a_sink("127.0.0.1:1"))([a_refused()])
