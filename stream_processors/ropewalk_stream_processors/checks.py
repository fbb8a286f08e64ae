"""Whether the topics are as the promise needs them; pure decisions on what Kafka says."""

from collections.abc import Mapping
from dataclasses import dataclass

from ropewalk_schemas.kafka_acls import Need, group, topics
from ropewalk_schemas.topics import (
    AGENT_EVENTS,
    CHUNKS,
    PROGRESS,
    QUARANTINE,
    TRAJECTORIES,
    TopicSpec,
)
from ropewalk_stream_processors.errors import TopicError

READER_GROUP = "ropewalk-reader"  # joins nothing; Kafka's client asks for it all the same
SAME_PARTITIONS = (AGENT_EVENTS, TRAJECTORIES, PROGRESS, CHUNKS)
NEEDED = (*SAME_PARTITIONS, QUARANTINE)
_READ_BACK = [AGENT_EVENTS.name, PROGRESS.name, CHUNKS.name]
# What a wrong value would break; other settings may differ from our defaults.
_DECISIVE = {
    "message.timestamp.type": "broker time is what moves the clock",
    "cleanup.policy": "compaction would drop events, deletion would drop accounts",
}


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker describes it."""

    partitions: int
    config: Mapping[str, str]


def kafka_needs(worker_group: str) -> list[Need]:
    """What Kafka must allow a worker."""
    return [
        *topics(
            [AGENT_EVENTS.name, PROGRESS.name, CHUNKS.name], "Read", "Write", "DescribeConfigs"
        ),
        *topics([TRAJECTORIES.name, QUARANTINE.name], "Write", "DescribeConfigs"),
        group(worker_group),
        group(READER_GROUP, "Describe"),
    ]


def check_topics(found: Mapping[str, TopicState]) -> int:
    """The number of input partitions, if every topic is there and fits.

    Raises:
        TopicError: Naming the topic, the setting, and what to do.
    """
    for spec in NEEDED:
        if spec.name not in found:
            msg = f"topic {spec.name!r} does not exist; create it with `ropewalk topics apply`"
            raise TopicError(msg)
        _check_config(spec, found[spec.name])
    n_partitions = found[AGENT_EVENTS.name].partitions
    for spec in SAME_PARTITIONS:
        if found[spec.name].partitions != n_partitions:
            msg = (
                f"topic {spec.name!r} has {found[spec.name].partitions} partitions and "
                f"{AGENT_EVENTS.name!r} has {n_partitions}; they must have the same number, "
                "because outputs keep the partition of their input"
            )
            raise TopicError(msg)
    return n_partitions


def _check_config(spec: TopicSpec, state: TopicState) -> None:
    wanted = spec.config()
    for name, why in _DECISIVE.items():
        if state.config.get(name) != wanted[name]:
            msg = (
                f"topic {spec.name!r} has {name}={state.config.get(name)}, needed is "
                f"{wanted[name]} ({why}); alter the topic, or see `ropewalk topics apply`"
            )
            raise TopicError(msg)
    largest = int(state.config.get("max.message.bytes", "0"))
    if largest < spec.max_message_bytes:
        msg = (
            f"topic {spec.name!r} takes messages of {largest} bytes (max.message.bytes), needed "
            f"are {spec.max_message_bytes}; alter the topic, or see `ropewalk topics apply`"
        )
        raise TopicError(msg)
