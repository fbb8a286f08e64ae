"""The Parquet sink: append-only datasets whose files appear whole or not at all."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from uuid import uuid4

from ropewalk_sinks.batching import FlushPolicy
from ropewalk_sinks.config import ParquetSettings
from ropewalk_sinks.erasure import Erasures
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.incoming import read_record
from ropewalk_sinks.parquet_batch import RECORD_ERRORS, Batch, checked, give_back, groups_of
from ropewalk_sinks.parquet_erasures import all_erasures, record_found
from ropewalk_sinks.parquet_files import Files, explained
from ropewalk_sinks.parquet_index import StoredRows, data_files_by_source
from ropewalk_sinks.parquet_layout import DATASETS, DataPlace, Layout, data_name
from ropewalk_sinks.parquet_lock import RootLock
from ropewalk_sinks.parquet_partition import OwnedPartition
from ropewalk_sinks.sink import Refuse, SourceRecord, TopicPartition

# Record values that are decoded at a time. Decoded they take many times that, in small objects,
# and a heap that was large once stays in pieces; the columns that they become are compact.
GROUP_BYTES = 1024 * 1024


def _new_owner() -> str:
    return uuid4().hex


class ParquetSink:
    """Writes final parts, ledger entries, refused records and accounts; see `Sink`.

    A flush writes, for each partition, one file per dataset and day that occurs.

    Args:
        settings: Where, and when buffered rows are due.
        files: The file system.
        new_owner: Gives a name that was never given before.

    Raises:
        StorageError: If the path cannot be written.
    """

    name = "parquet"

    def __init__(
        self,
        settings: ParquetSettings,
        *,
        files: Files | None = None,
        new_owner: Callable[[], str] = _new_owner,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._files = files or Files()
        self._new_owner = new_owner
        self._layout = Layout(settings.parquet_path)
        self._lock = RootLock(self._layout, self._files)
        self._changes = -1
        self._erasures = Erasures()
        self._policy = FlushPolicy(
            max_records=settings.parquet_file_rows,
            max_bytes=settings.parquet_file_bytes,
            max_age_s=settings.parquet_file_age_s,
        )
        self._owned: dict[TopicPartition, OwnedPartition] = {}
        self._stored: dict[TopicPartition, StoredRows] = {}
        self._buffers: dict[TopicPartition, list[SourceRecord]] = {}
        self._records = self._bytes = 0
        self._opened_at: float | None = None
        self._prepare()

    def claim(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """See `Sink.claim`; the time grows with the rows stored from these partitions.

        Raises:
            StorageError: If a committed file is missing or damaged, or the chain is broken.
        """
        claimed = list(partitions)
        self.release(claimed)
        with self._lock.shared() as changes:
            self._follow(changes)
            for at in claimed:
                owner = self._new_owner()
                self._owned[at] = OwnedPartition(self._layout, self._files, at, owner=owner)
                self._buffers[at] = []
            self._look(claimed)
        return {at: self._owned[at].next_offset for at in claimed}

    def release(self, partitions: Iterable[TopicPartition]) -> None:
        """See `Sink.release`."""
        for at in partitions:
            if at in self._owned:
                self._forget(at)
                del self._buffers[at]
                self._drop_index(at)
                self._owned.pop(at).release()

    def add(self, records: Sequence[SourceRecord]) -> None:
        """See `Sink.add`."""
        for record in records:
            owned = self._owned.get(record.at)
            if owned is not None and record.offset >= owned.next_offset:  # else not ours, or known
                self._buffers[record.at].append(record)
                self._records += 1
                self._bytes += len(record.value or b"")

    def due(self, now: float) -> bool:
        """See `Sink.due`; a record's age counts from the first time this was asked about it."""
        if self._records == 0:
            return False
        if self._opened_at is None:
            self._opened_at = now
        return self._policy.due(
            records=self._records, size=self._bytes, opened_at=self._opened_at, now=now
        )

    def flush(self, refuse: Refuse) -> dict[TopicPartition, int]:
        """See `Sink.flush`.

        Raises:
            FencedError: If another process took a partition over.
            StorageError: If the disk refuses; what was not committed will come again.
        """
        buffered = {at: records for at, records in self._buffers.items() if records}
        with self._lock.shared() as changes:
            self._follow(changes)
            for at, records in buffered.items():
                self._flush_partition(at, records, refuse)
                self._forget(at)
        give_back()
        return {at: self._owned[at].next_offset for at in buffered}

    def _follow(self, changes: int) -> None:
        """Look anew at what is stored and erased when somebody changed it since the last look."""
        if changes != self._changes:
            self._erasures = all_erasures(self._layout.root)
            self._look(list(self._owned))
            self._changes = changes

    def _look(self, partitions: Sequence[TopicPartition]) -> None:
        files = data_files_by_source(self._layout)
        for at in partitions:
            self._drop_index(at)
            self._stored[at] = StoredRows(files.get(at, {}), self._erasures)

    def _drop_index(self, at: TopicPartition) -> None:
        if at in self._stored:
            self._stored.pop(at).close()

    def _flush_partition(
        self, at: TopicPartition, records: Sequence[SourceRecord], refuse: Refuse
    ) -> None:
        with self._stored[at].attempt():
            try:
                batch = self._batch(at, records, each_checked=False)
            except RECORD_ERRORS:
                batch = self._batch(at, records, each_checked=True)  # rare and slow
            if batch.refused:
                refuse(batch.refused)
            self._commit(at, records, batch)

    def _commit(self, at: TopicPartition, records: Sequence[SourceRecord], batch: Batch) -> None:
        first, last = records[0].offset, records[-1].offset
        origin = {
            "ropewalk.topic": at.topic,
            "ropewalk.partition": str(at.partition),
            "ropewalk.first_offset": str(first),
            "ropewalk.last_offset": str(last),
        }
        owned, name = self._owned[at], data_name(at, first, last)
        staged = [
            owned.stage(DataPlace(dataset, day, name), data, n_rows=n_rows)
            for dataset, day, data, n_rows in batch.files(origin)
        ]
        # Before the commit: after it, the records by which they were found do not come again.
        found = self._erasures.take_found()
        record_found(self._layout, self._files, name.removesuffix(".parquet"), found)
        owned.commit(last + 1, staged)
        self.counts.update(batch.counts)

    def _batch(
        self, at: TopicPartition, records: Sequence[SourceRecord], *, each_checked: bool
    ) -> Batch:
        stored = self._stored[at]
        batch = Batch(stored, sink=self.name)
        with stored.attempt():
            for group in groups_of(records, max_bytes=GROUP_BYTES):
                incoming = [read_record(record, self._settings.topics) for record in group]
                if each_checked:
                    incoming = [checked(one, sink=self.name) for one in incoming]
                batch.take(incoming)
        return batch

    def _forget(self, at: TopicPartition) -> None:
        """Empty a buffer; the age counts anew once all are empty."""
        for record in self._buffers[at]:
            self._records -= 1
            self._bytes -= len(record.value or b"")
        self._buffers[at] = []
        if self._records == 0:
            self._opened_at = None

    def close(self) -> None:
        """See `Sink.close`."""
        self.release(list(self._owned))

    def _prepare(self) -> None:
        layout = self._layout
        with explained(f"prepare the Parquet path {layout.root}"):
            roots = [layout.all_staging, *(layout.root / dataset for dataset in DATASETS)]
            for folder in roots:
                self._files.make_folder(folder)
            devices = {folder.stat().st_dev for folder in roots}
        if len(devices) > 1:
            message = (
                f"the folders under {layout.root} are on several file systems, so files cannot be"
                " moved in at once: put them on one (setting ROPEWALK_PARQUET_PATH)"
            )
            raise StorageError(message)
