"""Copies of data files without some of their rows."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ropewalk_sinks.arrow_schemas import DICTIONARY_COLUMNS
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_files import Files
from ropewalk_sinks.parquet_rewritten import Content, digest_of

Doomed = Callable[[Any], Any]
"""Of a table with all columns: a column of truth values, true for rows that are to go."""


def of_trajectories(trajectory_ids: Collection[str]) -> Doomed:
    """The rows of these trajectories, in any dataset whose rows have a trajectory_id."""
    ids = pa.array(sorted(trajectory_ids), pa.string())
    return lambda table: pc.is_in(table["trajectory_id"], value_set=ids)


def where(columns: Sequence[str], takes: Callable[[tuple[Any, ...]], bool]) -> Doomed:
    """The rows whose values in some columns are taken."""

    def doomed(table: Any) -> Any:
        values = zip(*(table[name].to_pylist() for name in columns), strict=True)
        return pa.chunked_array([pa.array([takes(row) for row in values], pa.bool_())])

    return doomed


def all_but(trajectory_ids: Collection[str]) -> Doomed:
    """The rows of all other trajectories."""
    these = of_trajectories(trajectory_ids)
    return lambda table: pc.invert(these(table))


def copy_without(
    source: Path, target: Path, files: Files, doomed: Doomed, *, dataset: str
) -> Content | None:
    """Write a copy of a data file that lacks the doomed rows; the same schema, metadata and form.

    In memory is one row group at a time.

    Args:
        source: The data file.
        target: The new file; made durable. It is not there if no row remains.
        files: The file system.
        doomed: Which rows are left out.
        dataset: The dataset of the file.

    Returns:
        What the copy holds; None when no row remains.

    Raises:
        StorageError: If the source cannot be read.
    """
    target.unlink(missing_ok=True)
    try:
        rows = _copy(source, target, doomed, DICTIONARY_COLUMNS[dataset])
    except (OSError, pa.ArrowException) as error:
        message = f"could not copy {source} to {target}: {error}"
        raise StorageError(message) from error
    if rows == 0:
        target.unlink()
        return None
    files.sync_file(target)
    digest = digest_of(target)
    if digest is None:  # pragma: no cover - just written
        raise StorageError(str(target))
    return Content(rows=rows, bytes=target.stat().st_size, sha256=digest)


def _copy(source: Path, target: Path, doomed: Doomed, dictionary: list[str]) -> int:
    rows = 0
    with pq.ParquetFile(source) as old:
        origin = dict(old.metadata.metadata or {})
        origin.pop(b"ARROW:schema", None)  # the writer adds its own
        with pq.ParquetWriter(
            target,
            old.schema_arrow.remove_metadata(),
            compression="zstd",
            compression_level=3,
            use_dictionary=dictionary,
        ) as new:
            for number in range(old.num_row_groups):
                table = old.read_row_group(number)
                kept = table.filter(pc.invert(pc.fill_null(doomed(table), fill_value=False)))
                if kept.num_rows:
                    new.write_table(kept)
                    rows += kept.num_rows
            new.add_key_value_metadata(origin)
    return rows
