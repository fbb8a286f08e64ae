"""Sends what dead processes left in a spool, for a command that may wait."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.kafka import KafkaPublisher
from ropewalk_producers.publisher import Delivery, Publisher
from ropewalk_producers.spool.feeder import Entry, Feeder, Hears
from ropewalk_producers.spool.folder import Owner, folders_in, segments_in
from ropewalk_producers.spool.listing import spooled
from ropewalk_producers.spool.segment import Segment

STALL_S = 30.0
_WAIT_S = 0.2
Progress = Callable[[int], None]
"""Told how many events Kafka has acknowledged."""


@dataclass(slots=True)
class DrainReport:
    """What became of what the dead left.

    Attributes:
        sent: Events that Kafka acknowledged.
        failed: Events that Kafka will never take.
        left: Events still in the spool, of dead processes; the living send their own.
        kept: Files set aside because something in them cannot be read.
        problems: In sentences, each once.
    """

    sent: int = 0
    failed: int = 0
    left: int = 0
    kept: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing is left."""
        return not (self.failed or self.left or self.kept)


def drain(
    settings: RecorderSettings,
    *,
    progress: Progress = lambda _: None,
    stall_s: float = STALL_S,
    connect: Callable[[RecorderSettings], Publisher] = KafkaPublisher,
) -> DrainReport:
    """Send the segments of dead processes, topic by topic, and delete what is acknowledged.

    Gives up a topic when Kafka acknowledges nothing for `stall_s` seconds. Safe beside living
    services and beside another drain.

    Raises:
        SettingsError: If Kafka's client refuses the settings.
    """
    report = DrainReport()
    folder = Path(settings.spool_path)
    for topic_folder in folders_in(folder):
        for_topic = replace(settings, topic=topic_folder.name)
        claimed = [owner for path in folders_in(topic_folder) if (owner := Owner.claim(path))]
        if any(segments_in(owner.path) for owner in claimed):
            _Drain(claimed, connect(for_topic), report, progress).run(stall_s)
        for owner in claimed:
            owner.release()
    dead = [segment for segment in spooled(folder) if not segment.living]
    report.left = sum(segment.events for segment in dead)
    report.kept = sum(segment.kept for segment in dead)
    return report


class _Drain:
    """One topic's turn."""

    def __init__(
        self, owners: list[Owner], inner: Publisher, report: DrainReport, progress: Progress
    ) -> None:
        self._report, self._progress = report, progress
        self._n_open = 0
        self._woken = Event()
        hears = Hears(
            settled=self._settled,
            failing=self._failing,
            finished=self._finished,
            spare=lambda: None,
            wake=self._woken.set,
        )
        self._feeder = Feeder(inner, hears)
        for path in (path for owner in owners for path in segments_in(owner.path)):
            try:
                self._feeder.add(Segment.left_behind(path))
                self._n_open += 1
            except OSError as error:
                self._failing(f"{path} cannot be read: {error.strerror}")

    def run(self, stall_s: float) -> None:
        """Send until all is settled or nothing moves any more."""
        n_before, moved_at = -1, time.monotonic()
        while self._n_open and time.monotonic() - moved_at < stall_s:
            self._woken.clear()
            if not self._feeder.step(time.monotonic()):
                self._woken.wait(_WAIT_S)
            if self._n_settled != n_before:
                n_before, moved_at = self._n_settled, time.monotonic()
                self._progress(self._report.sent)
        self._feeder.close()

    @property
    def _n_settled(self) -> int:
        return self._report.sent + self._report.failed

    def _settled(self, entry: Entry, delivery: Delivery) -> None:
        if delivery.error is None:
            self._report.sent += 1
        else:
            self._report.failed += 1
            self._failing(f"event {entry.record.event_id} is refused: {delivery.error}")

    def _failing(self, problem: str) -> None:
        if problem not in self._report.problems:
            self._report.problems.append(problem)

    def _finished(self, segment: Segment) -> None:
        self._n_open -= 1
        if segment.torn:
            self._failing(f"{segment.path}: cut {segment.torn:,} bytes of an event that was not "
                          "written whole")  # fmt: skip
        if segment.unreadable:
            self._failing(f"{segment.path}: {segment.unreadable:,} bytes cannot be read; the file "
                          "is kept as .damaged")  # fmt: skip
