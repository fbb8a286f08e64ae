"""The files of one flush of one partition: which records become rows, in which file, as bytes."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ropewalk_schemas.progress import Progress
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.arrow_rows import TABLES
from ropewalk_sinks.arrow_schemas import DICTIONARY_COLUMNS, SCHEMAS
from ropewalk_sinks.decided import Decided, Recorded, decide
from ropewalk_sinks.incoming import Incoming, Refusal, is_entry, is_part, unreadable
from ropewalk_sinks.parquet_index import StoredRows
from ropewalk_sinks.sink import SourceRecord

# What a record, and not our code, can cause while its row is built.
RECORD_ERRORS = (ValueError, OverflowError, pa.ArrowTypeError)
ROW_GROUP_BYTES = 32 * 1024 * 1024
"""What a row group holds at most, as Arrow's columns in memory; or what came in one group."""


class Batch:
    """Takes the records of one flush, group by group, and gives the files to commit.

    Args:
        stored: What is stored of the partition; what the batch admits is added.
        sink: The sink's name.

    Attributes:
        refused: What is to be in quarantine before the files are committed.
        counts: What became of the records, as `Sink.counts`.
    """

    def __init__(self, stored: StoredRows, *, sink: str) -> None:
        self.refused: list[Quarantined] = []
        self.counts: Counter[str] = Counter()
        self._stored = stored
        self._sink = sink
        self._files: dict[tuple[str, date], _DataFile] = {}

    def take(self, group: Sequence[Incoming]) -> None:
        """Sort records into files, as columns; decoded records are not kept.

        Raises:
            RECORD_ERRORS: If a record's content does not fit the columns (see `checked`).
        """
        admission = self._stored.admission(group)
        decided = decide(group, admission, sink=self._sink)
        self._stored.hold(admission)
        rows: dict[tuple[str, date], list[Any]] = defaultdict(list)
        for content, recorded_ms in self._new(decided):
            rows[_place(content, recorded_ms)].append(content)
        for (dataset, day), these in rows.items():
            self._files.setdefault((dataset, day), _DataFile(dataset)).add(these)
            self.counts["rows"] += len(these)
        self.refused += decided.refused
        self.counts["refused"] += len(decided.refused)
        self.counts["conflicts"] += decided.conflicts
        self.counts["duplicates"] += decided.duplicates
        self.counts["erased"] += decided.erased

    def files(self, origin: dict[str, str]) -> Iterator[tuple[str, date, memoryview, int]]:
        """Dataset, day, bytes and rows of each file; one whole file in memory at a time.

        Args:
            origin: The files' key-value metadata.
        """
        while self._files:
            (dataset, day), file = self._files.popitem()
            yield dataset, day, file.finish(origin), file.n_rows

    def _new(self, decided: Decided) -> Iterator[tuple[Any, int]]:
        for row in (*decided.parts, *decided.entries):
            yield row, 0
        others: list[Recorded[Any]] = [*decided.quarantined, *decided.accounts]
        for row, recorded_ms in others:
            if self._stored.add(row):
                yield row, recorded_ms
            else:
                self.counts["duplicates"] += 1


class _DataFile:
    """One Parquet file, compressed into memory as its row groups fill."""

    def __init__(self, dataset: str) -> None:
        self.n_rows = 0
        self._waiting: list[Any] = []
        self._waiting_bytes = 0
        self._table_of = TABLES[dataset]
        self._bytes = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._bytes,
            SCHEMAS[dataset],
            compression="zstd",
            compression_level=3,
            use_dictionary=DICTIONARY_COLUMNS[dataset],
        )

    def add(self, rows: Sequence[Any]) -> None:
        table = self._table_of(rows)
        size = table.nbytes
        if self._waiting_bytes + size > ROW_GROUP_BYTES:
            self._write_row_group()
        self._waiting.append(table)
        self._waiting_bytes += size
        self.n_rows += len(rows)

    def _write_row_group(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
            self._waiting, self._waiting_bytes = [], 0

    def finish(self, origin: dict[str, str]) -> memoryview:
        self._write_row_group()
        self._writer.add_key_value_metadata(origin)
        self._writer.close()
        return memoryview(self._bytes.getvalue())


def give_back() -> None:
    """Return what no batch needs any more to the operating system; Arrow keeps it by itself."""
    pa.default_memory_pool().release_unused()


def checked(incoming: Incoming, *, sink: str) -> Incoming:
    """The record, or its refusal if its content does not fit the columns.

    A record of the quarantine topic is stored as an account of its own bytes instead.
    """
    record, content = incoming
    if content is None or isinstance(content, Refusal):
        return incoming
    try:
        dataset, _ = _place(content, record.timestamp_ms)
        TABLES[dataset]([content])
    except RECORD_ERRORS as error:
        detail = f"sink {sink} cannot store it: {error}"
        if isinstance(content, Quarantined):
            return Incoming(record, unreadable(record, detail))
        return Incoming(record, Refusal("invalid", detail, getattr(content, "trajectory_id", None)))
    return incoming


def groups_of(records: Sequence[SourceRecord], *, max_bytes: int) -> Iterator[list[SourceRecord]]:
    """Records in runs of at most `max_bytes` of values, or of one record."""
    group: list[SourceRecord] = []
    size = 0
    for record in records:
        length = len(record.value or b"")
        if group and size + length > max_bytes:
            yield group
            group, size = [], 0
        group.append(record)
        size += length
    if group:
        yield group


def _place(content: object, recorded_ms: int) -> tuple[str, date]:
    """The dataset and UTC day of something that becomes a row."""
    if is_part(content):
        return "trajectories", content.window_start.astimezone(UTC).date()
    if is_entry(content):
        return "rewards", content.recorded_at.astimezone(UTC).date()
    if isinstance(content, Quarantined):
        return "quarantine", _day(content.quarantined_ms)
    if isinstance(content, Progress):
        return "progress", _day(recorded_ms)
    message = f"no dataset holds a {type(content).__name__}"
    raise TypeError(message)


def _day(instant_ms: int) -> date:
    return datetime.fromtimestamp(instant_ms / 1000, UTC).date()
