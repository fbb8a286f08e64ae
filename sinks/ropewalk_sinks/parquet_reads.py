"""What the Parquet datasets hold, streamed row by row, for those who check it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads

from ropewalk_sinks.arrow_schemas import SCHEMAS
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.parquet_commits import commit_files, committed_partitions, read_commit
from ropewalk_sinks.parquet_layout import Layout
from ropewalk_sinks.sink import TopicPartition
from ropewalk_sinks.stored import StoredPart, StoredRefusal, StoredReward


def rows(files: Sequence[Path], dataset: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The named columns of a dataset's data files, row by row; in memory one batch at a time.

    Raises:
        StorageError: If a file cannot be read, naming it.
    """
    wanted = {"columns": list(columns), "batch_readahead": 1, "fragment_readahead": 1}
    try:
        for file in files:
            # One dataset each: it keeps the metadata of all its files, a third of a MiB each.
            source = pads.dataset(str(file), schema=SCHEMAS[dataset], format="parquet")
            for batch in source.to_batches(**wanted):
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except (OSError, pa.ArrowException) as error:
        message = f"could not read the dataset {dataset}: {error}. Restore the file from a backup"
        raise StorageError(message) from error


def stored_parts(path: Path) -> Iterator[StoredPart]:
    """Every stored part below the Parquet path, duplicates (there should be none) included."""
    return map(StoredPart._make, _all(path, "trajectories", StoredPart._fields))


def stored_rewards(path: Path) -> Iterator[StoredReward]:
    """Every stored ledger entry."""
    return map(StoredReward._make, _all(path, "rewards", StoredReward._fields))


def stored_quarantine(path: Path) -> Iterator[StoredRefusal]:
    """Every stored refused record."""
    return map(StoredRefusal._make, _all(path, "quarantine", StoredRefusal._fields))


def stored_offsets(path: Path) -> dict[TopicPartition, int]:
    """The next offset of every partition that has a commit.

    Raises:
        StorageError: If a commit file cannot be read.
    """
    layout = Layout(path)
    newest = {at: commit_files(layout, at)[-1:] for at in committed_partitions(layout)}
    return {at: read_commit(last).next_offset for at, files in newest.items() for last in files}


def _all(path: Path, dataset: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    files = [file for file in Layout(path).data_files(dataset) if file.suffix == ".parquet"]
    return rows(files, dataset, columns)
