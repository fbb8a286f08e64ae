"""What the Parquet sink does to the file system; each call is one step that a crash may follow."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ropewalk_schemas.failpoints import reach
from ropewalk_sinks.errors import StorageError

_ADVICE = {
    errno.ENOSPC: "The disk is full: free space, then start the sink again",
    errno.EDQUOT: "The disk quota is used up: raise it, then start the sink again",
    errno.EROFS: "The file system is read-only: mount it writable, or set ROPEWALK_PARQUET_PATH",
    errno.EACCES: "Give the sink's user write access, or set ROPEWALK_PARQUET_PATH",
    errno.EPERM: "Give the sink's user write access, or set ROPEWALK_PARQUET_PATH",
    errno.EEXIST: "A file is where a folder must be: move it, or set ROPEWALK_PARQUET_PATH",
    errno.ENOTDIR: "A file is where a folder must be: move it, or set ROPEWALK_PARQUET_PATH",
}


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn an error of the system into one line that a person can act on.

    Raises:
        StorageError: For any OSError inside.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Start the sink again when the cause is gone")
        place = f" ({error.filename})" if error.filename else ""
        message = f"could not {doing}: {error.strerror or error}{place}. {advice}"
        raise StorageError(message) from error


class Files:
    """The local file system. Each call raises OSError as the system does."""

    def create(self, path: Path, data: memoryview | bytes) -> None:
        """Write a new file and make its content durable; its name is not yet (`sync`)."""
        reach("parquet.create.before")
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        reach("parquet.create.after")

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, at once and only if that name is free."""
        reach("parquet.link.before")
        os.link(source, target)
        reach("parquet.link.after")

    def rename(self, source: Path, target: Path) -> None:
        """Rename at once."""
        reach("parquet.rename.before")
        source.rename(target)
        reach("parquet.rename.after")

    def sync(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        reach("parquet.sync.after")

    def sync_file(self, path: Path) -> None:
        """Make the content of a file durable; its name is not yet (`sync`)."""
        with path.open("rb") as written:
            os.fsync(written.fileno())

    def make_folder(self, folder: Path) -> None:
        """Make a folder and those above it; all durable."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        self.sync(folder.parent)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and what is in it, as far as it goes."""
        shutil.rmtree(folder, ignore_errors=True)
