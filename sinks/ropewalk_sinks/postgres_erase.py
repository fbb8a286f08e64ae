"""Removing a subject from Postgres, in one transaction over all schemas that hold rows of ours."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import sql

from ropewalk_sinks.erasure import Erasures, Subject, named_in
from ropewalk_sinks.postgres_connection import Connection, connect, in_our_words, place
from ropewalk_sinks.postgres_erasures import all_erasures
from ropewalk_sinks.postgres_migrations import require_migrations
from ropewalk_sinks.sql import query
from ropewalk_sinks.tombstones import ErasedTrajectory, Removal, Tombstone

Place = tuple[str, int, int]
_ROWS_PER_FETCH = 1_000


class Found(NamedTuple):
    """What one schema holds of the subject; `refused` are places of refused records."""

    removal: Removal
    refused: list[Place]


class PostgresEraser:
    """One subject; a connection from construction until closed.

    Args:
        dsn: The database.
        subject: Whom to remove.

    Raises:
        UnreachableError: If the database does not answer.
        MigrationError: If it lacks a migration.
    """

    def __init__(self, dsn: str, subject: Subject) -> None:
        self._dsn, self._subject = dsn, subject
        with ExitStack() as on_failure, in_our_words(dsn):
            self._connection = on_failure.enter_context(closing(connect(dsn)))
            require_migrations(self._connection, place(dsn))
            self._schemas = _schemas(self._connection)
            on_failure.pop_all()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def find(self, known: Collection[str] = ()) -> Removal:
        """What there is to remove from our schema; of all schemas, whose trajectories they are.

        Args:
            known: Trajectories of the subject that other stores know.
        """
        with in_our_words(self._dsn), self._connection.transaction():
            return self._first(self._find_all(known))

    def remove(self, known: Collection[str], *, reason: str | None, at: datetime) -> Removal:
        """Remove all of it from all schemas and leave tombstones, at once; gives what `find` does.

        Waits for batches under way, and lets later ones see the tombstones.

        Args:
            known: Trajectories of the subject that other stores know.
            reason: Why, for the tombstone.
            at: Now.
        """
        with in_our_words(self._dsn):
            with self._connection.transaction():
                self._connection.execute(query("lock_for_erasing"))
                by_schema = self._find_all(known)
                removal = self._first(by_schema)
                for schema, found in by_schema.items():
                    _use(self._connection, schema)
                    self._entomb(found.removal, removal.judgments, reason, at)
                    self._delete(found, removal)
            for schema in self._schemas:
                with self._connection.transaction():
                    _use(self._connection, schema)
                    self._connection.execute(query("forget_samples"))
        return removal

    def finish(self, at: datetime) -> None:
        """Note that nothing is left to remove, in any store."""
        values = {"erasure_id": self._subject.erasure_id, "at": at}
        with in_our_words(self._dsn), self._connection.transaction():
            for schema in self._schemas:
                _use(self._connection, schema)
                self._connection.execute(query("finish_erasure"), values)

    def _find_all(self, known: Collection[str]) -> dict[str, Found]:
        """What each schema holds.

        A trajectory that one knows as the subject's is so in all, and in other stores.
        """
        ids: set[str] = set(known)
        if self._subject.kind == "trajectory":
            ids.add(self._subject.id)
        for schema in self._schemas:
            _use(self._connection, schema)
            ids |= {i for (i,) in self._rows("trajectories_of_subject")}
        by_schema = {}
        for schema in self._schemas:
            _use(self._connection, schema)
            by_schema[schema] = self._find(ids)
        return by_schema

    def _first(self, by_schema: dict[str, Found]) -> Removal:
        """What our own schema holds, with the judgments of all."""
        judgments = {i for found in by_schema.values() for i in found.removal.judgments}
        first = by_schema[self._schemas[0]].removal
        return first.model_copy(update={"judgments": sorted(judgments)})

    def _find(self, ids: Collection[str]) -> Found:
        subject, names = self._subject, sorted(ids)
        judgments = [i for (i,) in self._rows("judgments_of", ids=names)]
        erasure_id = subject.erasure_id
        agents = {(subject.id, subject.project): erasure_id} if subject.kind == "agent" else {}
        erasures = Erasures(agents, dict.fromkeys(names, erasure_id), set(judgments))
        parts: dict[str, dict[int, str]] = defaultdict(dict)
        events: dict[str, int] = defaultdict(int)
        for i, part, content_hash, n_events in self._rows("parts_of", ids=names):
            parts[i][part] = content_hash
            events[i] += n_events
        entries = dict(self._rows("entries_of", ids=names))
        refused = [
            (topic, partition, offset)
            for topic, partition, offset, *named in _refused(self._connection)
            if erasures.has_refused(named_in(topic, *named))
        ]
        trajectories = {
            i: ErasedTrajectory(parts=parts[i], n_events=events[i], n_entries=entries.get(i, 0))
            for i in names
        }
        removal = Removal(
            trajectories=trajectories, judgments=sorted(judgments), n_refused=len(refused)
        )
        return Found(removal, refused)

    def _entomb(self, own: Removal, judgments: list[str], reason: str | None, at: datetime) -> None:
        subject = self._subject
        values = {
            "erasure_id": subject.erasure_id,
            "kind": subject.kind,
            "subject_id": subject.id,
            "project": subject.project,
            "reason": reason,
            "at": at,
            "n_refused": own.n_refused,
            "judgments": judgments,
        }
        self._connection.execute(query("record_erasure"), values)
        rows = [{"trajectory_id": i, **one.model_dump()} for i, one in own.trajectories.items()]
        self._connection.execute(
            query("record_erased"), {"erasure_id": subject.erasure_id, "rows": json.dumps(rows)}
        )
        self._connection.execute(query("record_erased_judgments"), values)

    def _delete(self, found: Found, all_of: Removal) -> None:
        topics, partitions, offsets = (
            map(list, zip(*found.refused, strict=True)) if found.refused else ([], [], [])
        )
        values = {
            "ids": [*all_of.trajectories],
            "judgments": all_of.judgments,
            "topics": topics,
            "partitions": partitions,
            "offsets": offsets,
        }
        self._connection.execute(query("erase_rows"), values)

    def _rows(self, name: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query(name), values | self._subject._asdict()).fetchall()


def _schemas(connection: Connection) -> list[str]:
    """The schema of the tables we use, and those of other output generations."""
    row = connection.execute(query("own_schema")).fetchone()
    own = [] if row is None else [row[0]]
    known = connection.execute(query("generations_exist")).fetchone()
    if known is not None and known[0]:
        own += [name for (name,) in connection.execute(query("generation_schemas"))]
    return own


def tombstones(dsn: str) -> list[Tombstone]:
    """All tombstones, oldest first."""
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        found = connection.execute(query("erased_by")).fetchall()
        erasures = connection.execute(query("all_tombstones")).fetchall()
    by_erasure: dict[str, dict[str, ErasedTrajectory]] = defaultdict(dict)
    for erasure_id, trajectory_id, parts, n_events, n_entries in found:
        by_erasure[erasure_id][trajectory_id] = ErasedTrajectory(
            parts=parts, n_events=n_events, n_entries=n_entries
        )
    return [
        Tombstone(
            **dict(zip(("kind", "id", "project", "reason", "erased_at"), row, strict=True)),
            is_finished=finished_at is not None,
            removed=Removal(
                trajectories=by_erasure[erasure_id], judgments=judgments, n_refused=n_refused
            ),
        )
        for erasure_id, *row, finished_at, n_refused, judgments in erasures
    ]


def leftovers(dsn: str) -> Iterator[str]:
    """A line about each row of an erased subject that is still stored, or stored again."""
    erasures = all_erasures(dsn)
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        for schema in _schemas(connection):
            with connection.transaction():
                _use(connection, schema)
                for kind, trajectory_id, n_rows in connection.execute(query("erased_leftovers")):
                    yield f"{schema}.{kind}: {n_rows} rows of {trajectory_id}"
                agents = {"agents": [agent_id for agent_id, _ in erasures.agents]}
                for row in connection.execute(query("parts_of_agents"), agents):
                    if erasures.has_part(*row):
                        yield f"{schema}.trajectories: a part of {row[0]} of agent {row[1]}"
                for topic, partition, offset, *named in _refused(connection):
                    if erasures.has_refused(named_in(topic, *named)):
                        yield f"{schema}.quarantine: {topic}/{partition}/{offset}"


def entries_left(dsn: str) -> int:
    """Ledger entries of trajectories that turned out to be an erased agent's only afterwards."""
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        row = connection.execute(query("erased_entries_left")).fetchone()
    return int(row[0]) if row else 0


def _use(connection: Connection, schema: str) -> None:
    """Let names mean this schema's tables, until the transaction ends."""
    statement = sql.SQL("SET LOCAL search_path = {}, pg_temp").format(sql.Identifier(schema))
    connection.execute(statement)


def _refused(connection: Connection) -> Iterator[tuple[Any, ...]]:
    """Place, key, value and trajectory_id of each refused record."""
    with connection.cursor(name="refused") as cursor:
        cursor.itersize = _ROWS_PER_FETCH
        yield from cursor.execute(query("refused_to_look_at"))
