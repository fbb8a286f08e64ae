"""librdkafka, told to use murmur2, puts every key where `partition_of` says."""

import pytest
from confluent_kafka import KafkaError, Message, Producer

from ropewalk_schemas.partitioning import LIBRDKAFKA_PARTITIONER, partition_of

N_PARTITIONS = 4  # what librdkafka's own test cluster gives a topic


@pytest.mark.integration
def test_librdkafka_and_partition_of_agree_on_every_key() -> None:
    placed: dict[bytes, int] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        key, partition = message.key(), message.partition()
        if error is None and isinstance(key, bytes) and partition is not None:
            placed[key] = partition

    producer = Producer({"test.mock.num.brokers": 1, "partitioner": LIBRDKAFKA_PARTITIONER})
    keys = {f"trajectory-{n}".encode() * (n % 5 + 1) for n in range(2000)}
    keys |= {bytes([n]) * (n % 9 + 1) for n in range(256)}
    for key in sorted(keys):
        producer.produce("agent-events", key=key, value=b"", on_delivery=delivered)
    assert producer.flush(30) == 0
    assert producer.list_topics("agent-events", 10).topics["agent-events"].partitions.keys() == set(
        range(N_PARTITIONS)
    )
    assert placed == {key: partition_of(key, N_PARTITIONS) for key in keys}
