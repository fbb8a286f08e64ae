"""Tombstones below a Parquet path, and trajectories that sinks found to be an erased agent's."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ropewalk_schemas.encoding import to_json
from ropewalk_sinks.erasure import Erasures, Row, Subject, erasures_of
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_files import Files, explained
from ropewalk_sinks.parquet_layout import Layout
from ropewalk_sinks.tombstones import Tombstone

T = TypeVar("T")
_TOMBSTONE: TypeAdapter[Tombstone] = TypeAdapter(Tombstone)
_FOUND: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


def all_erasures(path: Path) -> Erasures:
    """Everything that is erased below a Parquet path.

    Raises:
        StorageError: If a tombstone cannot be read.
    """
    return erasures_of(_rows(Layout(path)))


def _rows(layout: Layout) -> Iterator[Row]:
    for tombstone in tombstones(layout):
        yield from tombstone.rows()
    for path in sorted((layout.erasures / "found").glob("*.json")):
        for trajectory_id, erasure_id in _read(path, _FOUND).items():
            yield "trajectory", trajectory_id, None, erasure_id


def tombstones(layout: Layout) -> list[Tombstone]:
    """All tombstones.

    Raises:
        StorageError: If one cannot be read.
    """
    return [_read(path, _TOMBSTONE) for path in sorted(layout.erasures.glob("*.json"))]


def tombstone_of(layout: Layout, subject: Subject) -> Tombstone | None:
    """The tombstone of a subject, if there is one."""
    path = layout.erasures / f"{subject.erasure_id}.json"
    return _read(path, _TOMBSTONE) if path.exists() else None


def found_of(layout: Layout, erasure_id: str) -> set[str]:
    """Trajectories that sinks found to be an erased agent's."""
    rows = (row for row in _rows(layout) if row[0] == "trajectory" and row[3] == erasure_id)
    return {trajectory_id for _, trajectory_id, _, _ in rows}


def write_tombstone(layout: Layout, files: Files, tombstone: Tombstone) -> None:
    """Put a tombstone in the place of an earlier one, at once and durably."""
    _write(files, layout.erasures / f"{tombstone.subject.erasure_id}.json",
           tombstone.model_dump_json().encode())  # fmt: skip


def record_found(layout: Layout, files: Files, name: str, found: dict[str, str]) -> None:
    """Remember trajectories of erased agents, durably.

    Args:
        layout: Where things lie.
        files: The file system.
        name: The same for the same records of the log, so that they are remembered once.
        found: The trajectories, with their erasures.
    """
    if found:
        _write(files, layout.erasures / "found" / f"{name}.json", to_json(found))


def _write(files: Files, path: Path, data: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    with explained(f"write {path}"):
        files.make_folder(path.parent)
        new.unlink(missing_ok=True)
        files.create(new, data)
        files.rename(new, path)
        files.sync(path.parent)


def _read(path: Path, kind: TypeAdapter[T]) -> T:
    try:
        return kind.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        message = f"the tombstone {path} cannot be read ({error}): restore it from a backup"
        raise StorageError(message) from error
