"""Whether the Parquet datasets are what their commits say, or were rewritten to, file by file."""

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
from ropewalk_sinks.parquet_recovery import allowed, check_content
from ropewalk_sinks.parquet_rewritten import Record, read_record
from ropewalk_sinks.sink import TopicPartition


class FileProblem(NamedTuple):
    """A file that is not as it should be; `what` is a sentence for a person."""

    path: Path
    what: str


def check_files(path: Path) -> list[FileProblem]:
    """What is wrong with the files below the Parquet path; nothing when all is well.

    Reads every byte. A running sink does not disturb it, unless a commit is not moved in yet; when
    files are rewritten meanwhile it looks once more.
    """
    layout = Layout(path)
    try:
        rewritten = read_record(layout)
        while problems := list(_problems(layout, rewritten)):
            before, rewritten = rewritten, read_record(layout)
            if rewritten == before:
                return problems
    except StorageError as error:
        return [FileProblem(layout.root, str(error))]
    return []


def _problems(layout: Layout, rewritten: Record) -> Iterator[FileProblem]:
    # First what is there, then the commits: no file is in a dataset before its commit exists.
    present = [file for dataset in DATASETS for file in layout.data_files(dataset)]
    committed: set[str] = set()
    for at in committed_partitions(layout):
        yield from _check_partition(layout, at, committed, rewritten)
    yield from _check_added(layout, rewritten, committed)
    for file in present:
        path = file.relative_to(layout.root).as_posix()
        if path not in committed and path not in rewritten:
            yield FileProblem(file, "no commit names this file: the sink did not write it")


def _check_partition(
    layout: Layout, at: TopicPartition, committed: set[str], rewritten: Record
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
            committed.add(file.path)
            final = layout.root / file.path
            try:
                wanted = allowed(file, rewritten)
                if final.exists():
                    check_content(final, wanted)
                elif None not in wanted:
                    yield FileProblem(final, _where(layout, at, file.staged))
            except StorageError as error:
                yield FileProblem(final, str(error))


def _check_added(layout: Layout, rewritten: Record, committed: set[str]) -> Iterator[FileProblem]:
    """The files that the record of what was rewritten names, and no commit."""
    for path, entry in rewritten.items():
        final = layout.root / path
        if path in committed:
            continue
        if entry.committed is not None:
            yield FileProblem(final, "recorded as rewritten, but its commit is missing")
        elif final.exists():
            try:
                check_content(final, entry.allowed)
            except StorageError as error:
                yield FileProblem(final, str(error))
        elif not entry.may_be_absent:
            yield FileProblem(final, "recorded, but missing: restore it from a backup")


def _where(layout: Layout, at: TopicPartition, staged: str) -> str:
    waiting = any(layout.staging(at).glob(f"*/{staged}"))
    if waiting:
        return "committed, but not moved in yet: the sink does so when it starts"
    return "committed, but missing: restore it from a backup"
