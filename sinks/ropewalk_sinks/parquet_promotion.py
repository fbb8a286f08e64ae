"""Puts a generation's trajectories in the place of those that readers of Parquet see, all at once.

A whole new folder `trajectories` is prepared beside: hard links to the files that hold none of the
trajectories, copies of the others without them, and the generation's files. Then the two folders
are exchanged. What was replaced becomes the files of a generation itself.

A reader first lists files and then opens them. So that it never mixes the two, a file that differs
has another name afterwards: who listed it before and opens it after does not find it, and reads
again. For the same reason every file of a day that gets files of the generation has another name.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ropewalk_schemas.failpoints import reach
from ropewalk_sinks.exchange import exchange
from ropewalk_sinks.parquet_commits import committed_files
from ropewalk_sinks.parquet_files import Files, explained
from ropewalk_sinks.parquet_layout import Layout, generation_root
from ropewalk_sinks.parquet_lock import RootLock
from ropewalk_sinks.parquet_reads import rows
from ropewalk_sinks.parquet_recovery import finish_commits
from ropewalk_sinks.parquet_rewrite import Doomed, all_but, copy_without, of_trajectories
from ropewalk_sinks.parquet_rewritten import (
    Content,
    Rewritten,
    digest_of,
    exchange_recorded,
    read_record,
    settled,
    write_record,
)

DATASET = "trajectories"
LESS = "less"
"""Marks a file that is otherwise one without the trajectories of a generation."""


class Switch:
    """One promotion, in Parquet.

    Args:
        root: The Parquet path.
        incoming: The generation that comes.
        displaced: The generation that holds what goes.
        ids: The trajectories it is about.
        keep: Whether `displaced` is yet to get what goes; else it was built, and has its files.
        files: The file system.
    """

    def __init__(
        self,
        root: Path,
        *,
        incoming: str,
        displaced: str,
        ids: Collection[str],
        keep: bool,
        files: Files | None = None,
    ) -> None:
        self._live = Layout(root)
        self._incoming, self._ids, self._keep = incoming, frozenset(ids), keep
        self._from = Layout(generation_root(root, incoming))
        self._to = Layout(generation_root(root, displaced))
        self._prepared = Layout(self._live.rewriting / "promotion")  # an erasure empties it too
        self._mark = self._to.root / "_ropewalk" / "exchanging"
        self._files = files or Files()
        self._why, self._at = f"promotion of {incoming}", datetime.now(UTC).isoformat()

    def make(self) -> None:
        """Switch, or finish a switch that died; readers see all of it or nothing.

        Raises:
            StorageError: If the disk refuses, or cannot exchange folders.
        """
        lock = RootLock(self._live, self._files)
        with lock.rewriter(), lock.exclusive():
            if self._is_made():
                record = settled(self._live, read_record(self._live, [DATASET]))
                write_record(self._live, self._files, DATASET, record)
            else:
                with explained(f"switch {self._live.root / DATASET} to {self._incoming}"):
                    self._switch()
            reach("promote.parquet.after")
            self._files.remove_folder(self._prepared.root)
            self._mark.unlink(missing_ok=True)

    def _is_made(self) -> bool:
        """Whether the folder that readers see is the one that was prepared."""
        try:
            return int(self._mark.read_bytes()) == (self._live.root / DATASET).stat().st_ino
        except FileNotFoundError:
            return False

    def _switch(self) -> None:
        finish_commits(self._live, self._files)
        self._files.remove_folder(self._prepared.root)
        if self._keep:
            self._files.remove_folder(self._to.root)
        committed = {
            path: Content(rows=file.rows, bytes=file.bytes, sha256=file.sha256)
            for path, file in committed_files(self._live).items()
        }
        self._prepare(committed)
        self._files.make_folder(self._mark.parent)
        self._mark.unlink(missing_ok=True)
        self._files.create(self._mark, b"%d" % (self._prepared.root / DATASET).stat().st_ino)
        self._files.sync(self._mark.parent)
        reach("promote.parquet.before")
        exchange_recorded(
            self._live, self._prepared, self._files, DATASET, committed, self._exchange
        )

    def _exchange(self) -> None:
        exchange(self._live.root / DATASET, self._prepared.root / DATASET)
        self._files.sync(self._live.root)
        reach("promote.parquet.exchanged")

    def _prepare(self, committed: Mapping[str, Content]) -> None:
        """Fill the folder that is to be, with the record of what no commit describes in it."""
        self._files.make_folder(self._prepared.root / DATASET)
        record = settled(self._live, read_record(self._live, [DATASET]))
        displaced: dict[str, Rewritten] = {}
        incoming = {file: self._arriving(file) for file in self._from.data_files(DATASET)}
        days = {path.parent for path in incoming.values()}
        for file in self._live.data_files(DATASET):
            path = file.relative_to(self._live.root)
            if self._holds_some(file):
                new = _suffixed(path, f"{LESS}.{self._incoming}")
                kept = self._copy(file, self._prepared.root / new, of_trajectories(self._ids))
                if self._keep:
                    gone = self._copy(file, self._to.root / path, all_but(self._ids))
                    displaced |= self._added(path, gone)
            elif path.parent in days:
                new = _suffixed(path, f"{LESS}.{self._incoming}")
                kept = self._link(file, new)
            else:
                self._link(file, path)
                continue
            self._replaced(record, path, committed)
            record |= self._added(new, kept)
        for file, path in incoming.items():
            record |= self._added(path, self._link(file, path))
        for folder in (self._prepared.root / DATASET, *(self._prepared.root / day for day in days)):
            self._files.sync(folder)
        write_record(self._prepared, self._files, DATASET, record)
        if self._keep:
            write_record(self._to, self._files, DATASET, displaced)

    def _arriving(self, file: Path) -> Path:
        """Where a file of the generation is to be; its name tells the partition as ever."""
        path = file.relative_to(self._from.root)
        own = f"{DATASET}.{self._incoming}-"
        name = path.name.replace(own, f"{DATASET}-", 1) if path.name.startswith(own) else path.name
        return _suffixed(path.with_name(name), self._incoming)

    def _holds_some(self, file: Path) -> bool:
        found = rows([file], DATASET, ("trajectory_id",))
        return any(trajectory_id in self._ids for (trajectory_id,) in found)

    def _copy(self, source: Path, target: Path, doomed: Doomed) -> Content | None:
        self._files.make_folder(target.parent)
        content = copy_without(source, target, self._files, doomed, dataset=DATASET)
        self._files.sync(target.parent)
        return content

    def _link(self, file: Path, path: Path) -> Content:
        target = self._prepared.root / path
        self._files.make_folder(target.parent)
        self._files.link(file, target)
        n_rows = sum(1 for _ in rows([file], DATASET, ("part",)))
        return Content(rows=n_rows, bytes=file.stat().st_size, sha256=digest_of(file) or "")

    def _replaced(
        self, record: dict[str, Rewritten], path: Path, committed: Mapping[str, Content]
    ) -> None:
        """Nothing is there any more under a path."""
        name = path.as_posix()
        record.pop(name, None)
        if name in committed:
            sha256 = committed[name].sha256
            record[name] = Rewritten(committed=sha256, now=None, why=self._why, at=self._at)

    def _added(self, path: Path, content: Content | None) -> dict[str, Rewritten]:
        """A file that no commit names."""
        if content is None:
            return {}
        added = Rewritten(committed=None, now=content, why=self._why, at=self._at)
        return {path.as_posix(): added}


def _suffixed(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.stem}.{suffix}{path.suffix}")
