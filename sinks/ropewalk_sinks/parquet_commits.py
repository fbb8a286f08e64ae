"""The chain of commits of one partition: what was written, where each commit goes on.

A commit file is created once and never changes. Its name is the offset it goes on from, so the
names sort, and two owners who both went on from the same offset cannot both commit.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_layout import Layout, commit_name
from ropewalk_sinks.sink import TopicPartition


class CommittedFile(BaseModel):
    """One data file. `staged` is its name in the owner's staging folder, `path` below the root."""

    model_config = ConfigDict(frozen=True)

    staged: str
    path: str
    rows: int
    bytes: int
    sha256: str


class Commit(BaseModel):
    """Everything in ``[from_offset, next_offset)`` is in `files`, or needs no row."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    sink: str = "parquet"
    topic: str
    partition: int
    from_offset: int
    next_offset: int
    files: list[CommittedFile]


def commit_files(layout: Layout, at: TopicPartition) -> list[Path]:
    """The commit files of a partition, oldest first."""
    folder = layout.commits(at)
    return sorted(folder.glob("*.json")) if folder.is_dir() else []


def read_commit(path: Path) -> Commit:
    """A commit.

    Raises:
        StorageError: If the file is not what this code writes.
    """
    try:
        return Commit.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        message = f"the commit file {path} cannot be read ({error}): restore it from a backup"
        raise StorageError(message) from error


def check_chain(commits: Sequence[Commit], files: Sequence[Path]) -> None:
    """Hold that each commit goes on where the one before ended, under its own name.

    Raises:
        StorageError: Naming the commit file.
    """
    for commit, path in zip(commits, files, strict=True):
        if path.name != commit_name(commit.from_offset):
            message = f"the commit file {path} says it goes on from {commit.from_offset}"
            raise StorageError(message)
    for (before, after), path in zip(pairwise(commits), files[1:], strict=True):
        if after.from_offset != before.next_offset:
            message = (
                f"the chain of commits is broken at {path}: the one before ends at offset"
                f" {before.next_offset}. Restore the missing commit files from a backup"
            )
            raise StorageError(message)


def committed_files(layout: Layout) -> dict[str, CommittedFile]:
    """Every file that a commit names, by its path below the root.

    Raises:
        StorageError: If a commit file cannot be read.
    """
    return {
        file.path: file
        for at in committed_partitions(layout)
        for path in commit_files(layout, at)
        for file in read_commit(path).files
    }


def committed_partitions(layout: Layout) -> Iterator[TopicPartition]:
    """Every partition that has a folder of commits, sorted."""
    for folder in sorted(layout.all_commits.glob("*/*")):
        yield TopicPartition(folder.parent.name, int(folder.name))
