"""What the engine of one partition knows, and how it counts."""

from collections import Counter

from ropewalk_schemas.limits import Limits, Settings
from ropewalk_stream_processors.trajectory.holding import Holding
from ropewalk_stream_processors.trajectory.life import NEVER, Life
from ropewalk_stream_processors.trajectory.outputs import Outputs, Place, Refusal
from ropewalk_stream_processors.trajectory.records import InputRecord, Moment, Output
from ropewalk_stream_processors.trajectory.timers import Timers


class PartitionState:
    """The state of one partition.

    Attributes:
        next_offset: The next input offset it expects.
        target: Offsets below are replayed: nothing is published or counted for them.
        lives: The live trajectories by id.
        skip: From a progress record: offsets of an id below this were accounted for.
        carried_skip: What of `skip` the next progress record must still say.
        over: Lives that ended since they were last needed, for the next progress record.
        poison: Offsets of records to refuse unseen.
        unnamed: Chunks that no account needs any more whose N is at least the number beside.
        counts: What became of every record so far.
    """

    def __init__(self, place: Place, settings: Settings) -> None:
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
        self._moment: Moment | None = None
        self.unnamed: list[tuple[int, bytes]] = []
        self._timers = Timers()
        self._holding = Holding()
        self._write = Outputs(place)
        self._at = 0

    def _advance_clock(self, timestamp_ms: int) -> None:
        """Each step is capped: a broker that was away is not silence of the agents."""
        if self.broker_ms == 0:
            self.clock_ms = self.broker_ms = timestamp_ms
        step = timestamp_ms - self.broker_ms
        if step > 0:
            self.clock_ms += min(step, self.settings.cap_ms)
            self.broker_ms = timestamp_ms

    def _now(self) -> Moment:
        """Clock, broker time and settings as they stand; shared by the records of one instant."""
        now = self._moment
        if (
            now is None
            or now.broker_ms != self.broker_ms
            or now.clock_ms != self.clock_ms
            or now.settings is not self.settings
        ):
            now = self._moment = Moment(self.clock_ms, self.broker_ms, self.settings)
        return now

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
        self._holding.add(life)

    @property
    def open_events(self) -> int:
        """Events of open parts: received, but without a fate yet."""
        return sum(len(life.events) for life in self.lives.values())

    def waits(self) -> bool:
        """Whether time must pass for something to close (the 7-day expiry aside)."""
        return any(
            life.due()[1] != "keep" and life.due()[0] != NEVER for life in self.lives.values()
        )
