"""How what the engine gives becomes records to publish."""

from dataclasses import dataclass

from ropewalk_schemas.events import Reward
from ropewalk_schemas.published import (
    REWARD_KIND,
    TRAJECTORY_KIND,
    LedgerEntryRow,
    changed,
    encode_published,
)
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.reasons import Reason
from ropewalk_schemas.topics import KIND_HEADER, QUARANTINE, TRAJECTORIES
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
from ropewalk_schemas.windows import from_micros
from ropewalk_stream_processors.trajectory.records import InputRecord, Output

_COPIED = (
    "trajectory_id", "project", "name", "value", "source", "source_version", "target_event_id",
    "call_id", "response_id", "supersedes", "reason", "outcome_key", "outcome_version", "metadata",
    "occurred_at",
)  # fmt: skip


# Room for key, headers and framing.
MAX_PART_BYTES = TRAJECTORIES.max_message_bytes - 64 * 1024
# What is left out, in this order, when a part is too large all the same.
_LEFT_OUT = (
    ("sequences",),
    ("sequences", "rewards", "messages", "tool_sets", "steps", "llm_calls"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the engine stands: the input topic and partition, and which code reads it."""

    topic: str
    partition: int
    engine_version: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record is refused; `trajectory_id` where it is known."""

    reason: Reason
    detail: str
    trajectory_id: str | None


class Outputs:
    """Builds the records of one partition."""

    __slots__ = ("_place",)

    def __init__(self, place: Place) -> None:
        self._place = place

    def ledger_entry(self, record: InputRecord, reward: Reward) -> LedgerEntry:
        """A reward event as it is passed on."""
        entry: LedgerEntry = LedgerEntryRow(
            reward_id=reward.event_id,
            recorded_at=from_micros(record.timestamp_ms * 1000),
            source_partition=self._place.partition,
            source_offset=record.offset,
            **{name: getattr(reward, name) for name in _COPIED},
        )
        return entry

    def reward(self, record: InputRecord, entry: LedgerEntry) -> Output:
        """A ledger entry for `trajectories`."""
        headers = ((KIND_HEADER, REWARD_KIND),)
        return Output(TRAJECTORIES.name, record.key, encode_published(entry), headers)

    def trajectory(self, trajectory_id: str, row: Trajectory) -> Output:
        """A final part for `trajectories`."""
        headers = ((KIND_HEADER, TRAJECTORY_KIND),)
        return Output(TRAJECTORIES.name, trajectory_id.encode(), fitted(row), headers)

    def quarantined(self, record: InputRecord, refusal: Refusal, broker_ms: int) -> Output:
        """A refused record for `quarantine`, its key and value unchanged."""
        place = self._place
        refused = Quarantined(
            topic=place.topic,
            partition=place.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=record.headers,
            reason=refusal.reason,
            detail=refusal.detail,
            stage="assembler",
            quarantined_by=place.engine_version,
            trajectory_id=refusal.trajectory_id,
            broker_ms=record.timestamp_ms,
            quarantined_ms=broker_ms,
        )
        return Output(QUARANTINE.name, record.key, record.value, tuple(refused.to_headers()))


def fitted(row: Trajectory, *, max_bytes: int = MAX_PART_BYTES) -> bytes:
    """The JSON of a part, small enough to be published.

    Weights keep parts far below the limit. If one is too large all the same, lists are left out,
    which `extra` names, and the part is neither complete nor linear: a part that can never be
    published would stop its partition for good. Its events are still in the log.
    """
    value = encode_published(row)
    for names in _LEFT_OUT:
        if len(value) <= max_bytes:
            break
        empty: dict[str, list[object]] = {name: [] for name in names}
        said = {"left_out": list(names), "bytes": len(value)}
        less = changed(row, **empty, extra=said, complete=False, linear=False)
        value = encode_published(less)
    return value
