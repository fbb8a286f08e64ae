"""Contender: a loop as one writes it by hand with confluent-kafka, with our pure core.

No durability: offsets are committed by the clock, whatever became of the events; a restart loses
what was open.
"""

import gc
import signal
import sys

from confluent_kafka import Consumer, Producer

from benchmarks.contenders import GARBAGE_THRESHOLDS, READING
from benchmarks.engines import new_engine
from ropewalk_schemas.topics import AGENT_EVENTS, CLIENT_MESSAGE_BYTES
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.records import InputRecord, Output


def main(bootstrap_servers: str, group: str, output: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 1000,
            "fetch.message.max.bytes": 4 * 1024 * 1024,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": "zstd",
            "compression.level": 1,
            "linger.ms": 20,
            "message.max.bytes": CLIENT_MESSAGE_BYTES,
            "queue.buffering.max.kbytes": 4 * CLIENT_MESSAGE_BYTES // 1024,
        }
    )
    engines: dict[int, Engine] = {}
    consumer.subscribe(
        [AGENT_EVENTS.name],
        on_assign=lambda *_: print(READING, file=sys.stderr, flush=True),
    )
    while True:
        for message in consumer.consume(5000, 0.1):
            partition, offset = message.partition() or 0, message.offset() or 0
            engine = engines.get(partition)
            if engine is None:
                engine = engines[partition] = new_engine(partition)
            headers = message.headers() or ()
            engine.apply(
                InputRecord(
                    offset,
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    headers,  # type: ignore[arg-type] # pairs with bytes
                )
            )
            for out in engine.outputs:
                send(producer, output, partition, out)
            engine.outputs.clear()
        producer.poll(0)


def send(producer: Producer, topic: str, partition: int, out: Output) -> None:
    while True:
        try:
            producer.produce(topic, out.value, out.key, partition, headers=list(out.headers))
        except BufferError:
            producer.poll(0.05)
        else:
            return


if __name__ == "__main__":
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(*sys.argv[1:])
