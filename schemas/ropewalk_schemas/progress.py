"""The newest account of a partition: what became of every record, and what a restart needs.

Keys in the compacted topic: ``{partition}`` for the account, ``{partition}/floor/{N}`` for one
after which chunks were deleted, ``{partition}/crash`` for the last failure of the engine,
``{partition}/skip/{offset}`` for a record that is to be skipped.
"""

from typing import Literal

from ropewalk_schemas.events import Mode, Status
from ropewalk_schemas.fields import (
    SCHEMA_VERSION,
    Contract,
    Count,
    Id,
    Json,
    JsonObject,
    Name,
    Position,
)
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.reasons import Reason


class Counts(Contract):
    """What became of every record so far (ticks and settings aside); only ever grows."""

    received: Count = 0
    assembled: Count = 0
    ledger: Count = 0
    duplicate: Count = 0
    quarantined: dict[Reason, Count] = {}

    def balanced(self, *, open_events: int) -> bool:
        """Whether every received record has exactly one fate."""
        known = self.assembled + self.ledger + self.duplicate + sum(self.quarantined.values())
        return self.received == known + open_events


class WriterHeader(Contract):
    """What a life knows of one writer at a cut: seqs seen as [first, last] ranges."""

    seen: list[tuple[Count, Count]] = []
    count: Count | None = None


class LifeHeader(Contract):
    """A live trajectory that was cut, as of `begins_at`, where its open part begins.

    Or one that was spilled, as of the chunk that holds it. Deadlines are instants of the
    partition's clock, in ms. `start` is what its trajectory_started said that later parts repeat;
    it is empty when none came (`started`), which only a spilled one may be. The last five fields
    matter to an open part with events, so to a spilled one.
    """

    trajectory_id: Id
    first_offset: Count
    begins_at: Count
    part: Position
    previous_hash: str
    started: bool
    mode: Mode
    ended: bool
    status: Status | None = None
    termination: str | None = None
    error: str | None = None
    writers: dict[Id, WriterHeader]
    handed_to: list[Id]
    gaps_at: int | None = None
    idle_at: int | None = None
    keep_at: int | None = None
    window_start_us: int
    window_s: Position
    last_event_us: int
    kept_calls: list[Count]
    start: JsonObject
    project: Name | None = None
    window_at: int | None = None
    duration_at: int | None = None
    part_started_us: int = 0
    weight: Count = 0


class Progress(Contract):
    """The account of one partition.

    `replay_offset` (C) is where a restart reads from, `next_offset` (N) the first record not
    accounted for. `clock_ms`, `broker_ms` and `settings` are as of just before C; `clock` and
    `watermark` as of N. `skip` lists lives that are over but reach back to C or before. `chunks`
    lists, for trajectories that were spilled, (first, to) of each chunk in the topic `chunks`; the
    newest holds the header of one that is not in `headers`.
    """

    type: Literal["progress"] = "progress"
    schema_version: str = SCHEMA_VERSION
    engine_version: str
    worker: str
    partition: Position
    replay_offset: Count
    next_offset: Count
    clock_ms: int
    broker_ms: int
    settings: Settings
    skip: dict[Id, Count]
    headers: list[LifeHeader]
    chunks: dict[Id, list[tuple[Count, Count]]] = {}
    counts: Counts
    open_events: Count
    open_trajectories: Count
    clock_at_next_ms: int
    watermark_ms: int


class Crash(Contract):
    """The engine failed on a record; three in a row at one offset make it a poison record."""

    type: Literal["crash"] = "crash"
    partition: Position
    offset: Count
    error: str
    times: Position


class Skip(Contract):
    """A poison record the engine must quarantine instead of applying, now and in every replay."""

    type: Literal["skip"] = "skip"
    partition: Position
    offset: Count
    error: str
    evidence: Json | None = None
