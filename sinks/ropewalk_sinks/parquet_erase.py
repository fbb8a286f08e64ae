"""Removing a subject from the datasets below one Parquet path."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ropewalk_sinks.erasure import Erasures, Subject, named_in
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_commits import CommittedFile, committed_files
from ropewalk_sinks.parquet_erasures import (
    all_erasures,
    found_of,
    tombstone_of,
    tombstones,
    write_tombstone,
)
from ropewalk_sinks.parquet_files import Files
from ropewalk_sinks.parquet_layout import Layout
from ropewalk_sinks.parquet_lock import RootLock
from ropewalk_sinks.parquet_reads import rows
from ropewalk_sinks.parquet_recovery import finish_commits
from ropewalk_sinks.parquet_rewrite import copy_without, where
from ropewalk_sinks.parquet_rewritten import (
    Change,
    Content,
    Record,
    digest_of,
    make_changes,
    read_record,
    settled,
)
from ropewalk_sinks.tombstones import ErasedTrajectory, Removal, Tombstone

COLUMNS = {
    "trajectories": (
        "trajectory_id", "part", "agent_id", "project", "content_hash", "n_events",
    ),
    "rewards": ("trajectory_id",),
    "quarantine": ("topic", "key", "value", "trajectory_id"),
}  # fmt: skip
Told = Callable[[float], None]


def roots(path: Path) -> list[Layout]:
    """The Parquet path and those below it: other generations, and of a promotion that died."""
    places = ("_ropewalk/generations/*/trajectories", "_ropewalk/exchange/trajectories")
    others = sorted(folder.parent for place in places for folder in path.glob(place))
    return [Layout(path), *map(Layout, others)]


class ParquetEraser:
    """One subject and one root.

    Args:
        main: The Parquet path; the commits of moved files are there.
        layout: The root to remove from: the path itself, or a generation's.
        files: The file system.
        subject: Whom to remove.
    """

    def __init__(self, main: Layout, layout: Layout, files: Files, subject: Subject) -> None:
        self.layout, self._main, self._files, self._subject = layout, main, files, subject
        self._lock = RootLock(layout, files)

    def begin(self, *, reason: str | None, at: datetime) -> None:
        """Let no sink store anything of the subject from now on; nothing is removed yet.

        All that was committed is in the datasets afterwards.
        """
        subject = self._subject
        earlier = tombstone_of(self.layout, subject)
        tombstone = earlier or Tombstone(
            kind=subject.kind,
            id=subject.id,
            project=subject.project,
            reason=reason,
            erased_at=at,
        )
        with self._lock.exclusive():
            # What others left unfinished, or for readers who were listing it then.
            self._files.remove_folder(self.layout.rewriting)
            finish_commits(self.layout, self._files)
            self._write(tombstone, is_finished=False)

    def trajectories(self) -> set[str]:
        """The subject's trajectories, as far as this root knows them."""
        erasures = self._erasures((), ())
        if self._subject.kind == "agent":
            files = data_files(self.layout, "trajectories")
            for row in rows(files, "trajectories", ("trajectory_id", "agent_id", "project")):
                erasures.has_part(*row)
        return set(erasures.trajectories)

    def find(self, known: Collection[str], judgments: Collection[str], told: Told) -> Removal:
        """What there is to remove; `remove` looks only at the files in which it was found.

        Args:
            known: Trajectories of the subject that any store knows.
            judgments: Judgments whose refusals are to go.
            told: Is told the share of the files that is looked through.
        """
        erasures = self._erasures(known, judgments)
        parts: dict[str, dict[int, str]] = defaultdict(dict)
        events: Counter[str] = Counter()
        entries: Counter[str] = Counter()
        n_refused = 0
        self._hits = []
        todo = [(name, file) for name in COLUMNS for file in data_files(self.layout, name)]
        for number, (dataset, file) in enumerate(todo):
            told(number / len(todo))
            takes = _doomed(dataset, erasures)
            found = [row for row in rows([file], dataset, COLUMNS[dataset]) if takes(row)]
            if found:
                self._hits.append((dataset, file, len(found)))
            if dataset == "trajectories":
                for i, part, _, _, content_hash, n_events in found:
                    parts[i][part] = content_hash
                    events[i] += n_events
            elif dataset == "rewards":
                entries.update(i for (i,) in found)
            else:
                n_refused += len(found)
        return Removal(
            trajectories={
                i: ErasedTrajectory(parts=parts[i], n_events=events[i], n_entries=entries[i])
                for i in sorted(erasures.trajectories)
            },
            judgments=sorted(judgments),
            n_refused=n_refused,
        )

    def remove(self, removal: Removal, *, at: datetime) -> None:
        """Remove what was found and put it into the tombstone; durable when it returns.

        Sinks wait only while files change places, not while they are copied.

        Args:
            removal: What `find` gave last.
            at: Now.
        """
        tombstone = self._required()
        # What a run that died had begun to remove and is not there any more, it removed.
        removed = tombstone.removed.and_then(tombstone.removing.less(removal))
        self._write(tombstone, removed=removed, removing=removal)
        changes = list(self._changes(removal))
        with self._lock.exclusive():
            why, when = f"erased {self._subject.erasure_id}", at.isoformat()
            make_changes(self.layout, self._files, changes, why=why, at=when)
        self._write(tombstone, removed=removed.and_then(removal), removing=Removal())

    def finish(self) -> None:
        """Note that nothing is left to remove, in any store."""
        self._write(self._required(), is_finished=True)

    def _required(self) -> Tombstone:
        tombstone = tombstone_of(self.layout, self._subject)
        if tombstone is None:
            message = f"the tombstone of {self._subject} is gone from {self.layout.erasures}"
            raise StorageError(message)
        return tombstone

    def _write(self, tombstone: Tombstone, **changes: object) -> None:
        write_tombstone(self.layout, self._files, tombstone.model_copy(update=changes))

    def _erasures(self, known: Collection[str], judgments: Collection[str]) -> Erasures:
        subject = self._subject
        erasure_id = subject.erasure_id
        ids = {*known, *found_of(self.layout, erasure_id)}
        if subject.kind == "trajectory":
            ids.add(subject.id)
        agents = {(subject.id, subject.project): erasure_id} if subject.kind == "agent" else {}
        return Erasures(agents, dict.fromkeys(ids, erasure_id), set(judgments))

    def _changes(self, removal: Removal) -> Iterator[Change]:
        erasures = self._erasures(removal.trajectories, removal.judgments)
        record = settled(self.layout, read_record(self.layout))
        sources = {**committed_files(self._main), **committed_files(self.layout)}
        self._files.make_folder(self.layout.rewriting)
        for number, (dataset, file, n_doomed) in enumerate(self._hits):
            path = file.relative_to(self.layout.root).as_posix()
            before = self._before(path, sources.get(path), record)
            staged = self.layout.rewriting / f"{number}.parquet"
            doomed = where(COLUMNS[dataset], _doomed(dataset, erasures))
            now = copy_without(file, staged, self._files, doomed, dataset=dataset)
            if before.rows - (now.rows if now else 0) != n_doomed:
                message = f"{file} changed while it was copied; run it again"
                raise StorageError(message)
            yield Change(path, self._committed(path, sources, record), before, now, staged)

    def _before(self, path: str, source: CommittedFile | None, record: Record) -> Content:
        """What is there now; damage must not pass for a rewriting."""
        file = self.layout.root / path
        found = digest_of(file)
        known = record[path].now if path in record else None
        if known is None and source is not None:
            known = Content(rows=source.rows, bytes=source.bytes, sha256=source.sha256)
        if known is None or known.sha256 != found:
            message = (
                f"{file} is not what was committed or rewritten, so nothing can be removed from it:"
                " look at `ropewalk verify`, and restore the file from a backup"
            )
            raise StorageError(message)
        return known

    @staticmethod
    def _committed(path: str, sources: dict[str, CommittedFile], record: Record) -> str | None:
        if path in record:
            return record[path].committed
        return sources[path].sha256 if path in sources else None


def _doomed(dataset: str, erasures: Erasures) -> Callable[[tuple[Any, ...]], bool]:
    """Whether a row with the dataset's `COLUMNS` is of the subject."""
    if dataset == "trajectories":
        return lambda row: erasures.has_part(row[0], row[2], row[3])
    if dataset == "rewards":
        return lambda row: erasures.has_trajectory(row[0])
    return lambda row: erasures.has_refused(named_in(*row))


def all_tombstones(path: Path) -> list[Tombstone]:
    """The tombstones below a Parquet path."""
    return tombstones(Layout(path))


def leftovers(path: Path) -> Iterator[str]:
    """A line about each row of an erased subject that is still stored, or stored again."""
    erasures = all_erasures(path)
    for layout in roots(path):
        for dataset, columns in COLUMNS.items():
            for file in data_files(layout, dataset):
                doomed = _doomed(dataset, erasures)
                n_rows = sum(doomed(row) for row in rows([file], dataset, columns))
                if n_rows:
                    yield f"{file}: {n_rows} rows"


def data_files(layout: Layout, dataset: str) -> list[Path]:
    """The Parquet files of a dataset."""
    return [file for file in layout.data_files(dataset) if file.suffix == ".parquet"]
