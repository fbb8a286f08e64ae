"""A disk that loses, when the power goes, whatever was not synced: file contents and names alike.

Worse than real file systems, which keep some of it: so what survives here survives there.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from tests.support.crashing_files import Crash

from ropewalk_sinks.parquet_files import Files


class Disk:
    """What of a folder is durable, by inode; `fsync` takes the place of the system's."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self._root = root.stat().st_ino
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._held: dict[int, int] = {}

    def fsync(self, descriptor: int) -> None:
        """What a file holds, or which names a folder has, is durable from now on."""
        inode, path = os.fstat(descriptor).st_ino, Path(f"/proc/self/fd/{descriptor}")
        self._hold(inode, path)
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._contents[inode] = path.read_bytes()
            return
        self._names[inode] = {entry.name: entry.inode() for entry in os.scandir(path)}
        for name, child in self._names[inode].items():
            self._hold(child, path / name)
            if (path / name).is_dir():
                self._names.setdefault(child, {})

    def _hold(self, inode: int, path: Path) -> None:
        """Keep it open, so that no later file gets the number of one that is gone."""
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_RDONLY)

    def lose_power(self, image: Path) -> None:
        """Lay what was durable into a new folder; this disk is used no more."""
        self._lay(self._root, image)
        for descriptor in self._held.values():
            os.close(descriptor)

    def _lay(self, inode: int, folder: Path) -> None:
        folder.mkdir()
        for name, child in self._names.get(inode, {}).items():
            if child in self._names:
                self._lay(child, folder / name)
            else:
                (folder / name).write_bytes(self._contents.get(child, b""))


class PoweredFiles(Files):
    """The real file system, until the power goes before change number `cut_at`."""

    def __init__(self, cut_at: int | None) -> None:
        self.steps = 0
        self._cut_at = cut_at

    def _then(self, change: Callable[[], None]) -> None:
        if self._cut_at is not None and self.steps >= self._cut_at:
            raise Crash
        change()
        self.steps += 1

    def create(self, path: Path, data: memoryview | bytes) -> None:
        self._then(lambda: Files.create(self, path, data))

    def link(self, source: Path, target: Path) -> None:
        self._then(lambda: Files.link(self, source, target))

    def rename(self, source: Path, target: Path) -> None:
        self._then(lambda: Files.rename(self, source, target))

    def sync(self, folder: Path) -> None:
        self._then(lambda: Files.sync(self, folder))

    def remove(self, path: Path) -> None:
        self._then(lambda: Files.remove(self, path))
