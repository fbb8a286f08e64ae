"""The folder that processes share: a folder per topic, in it one per process, held by a lock.

The lock dies with its process, whatever killed it, so a folder whose lock is free is a dead one's.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from time import time
from typing import Self

from ropewalk_producers.spool.files import close_file, open_file, sync_folder
from ropewalk_producers.spool.segment import DAMAGED_SUFFIX, SUFFIX

_LOCK = "lock"
_ATTEMPTS = 5


class Owner:
    """A process's own folder, while its lock is held here."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._n_segments = 0

    @classmethod
    def create(cls, topic_folder: Path) -> Self:
        """A new folder.

        Raises:
            OSError: If the disk cannot.
        """
        topic_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for _ in range(_ATTEMPTS):
            path = topic_folder / f"{time() * 1000:013.0f}-{os.getpid()}-{token_hex(4)}"
            path.mkdir(mode=0o700)
            # Until it is locked, another process may take it for a dead one's and remove it.
            with suppress(FileNotFoundError):
                lock = _locked(path, os.O_RDWR | os.O_CREAT)
                if lock is not None:
                    sync_folder(topic_folder)
                    return cls(path, lock)
        message = f"{topic_folder}: other processes remove new folders at once"
        raise OSError(message)

    @classmethod
    def claim(cls, path: Path) -> Self | None:
        """A dead process's folder; None when the process lives, or another has claimed it."""
        may_create = os.O_CREAT if segments_in(path) else 0
        try:
            lock = _locked(path, os.O_RDWR | may_create)
        except FileNotFoundError:
            with suppress(OSError):
                path.rmdir()  # its process died while making or removing it
            return None
        except OSError:
            return None  # another user's
        return None if lock is None else cls(path, lock)

    def new_segment(self) -> Path:
        """Where the next segment goes."""
        self._n_segments += 1
        return self.path / f"{self._n_segments:08}{SUFFIX}"

    def release(self) -> None:
        """Let go of the lock, and of the folder when nothing is left in it."""
        with suppress(OSError):
            if [entry.name for entry in self.path.iterdir()] == [_LOCK]:
                (self.path / _LOCK).unlink()
                self.path.rmdir()
        close_file(self._lock)


def folders_in(folder: Path) -> list[Path]:
    """The topics in a spool, or the processes of a topic, oldest first; none where none is."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def segments_in(owner: Path, *, damaged: bool = False) -> list[Path]:
    """A process's segments, in the order they were written; or those kept as damaged."""
    return sorted(owner.glob(f"*{DAMAGED_SUFFIX if damaged else SUFFIX}"))


def is_living(owner: Path) -> bool:
    """Whether a process holds the lock: the one that wrote there, or one that drains it."""
    try:
        lock = _locked(owner, os.O_RDWR, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # another user's: it cannot be told
    if lock is None:
        return True
    close_file(lock)
    return False


def pid_of(owner: Path) -> int:
    """Whose folder it is; 0 when its name does not say."""
    _, _, rest = owner.name.partition("-")
    pid = rest.partition("-")[0]
    return int(pid) if pid.isdecimal() else 0


def bytes_in(folder: Path) -> int:
    """What all files below take; those that vanish meanwhile take nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(Path(where, name)).st_size
    return total


def _locked(owner: Path, flags: int, kind: int = fcntl.LOCK_EX) -> int | None:
    """The lock of a folder that is there; None when another process has it."""
    lock = open_file(owner / _LOCK, flags)
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(owner / _LOCK)):
            return lock
    except BlockingIOError:
        close_file(lock)
        return None
    except OSError:
        close_file(lock)
        raise
    close_file(lock)
    raise FileNotFoundError(owner)
