"""Connecting to Postgres, and its errors in our words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ropewalk_sinks.errors import ConfigError, StorageError, UnreachableError

Connection = psycopg.Connection[Any]

# A frozen process must not keep the rows that its successor claims for longer than this.
_IDLE_IN_TRANSACTION_MS = 120_000
# The driver's own words about such a string may hold a part of its password.
_UNREADABLE = (
    "setting ROPEWALK_POSTGRES_DSN is not a connection string: write it like "
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and the password's special characters "
    "percent-encoded (@ as %40, / as %2F)"
)
_SECRETS = ("password", "sslpassword", "scram_client_key", "scram_server_key")
_HIDDEN = "***"


def connect(dsn: str) -> Connection:
    """A connection in UTC and in autocommit mode, so that transactions are written out.

    Raises:
        ConfigError: If the DSN cannot be read.
        UnreachableError: If no server answers, or it refuses us.
    """
    known = _parts(dsn)
    if known is None:
        raise ConfigError(_UNREADABLE)
    ours = f"-c TimeZone=UTC -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_MS}"
    options = f"{known.get('options', '')} {ours}".strip()
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
        raise ConfigError(_UNREADABLE) from error
    except psycopg.OperationalError as error:
        message = (
            f"cannot use Postgres at {place(dsn)} (setting ROPEWALK_POSTGRES_DSN): "
            f"{one_line(error)}; is it running? `ropewalk up` starts a local one"
        )
        raise UnreachableError(message) from error


def in_schema(dsn: str, schema: str) -> str:
    """A DSN by which every name means a table of this schema.

    Args:
        dsn: The database.
        schema: A name that needs no quotes.

    Raises:
        ConfigError: If the DSN cannot be read.
    """
    known = _parts(dsn)
    if known is None:
        raise ConfigError(_UNREADABLE)
    options = f"{known.get('options', '')} -c search_path={schema}".strip()
    return make_conninfo(**known | {"options": options})


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
    known = _parts(dsn)
    if known is None:
        return "the server that ROPEWALK_POSTGRES_DSN names"
    host, port = known.get("host", "localhost"), known.get("port", "5432")
    return f"{host}:{port}/{known.get('dbname', '')}"


def masked(dsn: str) -> str:
    """A DSN with ``***`` for what is secret in it; ``***`` alone when it cannot be read.

    >>> masked("postgresql://reader:s3cret@db:5432/ropewalk?sslmode=verify-full")
    'postgresql://reader:***@db:5432/ropewalk?sslmode=verify-full'
    """
    known = _parts(dsn)
    if known is None:
        return _HIDDEN
    wanted = known | {name: _HIDDEN for name in _SECRETS if name in known}
    if "://" not in dsn:
        return make_conninfo(**wanted)
    shown = re.sub(r"^(\w+://[^:@/]*):[^@/]*@", rf"\1:{_HIDDEN}@", dsn)
    shown = re.sub(rf"\b({'|'.join(_SECRETS)})=[^&]*", rf"\1={_HIDDEN}", shown)
    return shown if _parts(shown) == wanted else _HIDDEN


def _parts(dsn: str) -> dict[str, Any] | None:
    """A DSN's settings; None if it is none, or if libpq would take a part of the password for them.

    An ``@`` or ``/`` in the password of a URL, as it is: what follows becomes the host.
    """
    if "://" in dsn:
        rest = dsn.split("://", 1)[1]
        if rest.count("@") > 1 or ("@" in rest and "@" not in rest.split("/", 1)[0]):
            return None
    try:
        return conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return None


def one_line(error: BaseException) -> str:
    """An error's text without line breaks, at most 500 characters."""
    return " ".join(str(error).split())[:500]
