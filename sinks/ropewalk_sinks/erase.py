"""Removing a subject from both stores, with a tombstone in each.

The order lets it die anywhere and be run again: the Parquet sinks are told, then what Parquet knows
of the subject is looked up, then Postgres is done at once, then Parquet is rewritten, then both are
told that it is finished. What one store knows of the subject's trajectories counts for the other.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ropewalk_schemas.failpoints import reach
from ropewalk_sinks.erasure import Subject
from ropewalk_sinks.parquet_erase import ParquetEraser, roots
from ropewalk_sinks.parquet_files import Files
from ropewalk_sinks.parquet_lock import RootLock
from ropewalk_sinks.postgres_erase import PostgresEraser
from ropewalk_sinks.tombstones import Removal

Told = Callable[[float], None]


class Erased(NamedTuple):
    """What was removed from each store by this run, or is there to remove.

    Other output generations are not counted here: each has tombstones of its own.
    """

    postgres: Removal
    parquet: Removal


def look(dsn: str, path: Path, subject: Subject) -> Erased:
    """What there is to remove; nothing changes."""
    parquet = _parquet(path, subject)
    with closing(PostgresEraser(dsn, subject)) as postgres:
        in_postgres = postgres.find(_trajectories(parquet))
        found = parquet[0].find(in_postgres.trajectories, in_postgres.judgments, lambda _: None)
        return Erased(in_postgres, found)


def erase(
    dsn: str, path: Path, subject: Subject, *, reason: str | None, now: datetime, told: Told
) -> Erased:
    """Remove a subject from both stores; again, it removes what came since and finishes.

    Args:
        dsn: The database.
        path: The root of the Parquet datasets.
        subject: Whom to remove.
        reason: Why, for the tombstones.
        now: For the tombstones.
        told: Is told the share of the Parquet files that is looked through.

    Raises:
        SinkError: What stopped it; what it had begun is finished by running it again.
    """
    parquet = _parquet(path, subject)
    with closing(PostgresEraser(dsn, subject)) as postgres:
        with RootLock(parquet[0].layout, Files()).rewriter():
            for eraser in parquet:
                eraser.begin(reason=reason, at=now)
            reach("erase.begun")
            in_postgres = postgres.remove(_trajectories(parquet), reason=reason, at=now)
            reach("erase.postgres.after")
            found = []
            for number, eraser in enumerate(parquet):
                share = _share_of(told, number, len(parquet))
                found.append(eraser.find(in_postgres.trajectories, in_postgres.judgments, share))
                eraser.remove(found[-1], at=now)
            reach("erase.parquet.after")
            for eraser in parquet:
                eraser.finish()
        postgres.finish(now)
    return Erased(in_postgres, found[0])


def _parquet(path: Path, subject: Subject) -> list[ParquetEraser]:
    main, *others = roots(path)
    return [ParquetEraser(main, layout, Files(), subject) for layout in (main, *others)]


def _trajectories(erasers: list[ParquetEraser]) -> set[str]:
    """What the Parquet datasets of all generations know as the subject's."""
    return {i for eraser in erasers for i in eraser.trajectories()}


def _share_of(told: Told, number: int, n: int) -> Told:
    return lambda share: told((number + share) / n)
