"""Writes a process's own records to its segments, in batches; keeps those the disk cannot take."""

import errno
from collections import deque
from collections.abc import Callable
from pathlib import Path
from shutil import disk_usage

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.spool.files import sync_folder
from ropewalk_producers.spool.folder import Owner, bytes_in
from ropewalk_producers.spool.format import Record, encode, size_of
from ropewalk_producers.spool.policy import Room, is_sync_due
from ropewalk_producers.spool.segment import Segment

MAX_SEGMENT_BYTES = 16 * 1024 * 1024
_SEGMENTS = 16  # of the smallest spool: room comes back a segment at a time
_BATCH_BYTES = 1024 * 1024
_PROBE_BYTES = 4096
LOOK_EVERY_S = 1.0


class Store:
    """Own segments, of which the newest is written to; used by one thread.

    Attributes:
        backlog: Records to be written, in order.
        trouble: Why nothing can be written now.
    """

    def __init__(self, settings: RecorderSettings, opened: Callable[[Segment], None]) -> None:
        self._settings = settings
        self._root = Path(settings.spool_path)
        self._opened = opened
        self._segment_bytes = min(MAX_SEGMENT_BYTES, settings.spool_max_bytes // _SEGMENTS)
        self._owner: Owner | None = None
        self._segment: Segment | None = None
        self._unsynced: list[Record] = []
        self._stored: list[Record] = []
        self._unsynced_since = 0.0
        self._look_at = 0.0
        self.backlog: deque[Record] = deque()
        self.trouble: str | None = None
        self.room = Room(settings.spool_max_bytes, 0, settings.spool_max_bytes)

    @property
    def refusal(self) -> str | None:
        """Why no new trajectory may begin, by the disk."""
        return self.trouble or self.room.refusal

    def step(self, now: float, *, hurry: bool) -> list[Record]:
        """Write what is to be written, and give what is stored by it.

        Args:
            now: Seconds of any clock that only goes forward.
            hurry: Store now what would wait for its interval or for room.
        """
        looks = hurry or now >= self._look_at
        if looks:
            self.look()
            self._look_at = now + LOOK_EVERY_S
        if self.trouble is None or looks:
            self._try(now, hurry=hurry)
        stored, self._stored = self._stored, []
        return stored

    def due_in(self, now: float) -> float:
        """Seconds until there is something to do."""
        due = self._look_at - now
        if self._unsynced:
            due = min(due, self._unsynced_since + self._settings.spool_fsync_ms / 1000 - now)
        return max(due, 0.0)

    def look_soon(self) -> None:
        """There may be more room than before."""
        self._look_at = 0.0

    def look(self) -> None:
        """See how much room there is."""
        try:
            free = disk_usage(self._root).free
        except OSError:
            free = 0
        self.room = Room(self._settings.spool_max_bytes, bytes_in(self._root), free)

    def spare(self) -> Record | None:
        """A record the disk cannot take now, to go to Kafka from memory: it is ours no more."""
        if self.trouble is None or not self.backlog:
            return None
        return self.backlog.popleft()

    def close(self) -> None:
        """Write no more."""
        if self._segment is not None:
            self._segment.sealed = True

    def release(self) -> None:
        """Leave our folder to whoever comes; nothing of it when all was deleted."""
        if self._owner is not None:
            self._owner.release()
            self._owner = None

    def _try(self, now: float, *, hurry: bool) -> None:
        try:
            if self.trouble is not None and not self.backlog:
                self._probe()
            self._write(now)
            waiting_s = now - self._unsynced_since
            interval_s = self._settings.spool_fsync_ms / 1000
            if hurry or is_sync_due(self._settings.spool_fsync, interval_s, waiting_s):
                self._publish()
            self.trouble = None
        except OSError as error:
            self.trouble = error.strerror or str(error)
            self._keep()

    def _probe(self) -> None:
        """Find out whether the disk takes something again, with nothing of the agents' at stake."""
        if self.room.left <= _PROBE_BYTES:
            raise OSError(errno.ENOSPC, self.room.why_no_more)
        probe = Segment.create(self._owned().new_segment())
        try:
            probe.append(bytes(_PROBE_BYTES), 0)
            probe.publish(durable=self._settings.spool_fsync != "never")
        finally:
            probe.remove()

    def _owned(self) -> Owner:
        if self._owner is None:
            self._owner = Owner.create(self._root / self._settings.topic)
        return self._owner

    def _write(self, now: float) -> None:
        while self.backlog:
            batch = self._batch(min(self.room.left, _BATCH_BYTES))
            data = b"".join(map(encode, batch))
            if len(data) > self.room.left:
                raise OSError(errno.ENOSPC, self.room.why_no_more)
            self._writable().append(data, len(batch))
            self.room = self.room.less(len(data))
            for _ in batch:
                self.backlog.popleft()
            if not self._unsynced:
                self._unsynced_since = now
            self._unsynced += batch

    def _batch(self, max_bytes: int) -> list[Record]:
        """The oldest records up to a size; at least one."""
        batch: list[Record] = []
        size = 0
        for record in self.backlog:
            size += size_of(record)
            if batch and size > max_bytes:
                break
            batch.append(record)
        return batch

    def _publish(self) -> None:
        """What is written is stored; the feeder may take it."""
        if self._segment is not None and self._unsynced:
            self._segment.publish(durable=self._settings.spool_fsync != "never")
            self._stored += self._unsynced
            self._unsynced = []

    def _keep(self) -> None:
        """Back into memory with what is not stored, unless it can be."""
        try:
            self._publish()
        except OSError:
            # What was not synced may be gone although it can be read: it is written anew elsewhere.
            self.backlog.extendleft(reversed(self._unsynced))
            if self._segment is not None:
                self._segment.cut_back(len(self._unsynced))
            self._unsynced = []

    def _writable(self) -> Segment:
        """The segment to append to; a full one is stored before the next begins."""
        segment = self._segment
        if segment is not None and not segment.sealed and segment.size < self._segment_bytes:
            return segment
        if segment is not None and (self._unsynced or not segment.sealed):
            self._publish()
            segment.sealed = True
        owner = self._owned()
        made = Segment.create(owner.new_segment())
        if self._settings.spool_fsync != "never":
            sync_folder(owner.path)
        self._opened(made)
        self._segment = made
        return made
