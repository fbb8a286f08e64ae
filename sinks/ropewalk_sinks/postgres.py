"""The Postgres sink: rows and offsets in one transaction per batch."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing

import psycopg

from ropewalk_sinks.batching import FlushPolicy
from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.decided import Decided
from ropewalk_sinks.errors import StorageError
from ropewalk_sinks.incoming import Incoming, Refusal, read_record, unreadable
from ropewalk_sinks.postgres_batch import (
    AdmittedElsewhereError,
    BatchWriter,
    Claimed,
    create_staging,
    next_offsets,
)
from ropewalk_sinks.postgres_connection import Connection, connect, in_our_words, one_line, place
from ropewalk_sinks.postgres_migrations import require_migrations
from ropewalk_sinks.sink import Refuse, SourceRecord, TopicPartition
from ropewalk_sinks.sql import query

log = logging.getLogger(__name__)

# What a single record can cause: jsonb takes fewer numbers and shorter texts than JSON has.
_RECORD_ERRORS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
    UnicodeError,
    OverflowError,
)
_ATTEMPTS = 5


class PostgresSink:
    """Stores what the log says, each identity once.

    Raises:
        UnreachableError: If the database does not answer.
        MigrationError: If it lacks a migration.
    """

    name = "postgres"

    def __init__(self, settings: PostgresSettings) -> None:
        self.counts: Counter[str] = Counter()
        self._dsn, self._topics = settings.postgres_dsn, settings.topics
        self._policy = FlushPolicy(
            max_records=settings.postgres_batch_records,
            max_bytes=settings.postgres_batch_bytes,
            max_age_s=settings.postgres_batch_age_s,
        )
        self._connection = _ready_connection(self._dsn)
        self._writer = BatchWriter(self._connection, self.name)
        self._claimed: dict[TopicPartition, Claimed] = {}
        self._buffer: list[Incoming] = []
        self._bytes = 0
        self._opened_at: float | None = None

    def claim(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Take partitions over by raising their epoch; waits for an earlier owner's transaction."""
        with in_our_words(self._dsn), self._connection.transaction():
            for at in sorted(partitions):
                values = {"sink": self.name, **at._asdict()}
                row = self._connection.execute(query("claim"), values).fetchone()
                if row is None:  # pragma: no cover - RETURNING gives the row
                    raise StorageError(values)
                self._claimed[at] = Claimed(epoch=row[1], next_offset=row[0])
        return {at: self._claimed[at].next_offset for at in partitions}

    def release(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions and what is buffered for them."""
        for at in partitions:
            self._claimed.pop(at, None)
        self._keep([incoming for incoming in self._buffer if incoming.record.at in self._claimed])

    def add(self, records: Sequence[SourceRecord]) -> None:
        """Decode and buffer."""
        for record in records:
            claimed = self._claimed.get(record.at)
            if claimed is not None and record.offset >= claimed.next_offset:
                self._buffer.append(read_record(record, self._topics))
                self._bytes += len(record.value or b"")

    def due(self, now: float) -> bool:
        """Whether the buffer is full, or its oldest record has waited long enough."""
        if not self._buffer:
            return False
        if self._opened_at is None:
            self._opened_at = now
        size, opened_at = self._bytes, self._opened_at
        return self._policy.due(records=len(self._buffer), size=size, opened_at=opened_at, now=now)

    def flush(self, refuse: Refuse) -> dict[TopicPartition, int]:
        """Store the buffer, in one transaction unless a record in it must be isolated."""
        batch = self._buffer
        if batch:
            with in_our_words(self._dsn):
                self._store(batch, refuse)
            self._keep([])
        return next_offsets(batch)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _keep(self, buffer: list[Incoming]) -> None:
        self._buffer = buffer
        self._bytes = sum(len(incoming.record.value or b"") for incoming in buffer)
        if not buffer:
            self._opened_at = None

    def _store(self, batch: Sequence[Incoming], refuse: Refuse) -> None:
        """Store a batch; halve one that fails until the record that fails it stands alone."""
        try:
            self._count(self._write(batch, refuse))
        except _RECORD_ERRORS as error:
            if len(batch) == 1:
                self._count(self._write([self._without_content(batch[0], error)], refuse))
                return
            middle = len(batch) // 2
            self._store(batch[:middle], refuse)
            self._store(batch[middle:], refuse)

    def _write(self, batch: Sequence[Incoming], refuse: Refuse) -> Decided:
        for _ in range(_ATTEMPTS):
            try:
                decided = self._writer.write(batch, self._claimed, refuse)
            except AdmittedElsewhereError:
                continue  # the other process has committed, so the next look sees its rows
            for at, next_offset in next_offsets(batch).items():
                self._claimed[at] = self._claimed[at]._replace(next_offset=next_offset)
            return decided
        message = (
            f"{_ATTEMPTS} times another process stored the same parts or rewards first: the same "
            "trajectory_id must not be in several partitions; look for a producer that does not "
            "partition by murmur2"
        )
        raise StorageError(message)

    def _without_content(self, incoming: Incoming, error: Exception) -> Incoming:
        """The record as refused; a record of quarantine itself keeps its bytes only."""
        record, content = incoming
        detail = f"Postgres cannot store it: {one_line(error)}"
        fields = (record.at.topic, record.at.partition, record.offset, detail)
        log.error("record_refused topic=%s partition=%d offset=%d detail=%r", *fields)
        if record.at.topic == self._topics.quarantine:
            return Incoming(record, unreadable(record, detail))
        return Incoming(record, Refusal("invalid", detail, getattr(content, "trajectory_id", None)))

    def _count(self, decided: Decided) -> None:
        self.counts["rows"] += len(decided.parts) + len(decided.entries)
        self.counts["duplicates"] += decided.duplicates
        self.counts["conflicts"] += decided.conflicts
        self.counts["refused"] += len(decided.refused)
        self.counts["erased"] += decided.erased


def _ready_connection(dsn: str) -> Connection:
    """A connection to a migrated database, with this session's staging tables."""
    with ExitStack() as on_failure, in_our_words(dsn):
        connection = on_failure.enter_context(closing(connect(dsn)))
        require_migrations(connection, place(dsn))
        create_staging(connection)
        on_failure.pop_all()
        return connection
