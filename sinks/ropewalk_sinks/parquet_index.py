"""What is stored from one partition: decides which records are new.

It is rebuilt from the data files alone, whose names tell the partition their rows came from. It
lives in a temporary database on disk, as it grows with what is stored and memory must not.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ropewalk_schemas.progress import Progress
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.admission import Admission, HeldPart
from ropewalk_sinks.erasure import Erasures
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.incoming import Incoming, is_entry, is_part
from ropewalk_sinks.parquet_layout import DATASETS, Layout, source_of
from ropewalk_sinks.parquet_reads import rows
from ropewalk_sinks.sink import TopicPartition

DataFiles = Mapping[TopicPartition, Mapping[str, Sequence[Path]]]

PRIVATE_ON_DISK = ""
"""SQLite's name for a file without a name, which is gone with its connection or its process."""
_IDENTITIES = {
    "trajectories": ("trajectory_id", "part"),
    "rewards": ("reward_id",),
    "quarantine": ("topic", "partition", "offset"),
    "progress": ("partition", "next_offset"),
}
_REMEMBERED = {"trajectories": ("content_hash", "last"), "rewards": ("entry_hash",)}
_CACHE_KIB = 512
"""For each partition; SQLite's 2 MiB would add up."""


class StoredRows:
    """The identities stored from one partition.

    A group is looked up and held in the order of its keys: far fewer pages of a large index are
    read and written than in the order of the log.

    Args:
        files: The partition's data files, by dataset.
        erasures: Who is erased.

    Raises:
        StorageError: If a file cannot be read, or the disk for temporary files refuses.
    """

    def __init__(
        self, files: Mapping[str, Sequence[Path]], erasures: Erasures | None = None
    ) -> None:
        self._erasures = erasures
        self._database = sqlite3.connect(PRIVATE_ON_DISK, isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")
        for dataset in DATASETS:
            self._database.execute(_table(dataset))
        with self.attempt():
            for dataset in DATASETS:
                self._hold(dataset, rows(files.get(dataset, ()), dataset, _columns(dataset)))

    def admission(self, group: Iterable[Incoming]) -> Admission:
        """What decides on the parts and ledger entries of a group of records."""
        contents = [content for _, content in group]
        ids = sorted({content.trajectory_id for content in contents if is_part(content)})
        reward_ids = sorted({content.reward_id for content in contents if is_entry(content)})
        entries = {key: value for each in reward_ids for key, value in self._entry(each)}
        return Admission({each: self._parts(each) for each in ids}, entries, self._erasures)

    def hold(self, admission: Admission) -> None:
        """Count what was admitted as stored."""
        parts = sorted((*key, *part) for key, part in admission.new_parts.items())
        self._hold("trajectories", parts)
        self._hold("rewards", sorted(admission.new_entries.items()))

    def add(self, row: Quarantined | Progress) -> bool:
        """Count a refused record or an account as stored; whether it was not yet."""
        if isinstance(row, Quarantined):
            return self._hold("quarantine", [(row.topic, row.partition, row.offset)]) == 1
        return self._hold("progress", [(row.partition, row.next_offset)]) == 1

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """What is held inside is forgotten if it raises; one may stand in another.

        Raises:
            StorageError: If the disk for temporary files refuses.
        """
        try:
            self._database.execute("SAVEPOINT attempt")
            try:
                yield
            except BaseException:
                if self._database.in_transaction:  # a full disk ends it by itself
                    self._database.execute("ROLLBACK TO attempt")
                    self._database.execute("RELEASE attempt")
                raise
            self._database.execute("RELEASE attempt")
        except sqlite3.Error as error:
            message = (
                f"could not keep the index of what is stored: {error}; look for room in the folder"
                " for temporary files (environment variable TMPDIR)"
            )
            raise StorageError(message) from error

    def close(self) -> None:
        """Give its disk space back."""
        self._database.close()

    def _parts(self, trajectory_id: str) -> dict[int, HeldPart]:
        found = self._database.execute(
            "SELECT part, content_hash, last FROM trajectories WHERE trajectory_id = ?",
            (trajectory_id,),
        )
        return {part: HeldPart(content_hash, bool(last)) for part, content_hash, last in found}

    def _entry(self, reward_id: str) -> list[tuple[str, str]]:
        statement = "SELECT reward_id, entry_hash FROM rewards WHERE reward_id = ?"
        return self._database.execute(statement, (reward_id,)).fetchall()

    def _hold(self, dataset: str, these: Iterable[Sequence[object]]) -> int:
        marks = ", ".join("?" for _ in _columns(dataset))
        statement = f"INSERT OR IGNORE INTO {dataset} VALUES ({marks})"  # noqa: S608 - our names
        return self._database.executemany(statement, these).rowcount


def _columns(dataset: str) -> tuple[str, ...]:
    return _IDENTITIES[dataset] + _REMEMBERED.get(dataset, ())


def _table(dataset: str) -> str:
    columns, key = (
        ", ".join(f'"{name}"' for name in names)
        for names in (_columns(dataset), _IDENTITIES[dataset])
    )
    return f"CREATE TABLE {dataset} ({columns}, PRIMARY KEY ({key}))"


def data_files_by_source(layout: Layout) -> DataFiles:
    """The data files by partition and dataset."""
    found: dict[TopicPartition, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for dataset in DATASETS:
        for path in layout.data_files(dataset):
            at = source_of(path)
            if at is not None:
                found[at][dataset].append(path)
    return found
