"""Contender: a Faust agent as Faust's documentation writes one, with our pure core.

Stock means Faust's own settings, except for what the job needs: raw bytes, our topics, large
messages, and zstd so that as much is written. aiokafka offers no zstd level: it compresses at 3,
the worker at 1.
"""

import logging
import sys
from typing import Any

import faust

from benchmarks.contenders import READING
from benchmarks.engines import new_engine
from ropewalk_schemas.topics import AGENT_EVENTS, CLIENT_MESSAGE_BYTES
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.records import InputRecord


def main(bootstrap_servers: str, group: str, output: str) -> None:
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap_servers}",
        consumer_auto_offset_reset="earliest",
        producer_compression_type="zstd",
        producer_max_request_size=CLIENT_MESSAGE_BYTES,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    raw: dict[str, Any] = {
        "key_serializer": "raw",
        "key_type": bytes,
        "value_serializer": "raw",
        "value_type": bytes,
    }
    events, trajectories = app.topic(AGENT_EVENTS.name, **raw), app.topic(output, **raw)
    engines: dict[int, Engine] = {}

    @app.on_partitions_assigned.connect  # type: ignore[arg-type] # stricter than what it calls
    async def assigned(_app: Any, partitions: Any, **_: Any) -> None:
        if partitions:
            print(READING, file=sys.stderr, flush=True)

    @app.agent(events)
    async def assemble(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            engine = engines.get(message.partition)
            if engine is None:
                engine = engines[message.partition] = new_engine(message.partition)
            timestamp_ms = round(message.timestamp * 1000)
            engine.apply(
                InputRecord(
                    message.offset, timestamp_ms, message.key, message.value, message.headers
                )
            )
            for out in engine.outputs:
                await trajectories.send(
                    key=out.key,
                    value=out.value,
                    partition=message.partition,
                    headers=list(out.headers),
                )
            engine.outputs.clear()

    worker = faust.Worker(app, loglevel=logging.WARNING, redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
