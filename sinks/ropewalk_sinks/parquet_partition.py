"""One partition as its owner writes it: stage files, commit them at once, move them in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

from ropewalk_schemas.encoding import to_json
from ropewalk_sinks.errors import FencedError, SinkError, StorageError
from ropewalk_sinks.parquet_commits import Commit, CommittedFile
from ropewalk_sinks.parquet_files import Files, explained
from ropewalk_sinks.parquet_layout import DataPlace, Layout, commit_name
from ropewalk_sinks.parquet_recovery import move_in, take_over
from ropewalk_sinks.sink import TopicPartition


class OwnedPartition:
    """The right to append to one partition, from construction until another owner takes over.

    Args:
        layout: Where things lie.
        files: The file system.
        at: The partition.
        owner: A name no other owner has, ever.

    Raises:
        StorageError: If what earlier owners left cannot be completed.
    """

    def __init__(self, layout: Layout, files: Files, at: TopicPartition, *, owner: str) -> None:
        self.at = at
        self._layout = layout
        self._files = files
        self._staging = layout.staging(at) / owner
        self._place = f"{at.topic}/{at.partition}"
        with explained(f"take over {self._place}"):
            self.next_offset = take_over(layout, files, at, own=self._staging)

    def stage(self, place: DataPlace, data: memoryview, *, n_rows: int) -> CommittedFile:
        """Write a file where no reader sees it.

        Raises:
            FencedError: If another owner took the partition over.
            StorageError: If the disk refuses.
        """
        with self._writing():
            self._files.create(self._staging / place.staged, data)
            # Now, so that a full disk is found before the commit.
            self._files.make_folder((self._layout.root / place.path).parent)
        return CommittedFile(
            staged=place.staged,
            path=place.path,
            rows=n_rows,
            bytes=len(data),
            sha256=sha256(data).hexdigest(),
        )

    def commit(self, next_offset: int, staged: Sequence[CommittedFile]) -> None:
        """Make the staged files and the next offset true, all at once, then show them to readers.

        Raises:
            FencedError: If another owner took the partition over.
            StorageError: If the disk refuses. If the commit was made by then, the next claim
                completes it.
        """
        commit = Commit(
            topic=self.at.topic,
            partition=self.at.partition,
            from_offset=self.next_offset,
            next_offset=next_offset,
            files=list(staged),
        )
        name = commit_name(commit.from_offset)
        folder = self._layout.commits(self.at)
        with self._writing():
            self._files.create(self._staging / name, to_json(commit.model_dump()))
            self._files.sync(self._staging)
            self._files.link(self._staging / name, folder / name)
        try:
            with explained(f"complete the commit {folder / name}"):
                self._files.sync(folder)
                move_in(self._layout, self._files, commit, staging=[self._staging])
                self._files.remove(self._staging / name)
        except StorageError as error:
            if self._staging.is_dir():
                raise
            message = f"another process took {self._place} over and completes the last commit"
            raise FencedError(message) from error
        self.next_offset = next_offset

    def release(self) -> None:
        """Give the partition up; what is staged goes."""
        self._files.remove_folder(self._staging)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What may fail before the commit exists: then nothing of it stays."""
        try:
            with explained(f"write to {self._staging}"):
                try:
                    yield
                except FileExistsError as error:
                    raise FencedError(self._fenced()) from error
                except FileNotFoundError as error:
                    if self._staging.is_dir():
                        raise
                    raise FencedError(self._fenced()) from error
        except SinkError:
            self.release()
            raise

    def _fenced(self) -> str:
        return (
            f"another process took {self._place} over and went on from offset {self.next_offset};"
            " nothing of this batch was written"
        )
