"""How a partition changes hands: shut the earlier owner out, then finish or undo its work.

Everything an owner writes before its commit exists goes into its own staging folder, the text of
the commit too. Renaming that folder is therefore a fence: after it the earlier owner can neither
stage nor commit, and the list of commits is final until the new owner adds to it.

Only the newest commit can have files that are not in place: an owner moves the files of one commit
in before it writes the next, and a claim does so before it returns. So a claim completes the newest
commit (with its checksums) and holds that the last few form a chain and their files are there with
their sizes. `parquet_checks` does the same for all of them.
"""

from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_commits import (
    Commit,
    CommittedFile,
    check_chain,
    commit_files,
    read_commit,
)
from ropewalk_sinks.parquet_files import Files
from ropewalk_sinks.parquet_layout import FENCED, Layout
from ropewalk_sinks.sink import TopicPartition

CHECKED_COMMITS = 8
"""How many of the newest commits a claim reads: its time must not grow with the chain."""


def take_over(layout: Layout, files: Files, at: TopicPartition, *, own: Path) -> int:
    """Make `own` the only staging folder that can be written from, and give the next offset.

    Raises:
        StorageError: If the chain is broken or a committed file is missing, naming it.
    """
    files.make_folder(own)
    files.make_folder(layout.commits(at))
    fenced = [_fence(files, folder) for folder in own.parent.iterdir() if folder != own]
    paths = commit_files(layout, at)
    newest = paths[-CHECKED_COMMITS:]
    commits = [read_commit(path) for path in newest]
    check_chain(commits, newest)
    if commits:
        move_in(layout, files, commits[-1], staging=fenced)
    for commit in commits[:-1]:
        _check_in_place(layout, commit)
    for folder in fenced:
        files.remove_folder(folder)
    return commits[-1].next_offset if commits else 0


def _fence(files: Files, folder: Path) -> Path:
    if folder.name.endswith(FENCED):
        return folder
    fenced = folder.with_name(folder.name + FENCED)
    with suppress(FileNotFoundError):  # released just now, or fenced by another claim
        files.rename(folder, fenced)
    return fenced


def move_in(layout: Layout, files: Files, commit: Commit, *, staging: Iterable[Path]) -> None:
    """Move what is not in place from the staging folders into the datasets.

    Raises:
        StorageError: If a file is nowhere or damaged, naming it.
    """
    folders = tuple(staging)
    for file in commit.files:
        final = layout.root / file.path
        if not final.exists():
            staged = next((f / file.staged for f in folders if (f / file.staged).exists()), None)
            if staged is None:
                if final.exists():  # a claim of the same partition moved it in just now
                    continue
                raise StorageError(_lost(final, commit))
            check_content(staged, file)
            files.make_folder(final.parent)
            files.rename(staged, final)
    for folder in sorted({(layout.root / file.path).parent for file in commit.files}):
        files.sync(folder)


def _check_in_place(layout: Layout, commit: Commit) -> None:
    for file in commit.files:
        final = layout.root / file.path
        if not final.exists():
            raise StorageError(_lost(final, commit))
        if final.stat().st_size != file.bytes:
            raise StorageError(_damaged(final, file))


def check_content(path: Path, file: CommittedFile) -> None:
    """Hold that a file is what its commit says, byte for byte.

    Raises:
        StorageError: Naming the file.
    """
    with path.open("rb") as data:
        digest = sha256()
        while block := data.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != file.sha256:
        raise StorageError(_damaged(path, file))


def _lost(path: Path, commit: Commit) -> str:
    return (
        f"the committed file {path} is missing (offsets {commit.from_offset} to"
        f" {commit.next_offset - 1} of {commit.topic}/{commit.partition}): restore it from a backup"
    )


def _damaged(path: Path, file: CommittedFile) -> str:
    return (
        f"the file {path} is not what was committed ({file.bytes} bytes, sha256 {file.sha256}):"
        " restore it from a backup"
    )
