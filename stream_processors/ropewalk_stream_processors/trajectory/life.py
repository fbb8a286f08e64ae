"""One life of a trajectory id: from its first event to its being final, over all its parts."""

from typing import Literal

from ropewalk_schemas.chunks import Span
from ropewalk_schemas.events import Status
from ropewalk_schemas.limits import Limits
from ropewalk_schemas.progress import LifeHeader, WriterHeader
from ropewalk_schemas.trajectory import LedgerEntry
from ropewalk_stream_processors.trajectory.records import Held, KeptEvent
from ropewalk_stream_processors.trajectory.seqs import Seqs
from ropewalk_stream_processors.trajectory.start import StartFacts

Due = Literal["gaps", "idle", "keep", "window", "duration"]
NEVER = 1 << 62


class Life:
    """What is known of one life. What a `LifeHeader` holds survives a cut; the rest is the part's.

    What is spilled to chunks holds the replay point no longer; it stays in memory all the same.

    Attributes:
        first: The life's first offset; `begins_at`: where its open part begins.
        through: Last handled offset + 1, duplicates included.
        events: The open part's events in log order.
        weight: Bytes the open part may take as published.
        rewards: Ledger entries that came while the part held an event.
        bases: Calls of earlier parts that calls of this part may extend, by offset. They hold
            the replay point from the cut on, used or not.
        chunks: Spans of the chunks that hold its events, rewards and bases below `spilled_to`.
        n_spilled: How many of `events` chunks hold.
        held_reward: The first reward that no chunk holds, in a part of which one holds events.
        holding: The offset of its entry among those who hold the replay point.
        header: The life as of `begins_at`, once it was cut; not once it was spilled after that.
        from_header: Whether a restart took the life from a progress record.
        armed: The instant of its entry in the timer heap.
    """

    __slots__ = (
        "armed",
        "bases",
        "begins_at",
        "chunks",
        "duration_at",
        "ended",
        "error",
        "events",
        "first",
        "from_header",
        "gaps_at",
        "handed_to",
        "header",
        "held_reward",
        "holding",
        "idle_at",
        "keep_at",
        "kept_calls",
        "last_event_us",
        "n_spilled",
        "part",
        "part_started_us",
        "previous_hash",
        "project",
        "rewards",
        "start",
        "status",
        "termination",
        "through",
        "trajectory_id",
        "weight",
        "window_at",
        "window_s",
        "window_start_us",
        "writers",
    )  # fmt: skip

    def __init__(self, trajectory_id: str, offset: int, *, project: str, window_s: int) -> None:
        self.trajectory_id = trajectory_id
        self.project = project
        self.first = self.begins_at = self.through = offset
        self.part = 0
        self.previous_hash = ""
        self.start: StartFacts | None = None
        self.ended = False
        self.status: Status | None = None
        self.termination: str | None = None
        self.error: str | None = None
        self.writers: dict[str, Seqs] = {}
        self.handed_to: set[str] = set()
        self.gaps_at = self.idle_at = self.keep_at = self.window_at = self.duration_at = NEVER
        self.window_s = window_s
        self.window_start_us: int | None = None
        self.last_event_us = self.part_started_us = 0
        self.kept_calls: frozenset[int] = frozenset()
        self.events: list[KeptEvent] = []
        self.rewards: list[LedgerEntry] = []
        self.bases: dict[int, KeptEvent] = {}
        self.weight = 0
        self.chunks: list[Span] = []
        self.n_spilled = 0
        self.held_reward: Held | None = None
        self.holding: int | None = None
        self.header: LifeHeader | None = None
        self.from_header = False
        self.armed: int | None = None

    @property
    def continuous(self) -> bool:
        """Whether it is known to be a continuous agent's."""
        return self.start is not None and self.start.mode == "continuous"

    @property
    def window_end_us(self) -> int:
        """Where the open part's window ends (exclusive)."""
        return (self.window_start_us or 0) + self.window_s * 1_000_000

    @property
    def spilled_to(self) -> int:
        """Chunks hold everything of it that is below."""
        return self.chunks[-1][1] if self.chunks else 0

    def held(self) -> Held | None:
        """The first record the replay point may not pass: of the open part, or a kept base."""
        found = self.held_reward
        if self.n_spilled < len(self.events):
            kept = self.events[self.n_spilled]
            if found is None or kept.offset < found.offset:
                found = Held(kept.offset, kept.before)
        for kept in self.bases.values():
            if kept.offset >= self.spilled_to and (found is None or kept.offset < found.offset):
                found = Held(kept.offset, kept.before)
        return found

    def due(self) -> tuple[int, Due]:
        """The next instant something happens by itself, and what; `NEVER` when nothing will.

        At equal instants what closes for good comes first.
        """
        at, why = self.gaps_at, "gaps"
        if self.idle_at < at:
            at, why = self.idle_at, "idle"
        if self.keep_at < at:
            at, why = self.keep_at, "keep"
        if self.window_at < at and self.continuous:
            at, why = self.window_at, "window"
        if self.duration_at < at:
            at, why = self.duration_at, "duration"
        return at, why  # type: ignore[return-value] # mypy widens the literals

    def all_there(self) -> bool:
        """Whether nothing more can belong to it.

        It started and ended, and every writer that was seen or handed to has said its count, and
        all its seqs are there.
        """
        return (
            self.ended
            and self.start is not None
            and all(writer in self.writers for writer in self.handed_to)
            and all(seqs.all_there() for seqs in self.writers.values())
        )

    def begin_part(self, event_us: int, started_us: int, clock_ms: int, limits: Limits) -> None:
        """The first event of a part decides its window, and starts its clock."""
        length_us = self.window_s * 1_000_000
        self.part_started_us = event_us if self.part else started_us
        start = self.part_started_us // length_us * length_us
        if self.window_start_us is not None:
            start = max(start, self.window_start_us)
        self.window_start_us = start
        left_us = max(0, start + length_us - max(event_us, start))
        self.duration_at = clock_ms + limits.duration_ms
        self.window_at = clock_ms + -(-left_us // 1000) + limits.settle_ms

    def to_header(self) -> LifeHeader:
        """The life as it is now, at a cut or where it is spilled."""
        return LifeHeader(
            trajectory_id=self.trajectory_id,
            first_offset=self.first,
            begins_at=self.begins_at,
            part=self.part,
            previous_hash=self.previous_hash,
            started=self.start is not None,
            mode=self.start.mode if self.start else "episode",
            ended=self.ended,
            status=self.status,
            termination=self.termination,
            error=self.error,
            writers={
                writer: WriterHeader(seen=list(seqs.earlier), count=seqs.count)
                for writer, seqs in self.writers.items()
            },
            handed_to=sorted(self.handed_to),
            gaps_at=_or_none(self.gaps_at),
            idle_at=_or_none(self.idle_at),
            keep_at=_or_none(self.keep_at),
            window_start_us=self.window_start_us or 0,
            window_s=self.window_s,
            last_event_us=self.last_event_us,
            kept_calls=sorted(self.kept_calls),
            start=self.start.to_json() if self.start else {},
            project=self.project,
            window_at=_or_none(self.window_at),
            duration_at=_or_none(self.duration_at),
            part_started_us=self.part_started_us,
            weight=self.weight,
        )

    @classmethod
    def from_header_record(cls, header: LifeHeader) -> "Life":
        """The life as a header tells it; its open part comes from chunks and the log."""
        start = StartFacts.from_json(header.start) if header.started else None
        life = cls(
            header.trajectory_id,
            header.first_offset,
            project=start.project if start else header.project or "",
            window_s=header.window_s,
        )
        life.begins_at = life.through = header.begins_at
        life.part, life.previous_hash = header.part, header.previous_hash
        life.start, life.ended, life.status = start, header.ended, header.status
        life.termination, life.error = header.termination, header.error
        life.writers = {w: Seqs(h.seen, h.count) for w, h in header.writers.items()}
        life.handed_to = set(header.handed_to)
        life.gaps_at, life.idle_at = _or_never(header.gaps_at), _or_never(header.idle_at)
        life.keep_at = _or_never(header.keep_at)
        life.window_at, life.duration_at = (
            _or_never(header.window_at),
            _or_never(header.duration_at),
        )
        life.part_started_us, life.weight = header.part_started_us, header.weight
        life.window_start_us, life.last_event_us = header.window_start_us, header.last_event_us
        life.kept_calls = frozenset(header.kept_calls)
        life.from_header = True
        return life


def _or_none(at: int) -> int | None:
    return None if at == NEVER else at


def _or_never(at: int | None) -> int:
    return NEVER if at is None else at
