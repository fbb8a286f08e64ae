"""How a partition changes hands: shut the earlier owner out, then finish or undo its work.

Everything an owner writes before its commit exists goes into its own staging folder, the text of
the commit too. Renaming that folder is therefore a fence: after it the earlier owner can neither
stage nor commit, and the list of commits is final until the new owner adds to it.

Only the newest commit can have files that are not in place: an owner moves the files of one commit
in before it writes the next, and a claim does so before it returns. So a claim completes the newest
commit (with its checksums) and holds that the last few form a chain and their files are there with
their sizes, as committed or as rewritten since. `parquet_checks` does the same for all of them.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_commits import (
    Commit,
    CommittedFile,
    check_chain,
    commit_files,
    committed_partitions,
    read_commit,
)
from ropewalk_sinks.parquet_files import Files
from ropewalk_sinks.parquet_layout import FENCED, Layout
from ropewalk_sinks.parquet_rewritten import Content, Record, digest_of, read_record
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
    rewritten = read_record(layout)
    if commits:
        move_in(layout, files, commits[-1], staging=fenced, rewritten=rewritten)
    for commit in commits:
        _check_in_place(layout, commit, rewritten)
    for folder in fenced:
        files.remove_folder(folder)
    return commits[-1].next_offset if commits else 0


def finish_commits(layout: Layout, files: Files) -> None:
    """Do for all partitions what a claim would; only under the exclusive lock.

    Afterwards every committed file is in its dataset, and nothing lies in a staging folder. The
    folders stay, so that their owners go on.

    Raises:
        StorageError: If a file is nowhere or damaged, naming it.
    """
    rewritten = read_record(layout)
    for at in committed_partitions(layout):
        for path in commit_files(layout, at)[-1:]:
            owners = [*layout.staging(at).iterdir()] if layout.staging(at).is_dir() else []
            move_in(layout, files, read_commit(path), staging=owners, rewritten=rewritten)
    for left in layout.all_staging.rglob("*"):
        if left.is_file():
            files.remove(left)


def _fence(files: Files, folder: Path) -> Path:
    if folder.name.endswith(FENCED):
        return folder
    fenced = folder.with_name(folder.name + FENCED)
    with suppress(FileNotFoundError):  # released just now, or fenced by another claim
        files.rename(folder, fenced)
    return fenced


def move_in(
    layout: Layout,
    files: Files,
    commit: Commit,
    *,
    staging: Iterable[Path],
    rewritten: Record | None = None,
) -> None:
    """Move what is not in place from the staging folders into the datasets.

    What was rewritten since had been moved in, and may be gone by now.

    Raises:
        StorageError: If a file is nowhere or damaged, naming it.
    """
    folders = tuple(staging)
    known = rewritten or {}
    for file in commit.files:
        final = layout.root / file.path
        if file.path not in known and not final.exists():
            staged = next((f / file.staged for f in folders if (f / file.staged).exists()), None)
            if staged is None:
                if final.exists():  # a claim of the same partition moved it in just now
                    continue
                raise StorageError(_lost(final, commit))
            check_content(staged, allowed(file, {}))
            files.make_folder(final.parent)
            files.rename(staged, final)
    for folder in sorted({(layout.root / file.path).parent for file in commit.files}):
        if folder.is_dir():  # else a folder exchanged for one that has no such day
            files.sync(folder)


def _check_in_place(layout: Layout, commit: Commit, rewritten: Record) -> None:
    for file in commit.files:
        final = layout.root / file.path
        wanted = allowed(file, rewritten)
        if not final.exists():
            if None not in wanted:
                raise StorageError(_lost(final, commit))
        elif all(content is None or final.stat().st_size != content.bytes for content in wanted):
            raise StorageError(_damaged(final, wanted))


def allowed(file: CommittedFile, rewritten: Record) -> tuple[Content | None, ...]:
    """What a committed file may be by now; None: it may be gone.

    Raises:
        StorageError: If the record of what was rewritten is about another content.
    """
    entry = rewritten.get(file.path)
    if entry is None:
        return (Content(rows=file.rows, bytes=file.bytes, sha256=file.sha256),)
    if entry.committed != file.sha256:
        message = (
            f"{file.path} is recorded as rewritten from {entry.committed}, but committed was"
            f" {file.sha256}: restore `_ropewalk` from a backup"
        )
        raise StorageError(message)
    return entry.allowed


def check_content(path: Path, wanted: Iterable[Content | None]) -> None:
    """Hold that a file that is there is what it may be, byte for byte.

    Raises:
        StorageError: Naming the file.
    """
    contents = tuple(wanted)
    digest = digest_of(path)
    if all(content is None or content.sha256 != digest for content in contents):
        raise StorageError(_damaged(path, contents))


def _lost(path: Path, commit: Commit) -> str:
    return (
        f"the committed file {path} is missing (offsets {commit.from_offset} to"
        f" {commit.next_offset - 1} of {commit.topic}/{commit.partition}): restore it from a backup"
    )


def _damaged(path: Path, wanted: Iterable[Content | None]) -> str:
    contents = [f"{content.bytes} bytes, sha256 {content.sha256}" for content in wanted if content]
    what = " or ".join(contents) or "gone"
    return f"the file {path} is not what was committed ({what}): restore it from a backup"
