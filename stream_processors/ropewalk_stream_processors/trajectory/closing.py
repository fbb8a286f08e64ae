"""How parts and lives end: timers, cuts, last parts, and refusing what has no start."""

from typing import cast

from ropewalk_schemas.topics import MAX_EVENT_BYTES
from ropewalk_schemas.trajectory import CloseReason
from ropewalk_stream_processors.trajectory import chains
from ropewalk_stream_processors.trajectory.assembly import Part, assemble
from ropewalk_stream_processors.trajectory.hashing import content_hash
from ropewalk_stream_processors.trajectory.life import NEVER, Life
from ropewalk_stream_processors.trajectory.outputs import Refusal
from ropewalk_stream_processors.trajectory.records import InputRecord, KeptEvent
from ropewalk_stream_processors.trajectory.spilling import Spilling


class Closing(Spilling):
    """Closes what time or an event closes."""

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
        life.bases = {} if why == "idle" else self._bases(life, calls)
        life.kept_calls = frozenset(life.bases)
        self._release(life, needed=life.bases)
        life.events, life.rewards, life.weight = [], [], 0
        life.n_spilled, life.held_reward = 0, None
        life.begins_at = begins_at
        life.window_at = life.duration_at = NEVER
        if why == "idle":
            life.idle_at = NEVER
            life.keep_at = at_ms + self.settings.keep_ms
        for seqs in life.writers.values():
            seqs.cut()
        life.header = life.to_header()
        self._holding.add(life)

    def _bases(self, life: Life, calls: chains.Calls) -> dict[int, KeptEvent]:
        """Calls that prompts of the next part may extend; none when they alone would fill it."""
        oldest = self.clock_ms - self._limits(life).duration_ms
        bases = chains.tips(calls, not_before_ms=oldest)
        n_bytes = sum(len(kept.value) for kept in bases.values())
        return bases if n_bytes <= MAX_EVENT_BYTES else {}

    def _finish(self, life: Life, why: str) -> None:
        """The life is over: its last part is told, or it was headless and is refused."""
        if life.start is None:
            self._refuse_headless(life, why)
        elif life.events or (life.part and why != "keep"):
            self._publish(life, why, last=True)
        self._release(life, needed=())
        self.over.append((life.trajectory_id, life.first, life.through, life.from_header))
        life.events, life.rewards, life.bases = [], [], {}  # its timer may outlive it for a while
        self._timers.disarm(life)
        del self.lives[life.trajectory_id]
        self._holding.sweep(self.lives)

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
