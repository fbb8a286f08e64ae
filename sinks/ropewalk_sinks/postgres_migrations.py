"""Bringing a database to the schema the sink writes."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from ropewalk_sinks.errors import MigrationError
from ropewalk_sinks.postgres_connection import (
    Connection,
    connect,
    in_our_words,
    one_line,
    place,
)
from ropewalk_sinks.sql import Migration, migrations, query


def migrate(dsn: str) -> list[str]:
    """Apply what is missing, in order, each in its own transaction.

    Returns:
        The names of what was applied now.

    Raises:
        MigrationError: If an applied migration was changed since, or the user lacks a right.
        UnreachableError: If the database does not answer.
    """
    with closing(connect(dsn)) as connection, in_our_words(dsn):
        # Held by this session: a second `migrate` waits, then finds everything applied.
        connection.execute(query("lock_migrations"))
        connection.execute(query("create_migration_ledger"))
        missing = missing_migrations(connection, place(dsn))
        for migration in missing:
            with connection.transaction(), _forbidden_named(migration.name, place(dsn)):
                connection.execute(migration.text)
                values = {"name": migration.name, "checksum": migration.checksum}
                connection.execute(query("record_migration"), values)
    return [migration.name for migration in missing]


@contextmanager
def _forbidden_named(name: str, where: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        told = error.diag.message_primary or one_line(error)
        message = f"migration {name} was not applied to {where}: {told}; then run this again"
        raise MigrationError(message) from error


def require_migrations(connection: Connection, where: str) -> None:
    """Refuse a database that lacks a migration.

    Args:
        connection: To the database.
        where: How a person knows the database.

    Raises:
        MigrationError: Naming what is missing and what to do.
    """
    missing = missing_migrations(connection, where)
    if missing:
        names = ", ".join(migration.name for migration in missing)
        message = f"database {where} lacks {names}: run `ropewalk migrate`, then start again"
        raise MigrationError(message)


def missing_migrations(connection: Connection, where: str) -> list[Migration]:
    """What is not applied yet, in order.

    Raises:
        MigrationError: If an applied migration was changed since.
    """
    applied: dict[str, str] = {}
    exists = connection.execute(query("migration_ledger_exists")).fetchone()
    if exists is not None and exists[0]:
        applied = dict(connection.execute(query("applied_migrations")).fetchall())
    for migration in migrations():
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            message = (
                f"migration {migration.name} was changed after it was applied to {where}: "
                "restore the file, and put the change into a new migration"
            )
            raise MigrationError(message)
    return [migration for migration in migrations() if migration.name not in applied]
