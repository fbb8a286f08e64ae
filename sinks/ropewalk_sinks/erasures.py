"""Who was erased, as both stores know it together."""

from pathlib import Path

from ropewalk_sinks import parquet_erasures, postgres_erasures
from ropewalk_sinks.erasure import Erasures, united


def all_erasures(dsn: str, path: Path) -> Erasures:
    """Everything that is erased from either store: an erasure may have died between them.

    Ask `has_part` of it for a part, `has_agent` and `has_trajectory` for what is known so far, and
    `has_refused(named_by(...))` for a refused record.

    Args:
        dsn: The database.
        path: The root of the Parquet datasets.

    Raises:
        UnreachableError: If the database does not answer.
        StorageError: If a tombstone cannot be read.
    """
    return united(postgres_erasures.all_erasures(dsn), parquet_erasures.all_erasures(path))
