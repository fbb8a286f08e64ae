"""What is asked of a long trajectory costs what it holds, not its square; counted, not timed."""

from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from tests.support.plans import plan_nodes
from tests.support.published import a_call, a_part, a_step, an_entry
from tests.support.sink_lab import fresh_database, rows
from tests.support.stored_ledgers import store_in_parquet, store_in_postgres

from ropewalk_deploy.stack.model import Stack
from ropewalk_sinks.sql import ledger_macros

pytestmark = pytest.mark.integration

N, N_ENTRIES, N_SHORT = 1_000, 200, 100


def a_long_part() -> Any:
    """Each step rests on a call of its own."""
    calls = [a_call(n, input=None, output=[0]) for n in range(N)]
    steps = [a_step(n) for n in range(N)]
    return a_part("long", steps=steps, llm_calls=calls, n_steps=N, n_llm_calls=N)


def among_others() -> list[Any]:
    """The long one is in one row group with short ones, as it is in a file of the sink."""
    short = [a_part(f"short-{n}") for n in range(N_SHORT)]
    theirs = [an_entry(f"short-{n}", f"short-{n}", call_id="call-1") for n in range(N_SHORT)]
    return [*short, a_long_part(), *theirs, *entries()]


def entries() -> list[Any]:
    """Each names a step in one of three ways; spread over all of the trajectory."""
    ways = ("target_event_id", "event"), ("call_id", "call"), ("response_id", "response")
    return [
        an_entry(f"r-{n}", "long", **{field: f"{prefix}-{at}"})
        for n in range(N_ENTRIES)
        for field, prefix in [ways[n % 3]]
        for at in [n * (N // N_ENTRIES)]
    ]


PLACED = [
    *((f"r-{n}", 0, n * (N // N_ENTRIES)) for n in range(N_ENTRIES)),
    *((f"short-{n}", 0, 1) for n in range(N_SHORT)),
]
PLACES = "SELECT reward_id, part, step FROM entries_as_of('infinity')"


def rows_visited(dsn: str) -> int:
    """Rows that any node of Postgres' plan makes or throws away."""
    made_or_not = "Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter"
    return sum(
        node.get(name, 0) * node["Actual Loops"]
        for node in plan_nodes(dsn, PLACES)
        for name in made_or_not
    )


def test_postgres_places_an_entry_by_index_whatever_it_knows_of_the_tables(
    stack: Stack, unique: str
) -> None:
    dsn = fresh_database(stack, unique)
    store_in_postgres(dsn, among_others())
    for knows_the_tables in (False, True):
        if knows_the_tables:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(b"ANALYZE")
        assert sorted(rows(dsn, PLACES)) == sorted(PLACED)
        # The product of steps and entries is 200,000.
        assert 0 < rows_visited(dsn) < 10 * (N + N_ENTRIES + N_SHORT)


def test_duckdb_places_all_in_little_memory(tmp_path: Path) -> None:
    store_in_parquet(tmp_path, among_others(), flushes=1)
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '150MB'; SET temp_directory = ''; SET threads = 1")
        for name in ("rewards", "trajectories"):
            files = tmp_path / name / "**" / "*.parquet"
            connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{files}')")
        connection.execute(ledger_macros())
        assert sorted(connection.execute(PLACES).fetchall()) == sorted(PLACED)
