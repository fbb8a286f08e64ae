"""What is stored from one partition, kept in memory: decides which records are new.

It is rebuilt from the data files alone, whose names tell the partition their rows came from.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ropewalk_schemas.progress import Progress
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.admission import Admission, HeldPart
from ropewalk_sinks.erasure import Erasures
from ropewalk_sinks.parquet_layout import DATASETS, Layout, source_of
from ropewalk_sinks.parquet_reads import rows
from ropewalk_sinks.sink import TopicPartition

DataFiles = Mapping[TopicPartition, Mapping[str, Sequence[Path]]]


class StoredRows:
    """The identities stored from one partition.

    Args:
        files: The partition's data files, by dataset.
        erasures: Who is erased.

    Attributes:
        admission: Decides on parts and ledger entries, and counts what is new as stored.
    """

    def __init__(
        self, files: Mapping[str, Sequence[Path]], erasures: Erasures | None = None
    ) -> None:
        parts: dict[str, dict[int, HeldPart]] = defaultdict(dict)
        columns = ("trajectory_id", "part", "content_hash", "last")
        for trajectory_id, part, content_hash, last in rows(
            files.get("trajectories", ()), "trajectories", columns
        ):
            parts[trajectory_id][part] = HeldPart(content_hash, last)
        entries = rows(files.get("rewards", ()), "rewards", ("reward_id", "entry_hash"))
        self.admission = Admission(parts, dict(entries), erasures)
        self._refused: set[Any] = set(
            rows(files.get("quarantine", ()), "quarantine", ("topic", "partition", "offset"))
        )
        self._accounts: set[Any] = set(
            rows(files.get("progress", ()), "progress", ("partition", "next_offset"))
        )

    def add(self, row: Quarantined | Progress) -> bool:
        """Count a refused record or an account as stored; whether it was not yet."""
        identity: tuple[Any, ...]
        if isinstance(row, Quarantined):
            known, identity = self._refused, (row.topic, row.partition, row.offset)
        else:
            known, identity = self._accounts, (row.partition, row.next_offset)
        is_new = identity not in known
        known.add(identity)
        return is_new


def data_files_by_source(layout: Layout) -> DataFiles:
    """The data files by partition and dataset."""
    found: dict[TopicPartition, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for dataset in DATASETS:
        for path in layout.data_files(dataset):
            at = source_of(path)
            if at is not None:
                found[at][dataset].append(path)
    return found
