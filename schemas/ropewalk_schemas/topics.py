"""The topics: the one place a topic is named and its settings are decided."""

from dataclasses import dataclass, field
from typing import Literal

MAX_EVENT_BYTES = 8 * 1024 * 1024  # larger values are quarantined by the engine
MIB = 1024 * 1024
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic. `retention_ms` -1 keeps for ever; `partitions` is its default at creation."""

    name: str
    key: str
    holds: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: int = 4
    retention_ms: int = -1
    cleanup: Literal["delete", "compact"] = "delete"
    timestamp_type: Literal["LogAppendTime", "CreateTime"] = "LogAppendTime"
    max_message_bytes: int = 32 * MIB
    extra: dict[str, str] = field(default_factory=dict)

    def config(self) -> dict[str, str]:
        """The topic's settings by Kafka's names."""
        return {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": self.timestamp_type,
            "retention.ms": str(self.retention_ms),
            **self.extra,
        }


AGENT_EVENTS = TopicSpec(
    name="agent-events",
    key="trajectory_id",
    holds="one event per record, all kinds in one log: each trajectory has one total order",
    producers=("recorder", "settlement", "judge", "worker (ticks and settings)"),
    consumers=("worker",),
    retention_ms=14 * DAY_MS,
)
TRAJECTORIES = TopicSpec(
    name="trajectories",
    key="trajectory_id, same partition number as the input",
    holds="final trajectories; reward ledger entries, passed on",
    producers=("worker",),
    consumers=("sink postgres", "sink parquet"),
    retention_ms=30 * DAY_MS,
)
PROGRESS = TopicSpec(
    name="progress",
    key="what the record accounts for; same partition number as the input",
    holds="the newest account of a partition; records to skip",
    producers=("worker",),
    consumers=("worker", "sink postgres", "sink parquet"),
    cleanup="compact",
    extra={"min.cleanable.dirty.ratio": "0.1", "segment.ms": "600000"},
)
CHUNKS = TopicSpec(
    name="chunks",
    key="first offset, end and id of a spilled trajectory; same partition number as the input",
    holds="events of trajectories that are open for long, so that a restart reads little",
    producers=("worker",),
    consumers=("worker",),
    cleanup="compact",
    max_message_bytes=40 * MIB,
    extra={
        "delete.retention.ms": "60000",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.bytes": str(64 * MIB),
        "segment.ms": "600000",
    },
)
OUTCOMES = TopicSpec(
    name="outcomes",
    key="outcome key (a market, a match)",
    holds="what became known later; versioned",
    producers=("environment",),
    consumers=("sink postgres",),
)
QUARANTINE = TopicSpec(
    name="quarantine",
    key="original key",
    holds="every refused record: bytes, headers, reason, topic, partition, offset, by whom",
    producers=("worker", "sink postgres", "sink parquet"),
    consumers=("sink postgres", "sink parquet"),
    retention_ms=90 * DAY_MS,
    max_message_bytes=40 * MIB,
)
TOPICS = (AGENT_EVENTS, TRAJECTORIES, PROGRESS, CHUNKS, OUTCOMES, QUARANTINE)

# What a producer or consumer must be able to carry: the largest message plus its headers.
CLIENT_MESSAGE_BYTES = 41 * MIB

KIND_HEADER = "ropewalk"
"""Header that marks what is not an agent's event: ``tick``, ``settings``, or an output's kind."""
TICK = b"tick"
SETTINGS = b"settings"
