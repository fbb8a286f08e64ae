"""The SQL the sink runs, as SQL: named queries and migrations, read once."""

import re
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

_NAME = re.compile(rb"^-- (\w+) --$", re.MULTILINE)


@cache
def query(name: str) -> bytes:
    """The text of a query of ``queries.sql`` or ``judge_queries.sql``.

    Raises:
        KeyError: If there is none of this name.
    """
    return _queries()[name]


@cache
def _queries() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for file in files(__name__).iterdir():
        if file.name.endswith("queries.sql"):
            _, *blocks = _NAME.split(file.read_bytes())
            names = (name.decode() for name in blocks[::2])
            found.update(zip(names, (text.strip() for text in blocks[1::2]), strict=True))
    return found


@cache
def ledger_macros() -> str:
    """The ledger as of any moment over the Parquet datasets, in DuckDB's SQL."""
    return (files(__name__) / "ledger.duckdb.sql").read_text(encoding="utf-8")


class Migration(NamedTuple):
    """One step of the schema; `name` is its file's."""

    name: str
    text: bytes
    checksum: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations in the order they apply."""
    found = []
    for file in (files(__name__) / "migrations").iterdir():
        text = file.read_bytes()
        found.append(Migration(file.name, text, sha256(text).hexdigest()))
    return tuple(sorted(found))
