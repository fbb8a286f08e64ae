"""File descriptors that no forked child keeps: it would hold locks, and disks full."""

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock

_FILE_MODE = 0o600
_forking = Lock()
_descriptors: set[int] = set()


def open_file(path: Path, flags: int) -> int:
    """A descriptor, to be closed with `close_file`.

    Raises:
        OSError: As `os.open`.
    """
    with _forking:
        fd = os.open(path, flags | os.O_CLOEXEC, _FILE_MODE)
        _descriptors.add(fd)
        return fd


def close_file(fd: int) -> None:
    """Close a descriptor of `open_file`."""
    with _forking:
        _descriptors.discard(fd)
        with suppress(OSError):  # told before, or of no consequence
            os.close(fd)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a crash of the machine.

    Raises:
        OSError: If the disk cannot.
    """
    fd = open_file(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        close_file(fd)


def write_all(fd: int, data: bytes, at: int) -> None:
    """Write all of `data` at byte `at`.

    Raises:
        OSError: If the disk cannot, or is full; some of it may be written then.
    """
    view = memoryview(data)
    while view:
        n = os.pwrite(fd, view, at)
        view, at = view[n:], at + n


def _in_child() -> None:
    for fd in _descriptors:
        with suppress(OSError):
            os.close(fd)
    _descriptors.clear()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_in_child
    )
