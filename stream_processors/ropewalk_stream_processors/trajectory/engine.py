"""The assembling engine of one partition: (state, record) -> (state, outputs).

It reads no clock: its clock is moved by the log. What it gives is a function of the log alone, so a
replay gives what the live run gave, byte for byte.
"""

from typing import cast

from ropewalk_schemas.codec import Decoded
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.events import (
    LifeEvent,
    Reward,
    TrajectoryEnded,
    TrajectoryStarted,
)
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.topics import SETTINGS, TICK
from ropewalk_schemas.windows import to_micros
from ropewalk_stream_processors.trajectory.admission import Admission
from ropewalk_stream_processors.trajectory.closing import Closing
from ropewalk_stream_processors.trajectory.keeping import kept_event
from ropewalk_stream_processors.trajectory.life import NEVER, Life
from ropewalk_stream_processors.trajectory.outputs import Place, Refusal
from ropewalk_stream_processors.trajectory.records import (
    Held,
    InputRecord,
    KeptEvent,
    Moment,
)
from ropewalk_stream_processors.trajectory.seqs import Seqs
from ropewalk_stream_processors.trajectory.start import StartFacts
from ropewalk_stream_processors.trajectory.weights import weight


class Engine(Closing):
    """One partition's assembler: takes records in order, as the log has them."""

    def __init__(self, place: Place, *, n_partitions: int, settings: Settings) -> None:
        super().__init__(place, settings)
        self._admission = Admission(place.partition, n_partitions)

    def apply(self, record: InputRecord) -> None:
        """Take one record; what it causes is appended to `outputs`.

        Raises:
            ValueError: If the record is not at `next_offset` or after (a compacted or lost range
                only ever skips forward).
        """
        if record.offset < self.next_offset:
            msg = f"record {record.offset} was already applied; {self.next_offset} is next"
            raise ValueError(msg)
        before = self._now()
        self._at = record.offset
        self._advance_clock(record.timestamp_ms)
        if self._timers.is_due(self.clock_ms):
            self.fire(record.offset)
        if self._holding.is_due(self.clock_ms, record.offset, self.settings) and self._live():
            self._spill_oldest(record.offset)
        self.next_offset = record.offset + 1
        control = record.control() if record.key is None else None
        if control == TICK:
            return
        if control == SETTINGS and self._take_settings(record):
            return
        self._count("received")
        self._take(record, before)
        if self._timers.is_due(self.clock_ms):
            self.fire(record.offset + 1)

    def _take_settings(self, record: InputRecord) -> bool:
        """Settings hold from their offset on; what is not readable is refused like an event."""
        try:
            self.settings = Settings.model_validate_json(record.value or b"")
        except ValueError:
            return False
        return True

    def _take(self, record: InputRecord, before: Moment) -> None:
        try:
            if record.offset in self.poison:
                detail = "the engine failed on this record three times in the same way"
                raise DecodeError("poison", detail)  # noqa: TRY301 - refused like any other
            decoded = self._admission.admit(record, self._now(), self.lives)
        except DecodeError as error:
            self._refuse(record, Refusal(error.reason, error.detail, None))
            return
        if decoded.type == "reward":
            self._pass_on(record, decoded.event, before)
        elif record.offset >= self.skip.get(decoded.event.trajectory_id, -1):
            self._take_event(record, decoded, before)
        else:
            self._remember_base(record, decoded, before)

    def _pass_on(self, record: InputRecord, reward: Reward, before: Moment) -> None:
        """Rewards never open, extend or hold a trajectory; they go on to the ledger."""
        entry = self._write.ledger_entry(record, reward)
        life = self.lives.get(reward.trajectory_id)
        if (
            life is not None
            and life.events
            and life.weight < self._limits(life).max_bytes
            and record.offset >= self.skip.get(reward.trajectory_id, -1)
        ):
            life.rewards.append(entry)
            life.weight += len(record.value or b"")
            if life.n_spilled and life.held_reward is None:
                life.held_reward = Held(record.offset, before)
                self._holding.add(life)
        self._count("ledger")
        if self._live():
            self.outputs.append(self._write.reward(record, entry))

    def _remember_base(self, record: InputRecord, decoded: Decoded, before: Moment) -> None:
        """Replay only: a call of an earlier part that the open part may build on."""
        life = self.lives.get(decoded.event.trajectory_id)
        if life is not None and record.offset in life.kept_calls:
            life.bases[record.offset] = kept_event(record, decoded, before)
            self._holding.add(life)

    def _take_event(self, record: InputRecord, decoded: Decoded, before: Moment) -> None:
        event: LifeEvent = decoded.event
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
        kept = kept_event(record, decoded, before)
        if life.continuous and life.events and kept.occurred_us >= life.window_end_us:
            self._cut(life, "window", record.offset)
        self._add(life, kept, decoded)
        if life.ended and life.all_there():
            self._finish(life, "ended")
        elif life.weight >= self._limits(life).max_bytes:
            self._cut(life, "bytes", record.offset + 1)
            self._arm(life)

    def _take_known(self, record: InputRecord, event: LifeEvent, known: str) -> None:
        """A (writer, seq) seen before: the same event again, or another one in its place."""
        if known in ("", event.event_id):  # "": of an earlier part, whose ids are forgotten
            self._count("duplicate")
            return
        detail = f"writer {event.writer} sent seq {event.seq} before as event {known}"
        self._refuse(record, Refusal("seq_conflict", detail, event.trajectory_id))

    def _add(self, life: Life, kept: KeptEvent, decoded: Decoded) -> None:
        event: LifeEvent = decoded.event
        limits, clock = self._limits(life), self.clock_ms
        first_of_part = not life.events
        if first_of_part:
            life.begin_part(kept.occurred_us, to_micros(event.started_at), clock, limits)
        seqs = life.writers.get(event.writer)
        if seqs is None:
            seqs = life.writers[event.writer] = Seqs()
        seqs.now[event.seq] = event.event_id
        life.events.append(kept)
        life.weight += weight(decoded, len(kept.value))
        life.last_event_us = max(life.last_event_us, kept.occurred_us)
        life.idle_at = clock + limits.idle_ms
        life.keep_at = NEVER
        turns = kept.type in _TURNING_POINTS
        if turns:
            self._turn(life, kept, event)
        # New settings may have brought the idle gap's end nearer than what the timer waits for.
        if turns or first_of_part or life.armed is None or life.idle_at < life.armed:
            self._arm(life)
        if life.holding is None:
            self._holding.add(life)

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


_TURNING_POINTS = ("trajectory_started", "trajectory_ended", "writer_closed")
