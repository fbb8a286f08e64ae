"""A file system on which the process dies, or is overtaken, at a chosen step."""

from collections.abc import Callable
from pathlib import Path

from ropewalk_sinks.parquet_files import Files


class Crash(BaseException):
    """The process is gone: no `except Exception` and no clean-up of a living process runs."""


class SteppedFiles(Files):
    """Calls `at_step` with the number of each change, from 0, before it is made.

    Nothing works any more after a `Crash`. A crash in the middle of writing leaves half a file.
    Nothing is synced: a process that dies loses nothing it wrote, unlike a machine.
    """

    def __init__(self, at_step: Callable[[int], None]) -> None:
        self.steps = 0
        self._at_step = at_step
        self._dead = False

    def _step(self) -> None:
        if self._dead:
            raise Crash
        try:
            self._at_step(self.steps)
        except Crash:
            self._dead = True
            raise
        finally:
            self.steps += 1

    def create(self, path: Path, data: memoryview | bytes) -> None:
        try:
            self._step()
        except Crash:
            path.write_bytes(data[: len(data) // 2])
            raise
        with path.open("xb") as file:
            file.write(data)

    def link(self, source: Path, target: Path) -> None:
        self._step()
        super().link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def sync(self, folder: Path) -> None:
        self._step()

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def remove_folder(self, folder: Path) -> None:
        self._step()
        super().remove_folder(folder)


def crash_at(step: int) -> Callable[[int], None]:
    """A process that dies before it makes change number `step`."""

    def at_step(number: int) -> None:
        if number == step:
            raise Crash

    return at_step
