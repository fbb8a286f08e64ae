"""Whether the Parquet datasets are what their commits say, file by file."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_commits import (
    check_chain,
    commit_files,
    committed_partitions,
    read_commit,
)
from ropewalk_sinks.parquet_layout import DATASETS, Layout
from ropewalk_sinks.parquet_recovery import check_content
from ropewalk_sinks.sink import TopicPartition


class FileProblem(NamedTuple):
    """A file that is not as it should be; `what` is a sentence for a person."""

    path: Path
    what: str


def check_files(path: Path) -> Iterator[FileProblem]:
    """What is wrong with the files below the Parquet path; nothing when all is well.

    Reads every byte. A running sink does not disturb it, unless a commit is not moved in yet.
    """
    layout = Layout(path)
    # First what is there, then the commits: no file is in a dataset before its commit exists.
    present = [file for dataset in DATASETS for file in layout.data_files(dataset)]
    committed: set[Path] = set()
    for at in committed_partitions(layout):
        yield from _check_partition(layout, at, committed)
    for file in present:
        if file not in committed:
            yield FileProblem(file, "no commit names this file: the sink did not write it")


def _check_partition(
    layout: Layout, at: TopicPartition, committed: set[Path]
) -> Iterator[FileProblem]:
    paths = commit_files(layout, at)
    try:
        commits = [read_commit(path) for path in paths]
        check_chain(commits, paths)
    except StorageError as error:
        yield FileProblem(layout.commits(at), str(error))
        return
    for commit in commits:
        for file in commit.files:
            final = layout.root / file.path
            committed.add(final)
            if not final.exists():
                yield FileProblem(final, _where(layout, at, file.staged))
                continue
            try:
                check_content(final, file)
            except StorageError as error:
                yield FileProblem(final, str(error))


def _where(layout: Layout, at: TopicPartition, staged: str) -> str:
    waiting = any(layout.staging(at).glob(f"*/{staged}"))
    if waiting:
        return "committed, but not moved in yet: the sink does so when it starts"
    return "committed, but missing: restore it from a backup"
