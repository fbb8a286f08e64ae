"""The assembling engine of one partition: (state, record) -> (state, outputs).

It reads no clock: its clock is moved by the log. What it gives is a function of the log alone, so a
replay gives what the live run gave, byte for byte.
"""

from collections import Counter
from typing import cast

from ropewalk_schemas.codec import Decoded
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.events import LifeEvent, Reward, TrajectoryEnded, TrajectoryStarted
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_schemas.topics import SETTINGS, TICK
from ropewalk_schemas.trajectory import CloseReason
from ropewalk_schemas.windows import to_micros
from ropewalk_stream_processors.trajectory import chains
from ropewalk_stream_processors.trajectory.admission import Admission
from ropewalk_stream_processors.trajectory.assembly import Part, assemble
from ropewalk_stream_processors.trajectory.hashing import content_hash, event_digest
from ropewalk_stream_processors.trajectory.life import NEVER, Life
from ropewalk_stream_processors.trajectory.outputs import Outputs, Place, Refusal
from ropewalk_stream_processors.trajectory.records import (
    CallLink,
    InputRecord,
    KeptEvent,
    Moment,
    Output,
)
from ropewalk_stream_processors.trajectory.seqs import Seqs
from ropewalk_stream_processors.trajectory.start import StartFacts
from ropewalk_stream_processors.trajectory.timers import Timers


class Engine:
    """One partition's assembler.

    Attributes:
        next_offset: The next input offset it expects.
        target: Offsets below are replayed: nothing is published or counted for them.
        lives: The live trajectories by id.
        skip: From a progress record: offsets of an id below this were accounted for.
        over: Lives that ended since they were last needed, for the next progress record.
        counts: What became of every record so far.
    """

    def __init__(self, place: Place, *, n_partitions: int, settings: Settings) -> None:
        self.place = place
        self.settings = settings
        self.clock_ms = 0
        self.broker_ms = 0
        self.next_offset = 0
        self.target = 0
        self.lives: dict[str, Life] = {}
        self.skip: dict[str, int] = {}
        self.carried_skip: dict[str, int] = {}
        self.over: list[tuple[str, int, int, bool]] = []
        self.poison: frozenset[int] = frozenset()
        self.counts: Counter[str] = Counter()
        self.outputs: list[Output] = []
        self._timers = Timers()
        self._admission = Admission(place.partition, n_partitions)
        self._write = Outputs(place)
        self._at = 0

    # -- one record

    def apply(self, record: InputRecord) -> None:
        """Take one record; what it causes is appended to `outputs`.

        Raises:
            ValueError: If the record is not at `next_offset` or after (a compacted or lost range
                only ever skips forward).
        """
        if record.offset < self.next_offset:
            msg = f"record {record.offset} was already applied; {self.next_offset} is next"
            raise ValueError(msg)
        before = Moment(self.clock_ms, self.broker_ms, self.settings)
        self._at = record.offset
        self._advance_clock(record.timestamp_ms)
        self.fire(record.offset)
        self.next_offset = record.offset + 1
        control = record.control() if record.key is None else None
        if control == TICK:
            return
        if control == SETTINGS and self._take_settings(record):
            return
        self._count("received")
        self._take(record, before)
        self.fire(record.offset + 1)

    def _advance_clock(self, timestamp_ms: int) -> None:
        """Each step is capped: a broker that was away is not silence of the agents."""
        if self.broker_ms == 0:
            self.clock_ms = self.broker_ms = timestamp_ms
        step = timestamp_ms - self.broker_ms
        if step > 0:
            self.clock_ms += min(step, self.settings.cap_ms)
            self.broker_ms = timestamp_ms

    def _take_settings(self, record: InputRecord) -> bool:
        """Settings hold from their offset on; what is not readable is refused like an event."""
        try:
            self.settings = Settings.model_validate_json(record.value or b"")
        except ValueError:
            return False
        return True

    def _take(self, record: InputRecord, before: Moment) -> None:
        now = Moment(self.clock_ms, self.broker_ms, self.settings)
        try:
            if record.offset in self.poison:
                detail = "the engine failed on this record three times in the same way"
                raise DecodeError("poison", detail)  # noqa: TRY301 - refused like any other
            decoded = self._admission.admit(record, now, self.lives.__contains__)
        except DecodeError as error:
            self._refuse(record, Refusal(error.reason, error.detail, None))
            return
        if decoded.type == "reward":
            self._pass_on(record, cast("Reward", decoded.event))
        elif record.offset >= self.skip.get(decoded.event.trajectory_id, -1):
            self._take_event(record, decoded, before)
        else:
            self._remember_base(record, decoded, before)

    def _pass_on(self, record: InputRecord, reward: Reward) -> None:
        """Rewards never open, extend or hold a trajectory; they go on to the ledger."""
        entry = self._write.ledger_entry(record, reward)
        life = self.lives.get(reward.trajectory_id)
        if life is not None and life.events:
            life.rewards.append(entry)
        self._count("ledger")
        if self._live():
            self.outputs.append(self._write.reward(record, entry))

    def _remember_base(self, record: InputRecord, decoded: Decoded, before: Moment) -> None:
        """Replay only: a call of an earlier part that the open part may build on."""
        life = self.lives.get(decoded.event.trajectory_id)
        if life is not None and record.offset in life.kept_calls:
            life.bases[record.offset] = _kept(record, decoded, before)

    # -- one event of a life

    def _take_event(self, record: InputRecord, decoded: Decoded, before: Moment) -> None:
        event = cast("LifeEvent", decoded.event)
        life = self.lives.get(event.trajectory_id)
        if life is None:
            limits = self.settings.for_project(event.project)
            life = Life(
                event.trajectory_id,
                record.offset,
                project=event.project,
                window_s=limits.window_s,
            )
            self.lives[event.trajectory_id] = life
        life.through = record.offset + 1
        seqs = life.writers.get(event.writer)
        known = seqs.event_id(event.seq) if seqs is not None else None
        if known is not None:
            self._take_known(record, event, known)
            return
        kept = _kept(record, decoded, before)
        if life.continuous and life.events and kept.occurred_us >= life.window_end_us:
            self._cut(life, "window", record.offset)
        self._add(life, kept, event)
        if life.ended and life.all_there():
            self._finish(life, "ended")
        elif life.n_bytes >= self._limits(life).max_bytes:
            self._cut(life, "bytes", record.offset + 1)
            self._arm(life)

    def _take_known(self, record: InputRecord, event: LifeEvent, known: str) -> None:
        """A (writer, seq) seen before: the same event again, or another one in its place."""
        if known in ("", event.event_id):  # "": of an earlier part, whose ids are forgotten
            self._count("duplicate")
            return
        detail = f"writer {event.writer} sent seq {event.seq} before as event {known}"
        self._refuse(record, Refusal("seq_conflict", detail, event.trajectory_id))

    def _add(self, life: Life, kept: KeptEvent, event: LifeEvent) -> None:
        limits, clock = self._limits(life), self.clock_ms
        first_of_part = not life.events
        if first_of_part:
            life.begin_part(kept.occurred_us, to_micros(event.started_at), clock, limits)
        life.writers.setdefault(event.writer, Seqs()).now[event.seq] = event.event_id
        life.events.append(kept)
        life.n_bytes += len(kept.value)
        life.last_event_us = max(life.last_event_us, kept.occurred_us)
        life.idle_at = clock + limits.idle_ms
        life.keep_at = NEVER
        if kept.type in _TURNING_POINTS:
            self._turn(life, kept, event)
        # New settings may have brought the idle gap's end nearer than what the timer waits for.
        sooner = life.armed is None or life.idle_at < life.armed
        if first_of_part or kept.type in _TURNING_POINTS or sooner:
            self._arm(life)

    def _turn(self, life: Life, kept: KeptEvent, event: LifeEvent) -> None:
        """A start, an end, or a writer's close."""
        if kept.type == "trajectory_started":
            if life.start is None:
                life.start = StartFacts.of(cast("TrajectoryStarted", event))
                life.project = event.project
            return
        closing = cast("TrajectoryEnded", event)
        seqs = life.writers[event.writer]
        seqs.count = max(closing.n_events, seqs.count or 0)
        life.handed_to.update(closing.handed_to)
        if kept.type == "trajectory_ended" and not life.ended:
            life.ended = True
            life.status, life.termination = closing.status, closing.termination
            life.error = closing.error
            life.gaps_at = self.clock_ms + self._limits(life).settle_ms

    # -- cuts and closes

    def fire(self, begins_at: int) -> None:
        """Fire every timer that is due; what follows a cut begins at `begins_at`."""
        while (due := self._timers.next_due(self.clock_ms)) is not None:
            life, at, why = due
            if why in ("gaps", "keep") or (why == "idle" and not life.continuous):
                self._finish(life, why)
            else:
                self._cut(life, why, begins_at, at_ms=at)
                self._arm(life)

    def _cut(self, life: Life, why: str, begins_at: int, *, at_ms: int = 0) -> None:
        """Emit the open part; the life goes on at `begins_at`. An empty part is not published."""
        if life.start is None:
            self._finish(life, why)  # headless lives are never cut
            return
        calls = chains.calls_by_id(life.bases.values(), life.events)
        if life.events:
            self._publish(life, why, last=False)
            life.part += 1
        oldest = self.clock_ms - self._limits(life).duration_ms
        life.bases = {} if why == "idle" else chains.tips(calls, not_before_ms=oldest)
        life.kept_calls = frozenset(life.bases)
        life.events, life.rewards, life.n_bytes = [], [], 0
        life.begins_at = begins_at
        life.window_at = life.duration_at = NEVER
        if why == "idle":
            life.idle_at = NEVER
            life.keep_at = at_ms + self.settings.keep_ms
        for seqs in life.writers.values():
            seqs.cut()
        life.header = life.to_header()

    def _finish(self, life: Life, why: str) -> None:
        """The life is over: its last part is told, or it was headless and is refused."""
        if life.start is None:
            self._refuse_headless(life, why)
        elif life.events or (life.part and why != "keep"):
            self._publish(life, why, last=True)
        self.over.append((life.trajectory_id, life.first, life.through, life.from_header))
        life.armed = None
        del self.lives[life.trajectory_id]

    def _publish(self, life: Life, why: str, *, last: bool) -> None:
        reason = cast("CloseReason", why)
        identity = (life.trajectory_id, life.part)
        hashed = content_hash(identity, life.events, reason, life.previous_hash)
        self._count("assembled", len(life.events))
        if self._live():
            part = Part(life, self.place, reason, hashed, last=last, broker_ms=self.broker_ms)
            self.outputs.append(self._write.trajectory(life.trajectory_id, assemble(part)))
        life.previous_hash = hashed

    def _refuse_headless(self, life: Life, why: str) -> None:
        detail = (
            f"closed by {why} without a trajectory_started: it was lost, or the trajectory was "
            "already final"
        )
        for kept in life.events:
            key = life.trajectory_id.encode()
            record = InputRecord(kept.offset, kept.timestamp_ms, key, kept.value, kept.headers)
            self._refuse(record, Refusal("headless", detail, life.trajectory_id))

    # -- counting and small things

    def _refuse(self, record: InputRecord, refusal: Refusal) -> None:
        self._count(f"quarantined {refusal.reason}")
        if self._live():
            self.outputs.append(self._write.quarantined(record, refusal, self.broker_ms))

    def _live(self) -> bool:
        """Whether the record at hand is new, not replayed."""
        return self._at >= self.target

    def _count(self, fate: str, n: int = 1) -> None:
        if self._live():
            self.counts[fate] += n

    def _limits(self, life: Life) -> Limits:
        return self.settings.for_project(life.project)

    def _arm(self, life: Life) -> None:
        if life.trajectory_id in self.lives:
            self._timers.arm(life)

    def restore_life(self, life: Life) -> None:
        """Put a life back that a progress record tells of."""
        self.lives[life.trajectory_id] = life
        self._timers.arm(life)

    @property
    def open_events(self) -> int:
        """Events of open parts: received, but without a fate yet."""
        return sum(len(life.events) for life in self.lives.values())

    def waits(self) -> bool:
        """Whether time must pass for something to close (the 7-day expiry aside)."""
        return any(
            life.due()[1] != "keep" and life.due()[0] != NEVER for life in self.lives.values()
        )


_TURNING_POINTS = ("trajectory_started", "trajectory_ended", "writer_closed")


def _kept(record: InputRecord, decoded: Decoded, before: Moment) -> KeptEvent:
    event = cast("LifeEvent", decoded.event)
    value = cast("bytes", record.value)
    call = None
    if decoded.type == "llm_call":
        call = CallLink(event.call_id, event.thread, event.base_call)  # type: ignore[union-attr] # by its type
    return KeptEvent(
        record.offset,
        decoded.type,
        event.writer,
        event.seq,
        event.event_id,
        event_digest(value),
        value,
        to_micros(event.occurred_at),
        decoded.has_extra,
        before,
        call,
        record.timestamp_ms,
        record.headers,
    )
