"""The register of output generations: what there is beside what readers see, and its schemas."""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import sql

from ropewalk_sinks.errors import GenerationError
from ropewalk_sinks.postgres_connection import (
    Connection,
    connect,
    in_our_words,
    in_schema,
    place,
)
from ropewalk_sinks.postgres_migrations import migrate, require_migrations
from ropewalk_sinks.sql import query

_LOCKED_WITHIN_S = 10.0


class Generation(NamedTuple):
    """One generation.

    Attributes:
        state: `building`, `built`, `promoting`, `promoted`, `undoing` or `removing`.
        replaced_by: Of what readers saw before: the generation that took its place.
        ranges: As given.
        limits: In place of those in the log, if there were any.
        log: By partition of `agent-events`: first offset and next offset.
        in_postgres: Whether readers of Postgres see it; `in_parquet` likewise.
    """

    name: str
    state: str
    replaced_by: str | None
    ranges: list[str]
    project: str | None
    limits: dict[str, Any] | None
    engine_version: str
    log: dict[str, list[int]]
    counts: dict[str, Any]
    in_postgres: bool
    in_parquet: bool
    begun_at: datetime
    built_at: datetime | None
    promoted_at: datetime | None


class HeldNow(NamedTuple):
    """What readers see of one trajectory: whether its last part, and where its events begin."""

    has_last: bool
    partition: int
    first_offset: int


class Register:
    """The register, and the right to change it; made by `open_register`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def all(self) -> list[Generation]:
        """Every generation, oldest first."""
        return _generations(self.connection)

    def get(self, name: str) -> Generation | None:
        """The generation of this name."""
        return next((known for known in self.all() if known.name == name), None)

    def members(self, name: str) -> list[str]:
        """The trajectories a generation speaks for."""
        return _members(self.connection, name)

    def begin(self, generation: Generation, members: Collection[str] = ()) -> None:
        """Write a generation down before anything of it exists.

        Raises:
            GenerationError: If somebody else's schema has its name.
        """
        name = generation.name
        with self.connection.transaction():
            row = self.connection.execute(query("schema_exists"), {"name": name}).fetchone()
            if row is not None and row[0]:
                message = (
                    f"the database has a schema {name!r} that is no generation: choose another name"
                )
                raise GenerationError(message)
            values = generation._asdict() | {
                "ranges": json.dumps(generation.ranges),
                "limits": None if generation.limits is None else json.dumps(generation.limits),
                "log": json.dumps(generation.log),
            }
            self.connection.execute(query("begin_generation"), values)
            ids = sorted(members)
            self.connection.execute(query("add_members"), {"name": name, "ids": ids})
            self.connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))

    def built(self, name: str, counts: Mapping[str, Any]) -> None:
        """A generation is whole, in both stores."""
        self.connection.execute(
            query("generation_built"), {"name": name, "counts": json.dumps(counts)}
        )

    def set_state(self, name: str, state: str) -> None:
        """Write down what is under way."""
        self.connection.execute(query("generation_state"), {"name": name, "state": state})

    def promoted_since(self, name: str) -> dict[str, int]:
        """Generations promoted after this one, by how many of its trajectories they speak for."""
        return dict(self.connection.execute(query("promoted_since"), {"name": name}).fetchall())

    def promoted(self, name: str, before: str) -> None:
        """Both stores have switched to a generation; `before` holds what they had."""
        with self.connection.transaction():
            self.connection.execute(query("replaced_built"), {"name": before})
            self.connection.execute(query("generation_promoted"), {"name": name})

    def returned(self, name: str, before: str) -> None:
        """Both stores have gone back; `before` holds nothing any more."""
        with self.connection.transaction():
            self.connection.execute(query("generation_returned"), {"name": name})
            self.set_state(before, "removing")

    def remove(self, name: str) -> None:
        """Drop a generation's schema and forget it."""
        with self.connection.transaction():
            drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE")
            self.connection.execute(drop.format(sql.Identifier(name)))
            self.connection.execute(query("forget_generation"), {"name": name})

    def chosen_now(
        self, ranges: Sequence[tuple[datetime, datetime]], project: str | None
    ) -> dict[str, HeldNow]:
        """What readers see of trajectories with a part in the ranges ``[begin, end)``."""
        begins, ends = (list(moments) for moments in zip(*ranges, strict=True))
        return self._held("chosen_now", {"begins": begins, "ends": ends, "project": project})

    def held_now(self, ids: Collection[str]) -> dict[str, HeldNow]:
        """What readers see of these trajectories."""
        return self._held("held_now", {"ids": list(ids)})

    def _held(self, name: str, values: Mapping[str, Any]) -> dict[str, HeldNow]:
        rows = self.connection.execute(query(name), values)
        return {trajectory_id: HeldNow(*held) for trajectory_id, *held in rows}


@contextmanager
def open_register(dsn: str) -> Iterator[Register]:
    """The register, for one command at a time; the server frees it when the process dies.

    Raises:
        GenerationError: If another command holds it.
        MigrationError: If the database lacks a migration.
        UnreachableError: If it does not answer.
    """
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        require_migrations(connection, place(dsn))
        until = time.monotonic() + _LOCKED_WITHIN_S
        while not _locked(connection):
            if time.monotonic() > until:
                message = (
                    f"another command works on the generations of {place(dsn)}: only one reprocess,"
                    " promote or generations rm at a time; wait for it"
                )
                raise GenerationError(message)
            time.sleep(0.1)
        yield Register(connection)


def migrate_all(dsn: str) -> list[str]:
    """Bring the tables that readers use, and those of generations, to what this code writes.

    Returns:
        The names of what was applied now; ``generation/name`` in a generation's schema.

    Raises:
        MigrationError: If an applied migration was changed since, or the user lacks a right.
        UnreachableError: If the database does not answer.
    """
    applied = migrate(dsn)
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        schemas = [name for (name,) in connection.execute(query("generation_schemas"))]
    for schema in schemas:
        applied += [f"{schema}/{name}" for name in migrate(in_schema(dsn, schema))]
    return applied


def read_generations(dsn: str) -> list[Generation]:
    """Every generation, oldest first, for those who only look."""
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        exist = connection.execute(query("generations_exist")).fetchone()
        return _generations(connection) if exist is not None and exist[0] else []


def read_members(dsn: str, name: str) -> list[str]:
    """The trajectories a generation speaks for."""
    with in_our_words(dsn), closing(connect(dsn)) as connection:
        return _members(connection, name)


def _locked(connection: Connection) -> bool:
    row = connection.execute(query("try_lock_generations")).fetchone()
    return row is not None and row[0]


def _generations(connection: Connection) -> list[Generation]:
    return [Generation._make(row) for row in connection.execute(query("generations"))]


def _members(connection: Connection, name: str) -> list[str]:
    return [row[0] for row in connection.execute(query("members"), {"name": name})]
