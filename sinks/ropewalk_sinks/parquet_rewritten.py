"""Which data files are not what their commits say, because they were rewritten.

The record of a dataset is `_ropewalk/rewritten/<dataset>.json`. It is not in the dataset's folder:
Polars, and Hugging Face by `data_dir`, fail on a folder with a file that is no Parquet.

A change is recorded as pending, then made, then recorded as made. While it is pending the file may
be as before or as after; once it is made, an older content that comes back is an error. So a whole
folder may change at once too (`exchange_recorded`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from ropewalk_schemas.encoding import to_json
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.exchange import exchange as exchange_folders
from ropewalk_sinks.parquet_files import Files, explained
from ropewalk_sinks.parquet_layout import DATASETS, Layout

_MARK = re.compile(r"\.e[0-9a-f]{8}$")


class Content(BaseModel):
    """What a data file holds."""

    model_config = ConfigDict(frozen=True)

    rows: int
    bytes: int
    sha256: str


class Rewritten(BaseModel):
    """One data file.

    Attributes:
        committed: The checksum by its commit; None when no commit names the file.
        now: What is there instead; None when the file is gone.
        before: While `pending`: what was there; None when nothing was.
        why: For a person.
        at: When, as ISO 8601.
    """

    model_config = ConfigDict(frozen=True)

    committed: str | None
    now: Content | None
    why: str
    at: str
    pending: bool = False
    before: Content | None = None

    @property
    def allowed(self) -> tuple[Content | None, ...]:
        """What the file may be; None: it may be absent."""
        return (self.now, self.before) if self.pending else (self.now,)

    @property
    def may_be_absent(self) -> bool:
        """Whether it is no loss when the file is not there."""
        return None in self.allowed


Record = Mapping[str, Rewritten]
"""By path below the root, as commits have it: ``trajectories/window_date=.../....parquet``."""


class _Stored(BaseModel):
    version: int = 1
    files: dict[str, Rewritten]


def read_record(layout: Layout, datasets: Iterable[str] = DATASETS) -> dict[str, Rewritten]:
    """What was rewritten in these datasets.

    Raises:
        StorageError: If a record cannot be read.
    """
    found: dict[str, Rewritten] = {}
    for dataset in datasets:
        path = layout.rewritten(dataset)
        try:
            stored = _Stored.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValidationError) as error:
            message = f"the record {path} cannot be read ({error}): restore it from a backup"
            raise StorageError(message) from error
        found |= stored.files
    return found


def write_record(layout: Layout, files: Files, dataset: str, record: Record) -> None:
    """Replace the record of one dataset, at once and durably."""
    path, new = layout.rewritten(dataset), layout.rewriting / f"{dataset}.json"
    with explained(f"write {path}"):
        files.make_folder(layout.rewriting)
        files.make_folder(path.parent)
        new.unlink(missing_ok=True)
        files.create(new, to_json(_Stored(files=dict(record)).model_dump()))
        files.rename(new, path)
        files.sync(path.parent)


class Change(NamedTuple):
    """A data file that is to be replaced, or to go.

    Attributes:
        path: Below the root, as commits have it.
        committed: The checksum by its commit; None when no commit names the file.
        before: What is there.
        now: What is to be there; None: nothing.
        staged: Where that lies, on the same file system.
    """

    path: str
    committed: str | None
    before: Content
    now: Content | None
    staged: Path

    @property
    def name(self) -> str:
        """What the file is called afterwards: another content has another name.

        Who listed the folder before and opens the file afterwards then does not find it, and reads
        again; under the old name he would meet a file that does not fit what he knows of it.
        """
        file = PurePosixPath(self.path)
        digest = self.now.sha256[:8] if self.now else ""
        return f"{_MARK.sub('', file.stem)}.e{digest}{file.suffix}"


def make_changes(
    layout: Layout, files: Files, changes: Iterable[Change], *, why: str, at: str
) -> None:
    """Replace or remove data files and record it; only under the exclusive lock.

    The folder of each day is exchanged at once for one with the changes: readers see all rows of
    the others at every moment, each once. What was there is gone when this returns, but not its
    name: the old folder stays below `rewriting`, with empty files for those that changed. So who is
    listing it just now lists all, and does not find those that changed; no row is missed unnoticed.

    A process that dies in here leaves a state that checks and sinks accept; the same changes are
    then worked out and made anew.
    """
    by_dataset: dict[str, list[Change]] = {}
    for change in changes:
        by_dataset.setdefault(change.path.partition("/")[0], []).append(change)
    for dataset, these in by_dataset.items():
        record = settled(layout, read_record(layout, [dataset]))
        entries: dict[str, Rewritten] = {}
        for c in these:
            entries[c.path] = Rewritten(
                committed=c.committed, now=None, why=why, at=at, pending=True, before=c.before
            )
            if c.now is not None:
                path = PurePosixPath(c.path).with_name(c.name).as_posix()
                entries[path] = Rewritten(committed=None, now=c.now, why=why, at=at, pending=True)
        write_record(layout, files, dataset, record | entries)
        with explained(f"rewrite files of {layout.root / dataset}"):
            for day in sorted({(layout.root / c.path).parent for c in these}):
                own = [c for c in these if (layout.root / c.path).parent == day]
                _exchange_day(layout, files, day, own)
        made = record | {path: _made(entry) for path, entry in entries.items()}
        kept = {path: entry for path, entry in made.items() if entry.now or entry.committed}
        write_record(layout, files, dataset, kept)


def _exchange_day(layout: Layout, files: Files, day: Path, changes: Sequence[Change]) -> None:
    prepared = layout.rewriting / f"{day.parent.name}.{day.name}.{uuid4().hex}"
    files.make_folder(prepared)
    changed = {PurePosixPath(change.path).name for change in changes}
    for file in day.iterdir():
        if file.name not in changed:
            files.link(file, prepared / file.name)
    for change in changes:
        if change.now is not None:
            files.rename(change.staged, prepared / change.name)
    files.sync(prepared)
    exchange_folders(day, prepared)
    files.sync(day.parent)
    files.sync(layout.rewriting)
    for name in changed:
        empty = prepared / f"{name}.gone"
        files.create(empty, b"")
        files.rename(empty, prepared / name)
    files.sync(prepared)


def _made(entry: Rewritten) -> Rewritten:
    return entry.model_copy(update={"pending": False, "before": None})


def exchange_recorded(
    one: Layout,
    other: Layout,
    files: Files,
    dataset: str,
    committed: Mapping[str, Content],
    exchange: Callable[[], None],
) -> None:
    """Exchange a dataset's folders of two roots, and their records; only under both locks.

    Args:
        one: A root whose record of the dataset says what is in its folder.
        other: Another one.
        files: The file system.
        dataset: Whose folders.
        committed: What the commits say of each path that one of the records names.
        exchange: Does it at once; it must have been done or not, whenever the process dies.
    """
    a, b = (settled(root, read_record(root, [dataset])) for root in (one, other))
    write_record(one, files, dataset, _either(a, b, committed))
    write_record(other, files, dataset, _either(b, a, committed))
    exchange()
    write_record(one, files, dataset, b)
    write_record(other, files, dataset, a)


def _either(old: Record, new: Record, committed: Mapping[str, Content]) -> dict[str, Rewritten]:
    """A record by which each file may be as in one or as in the other."""

    def content(record: Record, path: str) -> Content | None:
        return record[path].now if path in record else committed.get(path)

    return {
        path: (new.get(path) or old[path]).model_copy(
            update={
                "now": content(new, path),
                "before": content(old, path),
                "pending": True,
            }
        )
        for path in old.keys() | new.keys()
    }


def settled(layout: Layout, record: Record) -> dict[str, Rewritten]:
    """A record in which what a dead process left pending says what is there now."""
    known: dict[str, Rewritten] = {}
    for path, entry in record.items():
        if not entry.pending:
            known[path] = entry
            continue
        found = digest_of(layout.root / path)
        if all(_digest(content) != found for content in entry.allowed):
            known[path] = entry  # neither: for the checks to name
        elif found != entry.committed:
            there = next(content for content in entry.allowed if _digest(content) == found)
            known[path] = _made(entry).model_copy(update={"now": there})
    return known


def _digest(content: Content | None) -> str | None:
    return content.sha256 if content else None


def digest_of(path: Path) -> str | None:
    """The SHA-256 of a file, as hex digits; None when it is not there."""
    try:
        with path.open("rb") as data:
            return file_digest(data, "sha256").hexdigest()
    except FileNotFoundError:
        return None
