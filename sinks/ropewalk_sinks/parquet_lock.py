"""Who may change what lies under the Parquet path: sinks side by side, a rewriter alone.

    _ropewalk/lock/sinks      held shared around a claim and a flush, exclusively by a rewriter
    _ropewalk/lock/gate       held by whoever waits for it, so that sinks cannot starve a rewriter
    _ropewalk/lock/rewriter   one rewriter at a time, also while it only prepares
    _ropewalk/lock/changes    how often it was held exclusively

The system gives a lock back when its holder dies, however it dies.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_files import Files, explained
from ropewalk_sinks.parquet_layout import Layout

WAIT_S = 120.0
_POLL_S = 0.02


class RootLock:
    """The locks of one Parquet path.

    Args:
        layout: Where things lie.
        files: The file system.
        wait_s: How long to wait for whoever holds a lock.
    """

    def __init__(self, layout: Layout, files: Files, *, wait_s: float = WAIT_S) -> None:
        self._folder = layout.locks
        self._files = files
        self._wait_s = wait_s

    @contextmanager
    def shared(self) -> Iterator[int]:
        """Hold what a sink needs to claim or flush; gives the number of changes so far.

        When the number is another than at the sink's last look, what it knows of the datasets and
        of erasures is out of date.

        Raises:
            StorageError: If a rewriter holds it for too long.
        """
        with self._held("gate", fcntl.LOCK_SH):
            descriptor = self._take("sinks", fcntl.LOCK_SH)
        try:
            yield self._changes()
        finally:
            os.close(descriptor)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep all sinks out; counts as a change from the beginning, whatever comes of it.

        Raises:
            StorageError: If a sink holds it for too long.
        """
        with self._held("gate", fcntl.LOCK_EX), self._held("sinks", fcntl.LOCK_EX):
            self._count_change()
            yield

    @contextmanager
    def rewriter(self) -> Iterator[None]:
        """Be the only one who rewrites; `exclusive` is taken inside, for as short as can be.

        Raises:
            StorageError: If another rewriter is at work for too long.
        """
        with self._held("rewriter", fcntl.LOCK_EX):
            yield

    @contextmanager
    def _held(self, name: str, kind: int) -> Iterator[None]:
        descriptor = self._take(name, kind)
        try:
            yield
        finally:
            os.close(descriptor)

    def _take(self, name: str, kind: int) -> int:
        """The descriptor that holds a lock until it is closed."""
        path = self._folder / name
        with explained(f"lock {path}"):
            self._files.make_folder(self._folder)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        until = time.monotonic() + self._wait_s
        try:
            while not (locked := _locks(descriptor, kind)) and time.monotonic() < until:
                time.sleep(_POLL_S)
        except BaseException:
            os.close(descriptor)
            raise
        if not locked:
            os.close(descriptor)
            raise StorageError(self._busy(path))
        return descriptor

    def _busy(self, path: Path) -> str:
        return (
            f"another process holds {path} for more than {self._wait_s:.0f} s: a sink that is"
            " frozen, or `ropewalk erase` or `ropewalk promote` at work. `fuser -v` names it; end"
            " it if it does not go on, then start this again"
        )

    def _changes(self) -> int:
        try:
            return int((self._folder / "changes").read_bytes())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            path = self._folder / "changes"
            message = f"the file {path} holds no number: remove it, then restart all Parquet sinks"
            raise StorageError(message) from error

    def _count_change(self) -> None:
        path, new = self._folder / "changes", self._folder / "changes.new"
        with explained(f"write {path}"):
            new.write_bytes(b"%d" % (self._changes() + 1))
            new.replace(path)


def _locks(descriptor: int, kind: int) -> bool:
    # Not waiting in the system call: a process that is asked to end must get to hear of it.
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
