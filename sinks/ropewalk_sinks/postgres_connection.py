"""Connecting to Postgres, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ropewalk_sinks.errors import ConfigError, StorageError, UnreachableError

Connection = psycopg.Connection[Any]

# A frozen process must not keep the rows that its successor claims for longer than this.
_IDLE_IN_TRANSACTION_MS = 120_000


def connect(dsn: str) -> Connection:
    """A connection in UTC and in autocommit mode, so that transactions are written out.

    Raises:
        ConfigError: If the DSN cannot be read.
        UnreachableError: If no server answers, or it refuses us.
    """
    options = f"-c TimeZone=UTC -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_MS}"
    try:
        return psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=10,
            application_name="ropewalk sink",
            keepalives_idle=30,
            options=options,
        )
    except psycopg.ProgrammingError as error:
        message = f"setting ROPEWALK_POSTGRES_DSN is not a connection string: {one_line(error)}"
        raise ConfigError(message) from error
    except psycopg.OperationalError as error:
        message = (
            f"cannot use Postgres at {place(dsn)} (setting ROPEWALK_POSTGRES_DSN): "
            f"{one_line(error)}; is it running? `ropewalk up` starts a local one"
        )
        raise UnreachableError(message) from error


@contextmanager
def in_our_words(dsn: str) -> Iterator[None]:
    """Turn what the driver raises inside into a `SinkError`."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        message = f"lost Postgres at {place(dsn)}: {one_line(error)}; nothing half-written is kept"
        raise UnreachableError(message) from error
    except psycopg.Error as error:
        message = f"Postgres at {place(dsn)} refuses to store: {one_line(error)}"
        raise StorageError(message) from error


def place(dsn: str) -> str:
    """Host, port and database of a DSN, without its password."""
    known = conninfo_to_dict(dsn)
    host, port = known.get("host", "localhost"), known.get("port", "5432")
    return f"{host}:{port}/{known.get('dbname', '')}"


def one_line(error: BaseException) -> str:
    """An error's text without line breaks, at most 500 characters."""
    return " ".join(str(error).split())[:500]
