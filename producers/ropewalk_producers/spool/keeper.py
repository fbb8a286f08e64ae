"""What the spool's thread does: stores, feeds, takes over what the dead left, and tells of it."""

from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from time import monotonic
from typing import Protocol

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.publisher import Delivery, Listener, Publisher
from ropewalk_producers.spool.feeder import Entry, Feeder, Hears
from ropewalk_producers.spool.folder import Owner, folders_in, segments_in
from ropewalk_producers.spool.format import Record
from ropewalk_producers.spool.segment import Segment
from ropewalk_producers.spool.store import Store

_LOOK_FOR_DEAD_EVERY_S = 10.0
TOO_SLOW = "the disk is too slow; the rest of the queue is for trajectories already begun"
NEARLY_FULL = 0.5  # of the memory; the other half is for trajectories already begun


class Desk(Protocol):
    """Where the agents' threads hand over."""

    def wake(self) -> None:
        """There is something to do."""

    def released(self, records: list[Record], *, settled: int) -> None:
        """These are not in memory any more; so many have their outcome."""

    def is_full(self, fraction: float) -> bool:
        """Whether that fraction of the memory is taken."""


class Keeper:
    """The duties of one thread, a step at a time; only `refuse` is called from others too.

    Attributes:
        refusal: Why no new trajectory may begin.
    """

    def __init__(
        self, settings: RecorderSettings, inner: Publisher, listener: Listener, desk: Desk
    ) -> None:
        self._listener, self._desk = listener, desk
        self._topic_folder = Path(settings.spool_path, settings.topic)
        hears = Hears(self._settled, self.report, self._finished, self._spare, desk.wake)
        self._feeder = Feeder(inner, hears)
        self._store = Store(settings, self._feeder.add)
        self._dead: deque[Path] = deque()
        self._look_for_dead_at = 0.0
        self._claimed: dict[Segment, Owner] = {}
        self._freed: list[Record] = []
        self._n_settled = 0
        self.refusal: str | None = None
        self._trouble: str | None = None
        self._store.look()
        self._tell()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written."""
        return self._store.trouble

    def step(self, taken: Iterable[Record], *, hurry: bool) -> bool:
        """Do what is to be done now, and say whether there is more to do at once.

        Args:
            taken: Records handed over since the last step.
            hurry: Someone waits for the disk.
        """
        now = monotonic()
        self._store.backlog.extend(taken)
        self._take_over(now)
        stored = self._store.step(now, hurry=hurry)
        if stored:
            self._listener.stored([_delivery(record) for record in stored])
            self._freed += stored
        busy = self._feeder.step(now)
        self._release()
        self._tell()
        return busy or (bool(self._dead) and self._feeder.wants_more)

    def due_in(self) -> float:
        """Seconds until there is something to do, unless woken."""
        return self._store.due_in(monotonic())

    def report(self, problem: str) -> None:
        """Make a problem visible."""
        self._listener.failing(problem, False)

    def refuse(self, why: str | None) -> None:
        """Let no new trajectory begin, or let them again; from any thread."""
        self.refusal = why
        self._listener.refusing(why and f"the spool takes no new trajectories: {why}")

    def close(self) -> None:
        """Give up what is in memory only, and leave the folder."""
        self._store.close()
        lost = [*self._feeder.close(), *self._store.backlog]
        for record in lost:
            why = self.trouble or "given up when closing"
            self._listener.delivered(_delivery(record, error=why))
        self._freed += lost
        self._n_settled += len(lost)
        self._release()
        self._store.release()
        for owner in set(self._claimed.values()):
            owner.release()

    def _release(self) -> None:
        """Tell the desk once a step, because its lock is the agents' too."""
        if self._freed or self._n_settled:
            self._desk.released(self._freed, settled=self._n_settled)
            self._freed, self._n_settled = [], 0

    def _take_over(self, now: float) -> None:
        """Claim what dead processes left, one of them at a time."""
        if not self._feeder.wants_more:
            return
        if not self._dead and now >= self._look_for_dead_at:
            self._dead.extend(folders_in(self._topic_folder))
            self._look_for_dead_at = now + _LOOK_FOR_DEAD_EVERY_S
        while self._dead:
            owner = Owner.claim(self._dead.popleft())
            if owner is not None and self._claim(owner):
                return
        self._feeder.own_too = True

    def _claim(self, owner: Owner) -> bool:
        try:
            segments = [Segment.left_behind(path) for path in segments_in(owner.path)]
        except OSError as error:
            self.report(f"the spool cannot read {owner.path}: {error.strerror}")
            segments = []
        for segment in segments:
            self._claimed[segment] = owner
            self._feeder.add(segment)
        if not segments:
            owner.release()
        return bool(segments)

    def _settled(self, entry: Entry, delivery: Delivery) -> None:
        record, segment = entry.record, entry.segment
        if segment is None or segment.own:
            told = delivery._replace(event_id=record.event_id, spooled=segment is not None)
            self._listener.delivered(told)
            self._n_settled += 1
            if segment is None:
                self._freed.append(record)
        elif delivery.error is None:
            self._listener.recovered(1)
        else:
            self.report(f"event {record.event_id}, which a process left, failed: {delivery.error}")

    def _finished(self, segment: Segment) -> None:
        if segment.torn:
            self.report(f"the spool cut {segment.torn:,} bytes of an event that was not written "
                        f"whole from the end of {segment.path}")  # fmt: skip
        if segment.unreadable:
            self.report(f"{segment.unreadable:,} bytes of {segment.path} cannot be read; the spool "
                        "sent the rest and keeps the file as .damaged")  # fmt: skip
        lost = Record(b"", b"", "", 0)
        for _ in range(segment.n_written - segment.n_taken):
            told = _delivery(lost, error="the spool cannot read it back")._replace(spooled=True)
            self._listener.delivered(told)
            self._n_settled += 1
        self._forget(segment)
        self._store.look_soon()

    def _forget(self, segment: Segment) -> None:
        owner = self._claimed.pop(segment, None)
        if owner is not None and Counter(self._claimed.values())[owner] == 0:
            owner.release()

    def _spare(self) -> Record | None:
        return self._store.spare()

    def _tell(self) -> None:
        trouble, refusal = self._store.trouble, self._store.refusal
        if refusal is None and self._desk.is_full(NEARLY_FULL):
            refusal = TOO_SLOW
        if trouble is not None and trouble != self._trouble:
            self.report(f"the spool cannot write to {self._topic_folder}: {trouble}")
        if refusal != self.refusal:
            self.refuse(refusal)
        self._trouble = trouble


def _delivery(record: Record, *, error: str | None = None) -> Delivery:
    return Delivery(record.key, record.value, record.event_id, None, None, error)
