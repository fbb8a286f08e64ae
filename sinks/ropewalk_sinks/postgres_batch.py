"""One batch in one transaction: offsets, guards, rows; all of it or nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import sql

from ropewalk_schemas.failpoints import reach
from ropewalk_schemas.trajectory import Trajectory
from ropewalk_sinks.admission import Admission, HeldPart
from ropewalk_sinks.decided import Decided, decide
from ropewalk_sinks.erasure import Erasures
from ropewalk_sinks.errors import FencedError
from ropewalk_sinks.incoming import Incoming, is_entry, is_part
from ropewalk_sinks.postgres_connection import Connection
from ropewalk_sinks.postgres_erasures import erasures_among, record_found
from ropewalk_sinks.postgres_rows import Row, dependent_rows, guarded_rows, months
from ropewalk_sinks.postgres_tables import GUARDED, PARTS, REWARDS, Table
from ropewalk_sinks.sink import Refuse, TopicPartition
from ropewalk_sinks.sql import query


class Claimed(NamedTuple):
    """What this process holds of a partition: its epoch, and the next offset to store."""

    epoch: int
    next_offset: int


class AdmittedElsewhereError(Exception):
    """Another process stored one of the batch's identities between our look and our insert."""


def create_staging(connection: Connection) -> None:
    """This session's tables, which rows are copied into before they meet their guards."""
    for table in GUARDED:
        statement = sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DELETE ROWS")
        connection.execute(statement.format(_staging(table), sql.Identifier(table.name)))


def next_offsets(batch: Sequence[Incoming]) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition, in the order locks are taken."""
    last = {record.at: record.offset + 1 for record, _ in batch}
    return dict(sorted(last.items()))


class BatchWriter:
    """Writes batches of one sink through one connection, which is in autocommit mode."""

    def __init__(self, connection: Connection, sink: str) -> None:
        self._connection = connection
        self._sink = sink
        self._known_months: frozenset[datetime] = frozenset()

    def write(
        self, batch: Sequence[Incoming], claimed: Mapping[TopicPartition, Claimed], refuse: Refuse
    ) -> Decided:
        """Store a batch; durable when it returns.

        Raises:
            FencedError: If another process claimed one of the partitions. Nothing is written.
            AdmittedElsewhereError: If the batch must be decided anew. Nothing is written.
        """
        with self._connection.transaction():
            self._move_offsets(next_offsets(batch), claimed)
            erasures = erasures_among(self._connection, batch)
            decided = decide(batch, self._admission(batch, erasures), sink=self._sink)
            record_found(self._connection, erasures.take_found())
            self._create_months(decided.parts)
            for table, rows in guarded_rows(decided).items():
                self._insert_guarded(table, rows)
            for table, rows in dependent_rows(decided.parts).items():
                self._copy(table, sql.Identifier(table.name), rows)
            # Last, so that a batch that fails has refused nothing.
            if decided.refused:
                refuse(decided.refused)
            reach("postgres.commit.before")
        reach("postgres.commit.after")
        self._known_months |= frozenset(months(decided.parts))
        return decided

    def _move_offsets(
        self, offsets: Mapping[TopicPartition, int], claimed: Mapping[TopicPartition, Claimed]
    ) -> None:
        for at, next_offset in offsets.items():
            epoch, expected = claimed[at]
            values = {"sink": self._sink, **at._asdict(), "next_offset": next_offset}
            moved = self._connection.execute(
                query("move_offset"), values | {"epoch": epoch, "expected": expected}
            )
            if moved.rowcount != 1:
                message = (
                    f"{at.topic}[{at.partition}] was taken over by another process of sink "
                    f"{self._sink} (ours was epoch {epoch}, offset {expected}); nothing of this "
                    "batch was written, and the other process goes on with it"
                )
                raise FencedError(message)

    def _admission(self, batch: Sequence[Incoming], erasures: Erasures) -> Admission:
        """What is stored of the batch's trajectories and ledger entries."""
        ids = list({content.trajectory_id for _, content in batch if is_part(content)})
        reward_ids = list({content.reward_id for _, content in batch if is_entry(content)})
        parts: dict[str, dict[int, HeldPart]] = defaultdict(dict)
        if ids:
            held = self._connection.execute(query("held_parts"), {"ids": ids})
            for trajectory_id, part, content_hash, last in held:
                parts[trajectory_id][part] = HeldPart(content_hash, last)
        entries: dict[str, str] = {}
        if reward_ids:
            found = self._connection.execute(query("held_entries"), {"ids": reward_ids})
            entries = dict(found.fetchall())
        return Admission(parts, entries, erasures)

    def _create_months(self, parts: Sequence[Trajectory]) -> None:
        unknown = [month for month in months(parts) if month not in self._known_months]
        if not unknown:
            return
        self._connection.execute(query("lock_months"))
        for month in unknown:
            self._connection.execute(query("create_month"), {"month": month.date()})

    def _insert_guarded(self, table: Table, rows: Sequence[Row]) -> None:
        if not rows:
            return
        self._copy(table, _staging(table), rows)
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        # In key order, so that two sinks wait for each other in one direction only.
        statement = sql.SQL(
            "INSERT INTO {} ({}) SELECT {} FROM {} ORDER BY 1, 2 ON CONFLICT DO NOTHING"
        ).format(sql.Identifier(table.name), columns, columns, _staging(table))
        inserted = self._connection.execute(statement)
        if table in (PARTS, REWARDS) and inserted.rowcount != len(rows):
            raise AdmittedElsewhereError

    def _copy(self, table: Table, target: sql.Identifier, rows: Sequence[Row]) -> None:
        if not rows:
            return
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(target, columns)
        reach("postgres.copy.before")
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
        reach("postgres.copy.after")


def _staging(table: Table) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"staging_{table.name}")
