"""One file of records: appended to by its owner, read once from front to end, then deleted."""

import errno
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Self

from ropewalk_producers.spool.files import close_file, open_file, write_all
from ropewalk_producers.spool.format import (
    HEADER_BYTES,
    MARK_AT,
    Damage,
    Found,
    encode_mark,
    header,
    mark_of,
    scan,
)

SUFFIX, DAMAGED_SUFFIX = ".spool", ".damaged"
_CHUNK_BYTES = 1024 * 1024


class Segment:
    """A segment as one thread uses it.

    Attributes:
        own: Whether this process writes it.
        sealed: Nothing is appended any more.
        read: Up to where `take` has come.
        owed: Records taken and not settled yet; who takes counts them.
        n_written: Records appended by this process.
        n_taken: Whole records that `take` gave.
        torn: Bytes cut from the end, of a record that was not written whole.
        unreadable: Bytes that are no records although they should be; their file is kept.
    """

    def __init__(self, path: Path, fd: int | None, *, own: bool, mark: int, size: int) -> None:
        self.path = path
        self.own, self.sealed = own, not own
        self.read = mark
        self.owed = self.n_written = self.n_taken = self.torn = self.unreadable = 0
        self._fd = fd
        self._marked = mark
        self._written = self._end = size
        self._ready: deque[Found | Damage] = deque()

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new one, to append to.

        Raises:
            OSError: If the disk cannot; then there is none.
        """
        fd = open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            write_all(fd, header(), 0)
        except OSError:
            close_file(fd)
            with suppress(OSError):
                path.unlink()
            raise
        return cls(path, fd, own=True, mark=HEADER_BYTES, size=HEADER_BYTES)

    @classmethod
    def left_behind(cls, path: Path) -> Self:
        """One that a process left, to be read from its mark on.

        Raises:
            OSError: If it cannot be read.
        """
        with path.open("rb") as file:
            mark = mark_of(file.read(HEADER_BYTES))
        size = path.stat().st_size
        segment = cls(path, None, own=False, mark=mark or HEADER_BYTES, size=size)
        if mark is None:
            segment.read = 0
            segment._lose(readable=size < HEADER_BYTES or not any(path.read_bytes()))
        return segment

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._written

    @property
    def exhausted(self) -> bool:
        """Whether `take` has given all that will ever be in it."""
        return self.sealed and self.read >= self._end and not self._ready

    def append(self, data: bytes, n: int) -> None:
        """Write n records, not yet to be taken.

        Raises:
            OSError: If the disk cannot; then nothing of it is written.
        """
        try:
            write_all(self._opened(), data, self._written)
        except OSError:
            self._cut()
            raise
        self._written += len(data)
        self.n_written += n

    def publish(self, *, durable: bool) -> None:
        """What is written may be taken; if asked, once it is on the disk.

        Raises:
            OSError: If the disk cannot; see `cut_back`.
        """
        if self.sealed:
            raise OSError(errno.EIO, "it gives back other bytes than were written")
        if durable:
            os.fsync(self._opened())
        self._end = self._written

    def cut_back(self, n: int) -> None:
        """Forget the n records that were appended and not published, and take no more."""
        self.sealed = True
        self.n_written -= n
        self._written = self._end
        self._cut()

    def take(self) -> Found | Damage | None:
        """The next record, or a damaged one; None when there is none now."""
        if not self._ready and self.read < self._end:
            self._fill()
        if not self._ready:
            return None
        found = self._ready.popleft()
        self.read = found.end
        if type(found) is Damage:
            self.unreadable += found.end - found.begin
        else:
            self.n_taken += 1
        if self.exhausted:
            self.close()  # a long outage leaves more segments than a process may have open
        return found

    def mark(self, place: int) -> None:
        """Keep that every record before byte `place` is settled; losing the mark is harmless."""
        if place == self._marked:
            return
        self._marked = place
        with suppress(OSError):
            write_all(self._opened(), encode_mark(place), MARK_AT)
        if self.exhausted:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            close_file(self._fd)
            self._fd = None

    def remove(self) -> None:
        """Delete the file, or keep it under another name when there is something in it to mend.

        Raises:
            OSError: If it cannot be done.
        """
        self.close()
        if self.unreadable:
            self.path.rename(self.path.with_suffix(DAMAGED_SUFFIX))
        else:
            self.path.unlink(missing_ok=True)

    def _cut(self) -> None:
        """Leave nothing behind what is written; if that fails, no more is written behind it."""
        try:
            os.ftruncate(self._opened(), self._written)
        except OSError:
            self.sealed = True

    def _opened(self) -> int:
        if self._fd is None:
            self._fd = open_file(self.path, os.O_RDWR)
        return self._fd

    def _fill(self) -> None:
        want = _CHUNK_BYTES
        left = self._end - self.read
        while True:
            try:
                data = os.pread(self._opened(), min(want, left), self.read)
            except OSError:
                return self._lose(readable=False)
            got = scan(data, self.read)
            if got.found:
                return self._ready.extend(got.found)
            if not got.readable:
                return self._lose(readable=False)
            if want >= left:
                return self._lose(readable=True)
            want *= 2

    def _lose(self, *, readable: bool) -> None:
        """Read no further: the rest was not written whole, or cannot be told."""
        rest = self._end - self.read
        self.sealed = True
        self._end = self._written = self.read
        if readable and not self.own:
            self.torn = rest
            with suppress(OSError):
                os.ftruncate(self._opened(), self.read)
        else:
            self.unreadable += rest
