"""What one partition's logs say, counted independently of the worker; pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ropewalk_deploy.kafka import LogRecord
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.published import LedgerEntryRow, decode_published
from ropewalk_schemas.quarantine import from_record
from ropewalk_schemas.topics import AGENT_EVENTS, KIND_HEADER, SETTINGS, TICK
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory, WriterSpan
from ropewalk_sinks.scored import immediate_reward, score_part


class PartKey(NamedTuple):
    """Identity of a part."""

    trajectory_id: str
    part: int


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class PartSeen:
    """A part as published: where, its hash, its group, what it holds and earned.

    `group` is project, scenario, policy and its version, group key and window. `immediate` is what
    its steps earned at once, `reward` that and the ledger entries in it.
    """

    place: Place
    agent_id: str
    content_hash: str
    first_offset: int
    group: tuple[str | None, ...]
    n_events: int
    last: bool
    complete: bool
    status: str | None
    writers: tuple[WriterSpan, ...]
    immediate: float
    reward: float | None

    @property
    def project(self) -> str:
        """Its agent's project."""
        return self.group[0] or ""

    @property
    def content(self) -> tuple[str, float | None]:
        """What a sink must hold under its identity."""
        return self.content_hash, self.reward


@dataclass(frozen=True, slots=True)
class Refused:
    """A quarantined record: why, by what, and whose it was."""

    reason: str
    stage: str
    trajectory_id: str | None
    key: bytes | None
    value: bytes | None


@dataclass
class Accounts:
    """Everything the logs say.

    Attributes:
        received: Records per input partition that are not ticks or settings.
        parts: Every published part by identity, first one first. What a restarted worker
            published again is one; a trajectory sent again whole is another.
        rewards: Ledger entries by their place in the input; `reward_ids` by id, first one counts.
        refused: Quarantined records by their place.
        promoted: Generations that took the place of some trajectories, first promoted one first:
            the trajectories, and what its own topics say of them.
    """

    received: Counter[int] = field(default_factory=Counter)
    parts: dict[PartKey, list[PartSeen]] = field(default_factory=dict)
    rewards: dict[Place, str] = field(default_factory=dict)
    reward_ids: dict[str, LedgerEntry] = field(default_factory=dict)
    refused: dict[Place, Refused] = field(default_factory=dict)
    undecodable: list[Place] = field(default_factory=list)
    promoted: list[tuple[frozenset[str], "Accounts"]] = field(default_factory=list)

    def take_inputs(self, records: Iterable[LogRecord]) -> None:
        """Count input records."""
        for record in records:
            if not is_control(record):
                self.received[record.partition] += 1

    def take_outputs(self, topic: str, records: Iterable[LogRecord]) -> None:
        """Take in records of `trajectories`."""
        for record in records:
            place = Place(topic, record.partition, record.offset)
            try:
                row = decode_published(record.value or b"")
            except DecodeError:
                self.undecodable.append(place)
                continue
            if isinstance(row, LedgerEntryRow):
                self._take_reward(row)
            else:
                self._take_part(place, row)  # type: ignore[arg-type] # likewise

    def _take_part(self, place: Place, row: Trajectory) -> None:
        seen = self.parts.setdefault(PartKey(row.trajectory_id, row.part), [])
        emission = (row.content_hash, row.first_offset)
        if all((known.content_hash, known.first_offset) != emission for known in seen):
            seen.append(
                PartSeen(
                    place,
                    row.agent_id,
                    row.content_hash,
                    row.first_offset,
                    _group_of(row),
                    row.n_events,
                    row.last,
                    row.complete,
                    row.status,
                    tuple(row.writers),
                    immediate_reward(row) or 0.0,
                    score_part(row).total,
                )
            )

    def _take_reward(self, row: LedgerEntry) -> None:
        self.rewards[Place(AGENT_EVENTS.name, row.source_partition, row.source_offset)] = (
            row.reward_id
        )
        self.reward_ids.setdefault(row.reward_id, row)

    def take_quarantine(self, topic: str, records: Iterable[LogRecord]) -> None:
        """Take in records of `quarantine`; the same refusal twice counts once."""
        for record in records:
            try:
                refused = from_record(record.key, record.value, record.headers)
            except DecodeError:
                self.undecodable.append(Place(topic, record.partition, record.offset))
                continue
            place = Place(refused.topic, refused.partition, refused.offset)
            self.refused.setdefault(
                place,
                Refused(
                    refused.reason,
                    refused.stage,
                    refused.trajectory_id,
                    refused.key,
                    refused.value,
                ),
            )

    def hashes(self) -> dict[PartKey, set[str]]:
        """Every hash that was published for a part."""
        return {key: {part.content_hash for part in seen} for key, seen in self.parts.items()}

    def stored_parts(self) -> dict[PartKey, PartSeen]:
        """Which parts a sink must hold.

        The first of each identity that no sink refused; of trajectories that a promoted generation
        speaks for, what that one says.
        """
        held: dict[PartKey, PartSeen] = {}
        for key, seen in self.parts.items():
            for part in seen:
                if part.place not in self.refused:
                    held.setdefault(key, part)
        for ids, accounts in self.promoted:
            held = {key: part for key, part in held.items() if key.trajectory_id not in ids}
            held |= accounts.stored_parts()
        return held


def _group_of(row: Trajectory) -> tuple[str | None, ...]:
    of_policy = (row.policy, row.policy_version)
    return (row.project, row.scenario, *of_policy, row.group_key, row.window_id)


def is_control(record: LogRecord) -> bool:
    """Whether the worker itself wrote an input record: a tick, or settings it can read."""
    if record.key is not None:
        return False
    kinds = (value for name, value in record.headers if name == KIND_HEADER)
    kind = next((value for value in kinds if value in (TICK, SETTINGS)), None)
    if kind == SETTINGS:
        try:
            Settings.model_validate_json(record.value or b"")
        except ValueError:
            return False
    return kind is not None
