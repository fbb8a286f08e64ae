"""One `up` or `down` at a time per home."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ropewalk_deploy.stack.errors import HomeError
from ropewalk_deploy.stack.processes import Progress


@contextmanager
def exclusive(lock_file: Path, progress: Progress) -> Iterator[None]:
    """Hold `lock_file`; wait for whoever holds it now, and say so.

    The system gives the lock up with the process, so a killed `up` leaves nothing to clean.

    Raises:
        HomeError: If the file cannot be opened for writing.
    """
    try:
        # Append, not write: the file has no content, but it is not ours to truncate.
        handle = lock_file.open("a")
    except OSError as error:
        msg = (
            f"{lock_file} cannot be written ({error.strerror}). Run as the user who owns "
            f"{lock_file.parent}, or set ROPEWALK_HOME to a directory of your own."
        )
        raise HomeError(msg) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"Another ropewalk command is at work in {lock_file.parent}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
