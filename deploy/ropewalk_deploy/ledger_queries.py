"""The ledger as of a moment, from the Parquet datasets; the SQL is `ledger.duckdb.sql`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb

from ropewalk_deploy.errors import CommandError
from ropewalk_sinks.ledger import Counting, Earned, LedgerView, Unfollowed, Unmatched
from ropewalk_sinks.sql import ledger_macros

Row = TypeVar("Row", Counting, Earned, Unfollowed, Unmatched)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Where no part is stored yet, rewards wait all the same.
NO_TRAJECTORIES = """
CREATE VIEW trajectories AS
SELECT NULL::VARCHAR AS trajectory_id, NULL::INTEGER AS part,
       NULL::STRUCT(step INTEGER, event_id VARCHAR)[] AS steps,
       NULL::STRUCT(call_id VARCHAR, event_id VARCHAR, response_id VARCHAR, step INTEGER)[]
           AS llm_calls
WHERE false
"""
# Instants leave as microseconds: a driver without a zone database cannot give them otherwise.
ASKED = """
SELECT {columns}, epoch_us(recorded_at)
FROM {macro}(coalesce($moment::TIMESTAMPTZ, 'infinity'::TIMESTAMPTZ))
WHERE $trajectory_id::VARCHAR IS NULL OR trajectory_id = $trajectory_id
ORDER BY {order}
"""


def parquet_ledger_as_of(
    path: Path, moment: datetime | None = None, trajectory_id: str | None = None
) -> LedgerView:
    """What counted at a moment, and what was wrong or waited then.

    Args:
        path: The root of the Parquet datasets.
        moment: Aware; None for all that is recorded.
        trajectory_id: Only this trajectory.

    Raises:
        CommandError: If a file cannot be read, naming the path.
    """
    with _asking(path, moment, trajectory_id) as ask:
        return LedgerView(
            ask("rewards_as_of", Earned),
            ask("reward_problems_as_of", Unfollowed),
            ask("unmatched_rewards_as_of", Unmatched),
        )


def parquet_entries_as_of(
    path: Path, moment: datetime | None = None, trajectory_id: str | None = None
) -> list[Counting]:
    """Each entry that counted at a moment; arguments and errors as of `parquet_ledger_as_of`."""
    with _asking(path, moment, trajectory_id) as ask:
        return ask("entries_as_of", Counting)


class _Ask(Protocol):
    def __call__(self, macro: str, row: type[Row], /) -> list[Row]: ...


@contextmanager
def _asking(path: Path, moment: datetime | None, trajectory_id: str | None) -> Iterator[_Ask]:
    """Asks macros about one moment; where nothing was ever rewarded, the answers are empty."""
    asked = {
        "moment": None if moment is None else moment.isoformat(),
        "trajectory_id": trajectory_id,
    }
    has_rewards = _has_files(path, "rewards")
    try:
        with duckdb.connect() as connection:
            if has_rewards:
                _open(connection, path)
            yield lambda macro, row: _ask(connection, macro, row, asked) if has_rewards else []
    except duckdb.Error as error:
        words = " ".join(str(error).split())
        message = f"cannot read the ledger in {path} (setting ROPEWALK_PARQUET_PATH): {words}"
        raise CommandError(message) from error


def _open(connection: "duckdb.DuckDBPyConnection", path: Path) -> None:
    """Name the datasets as the macros know them."""
    connection.execute(_view("rewards", path))
    stored = _has_files(path, "trajectories")
    connection.execute(_view("trajectories", path) if stored else NO_TRAJECTORIES)
    connection.execute(ledger_macros())


def _view(dataset: str, path: Path) -> str:
    files = str(path / dataset / "**" / "*.parquet").replace("'", "''")
    return f"CREATE VIEW {dataset} AS FROM read_parquet('{files}')"


def _has_files(path: Path, dataset: str) -> bool:
    return any((path / dataset).glob("**/*.parquet"))


def _ask(
    connection: "duckdb.DuckDBPyConnection",
    macro: str,
    row: type[Row],
    asked: dict[str, str | None],
) -> list[Row]:
    """Rows of a macro; the last column of each kind is `recorded_at`."""
    columns = row._fields
    order = [name for name in columns if name in {"trajectory_id", "part", "step", "reward_id"}]
    query = ASKED.format(columns=", ".join(columns[:-1]), macro=macro, order=", ".join(order))
    found = connection.execute(query, asked).fetchall()
    return [row._make(_with_instant(values)) for values in found]


def _with_instant(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row whose last value, microseconds since 1970, became an instant."""
    return (*values[:-1], EPOCH + timedelta(microseconds=values[-1]))
