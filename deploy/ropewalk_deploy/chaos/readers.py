"""Reads the datasets in a loop, as trainers do, while something else goes on."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb

from ropewalk_deploy.chaos.battle import Battle
from ropewalk_deploy.chaos.beside import beside
from ropewalk_deploy.chaos.strikes import Strike

IDENTITIES = """
SELECT count(*), count(DISTINCT (trajectory_id, part)),
       count(*) FILTER (WHERE len(steps) = n_steps AND len(llm_calls) = n_llm_calls)
FROM read_parquet('{files}')
"""
FURTHER_LOOKS = 5


class Found(NamedTuple):
    """What one look found: rows, different (trajectory, part), and rows that are whole."""

    rows: int
    parts: int
    whole: int


def read_while(strike: Strike) -> Strike:
    """A strike, with DuckDB and pandas reading everything again and again.

    Each look must find whole files only, whole parts only, and no part twice or gone.
    """

    def all_at_once(battle: Battle) -> None:
        with ExitStack() as readers:
            for name, look in READERS.items():
                read = partial(_read, battle, name, look)
                readers.enter_context(beside(read, name=name))
            strike(battle)

    return all_at_once


def _read(battle: Battle, name: str, look: Callable[[Path], Found], stop: threading.Event) -> None:
    folder = battle.arena.places.parquet_path / "trajectories"
    most = n_looks = 0
    while not stop.is_set() or n_looks < FURTHER_LOOKS:
        if not any(folder.rglob("*.parquet")):
            continue
        n_looks += 1
        try:
            found = look(folder)
        except Exception as error:  # whatever a reader meets must not be
            battle.notes.append(f"{name} failed: {error}")
            continue
        if not found.rows == found.parts == found.whole or found.rows < most:
            battle.notes.append(f"{name} found {found}; before {most} rows")
        most = max(most, found.rows)


def _with_duckdb(folder: Path) -> Found:
    query = IDENTITIES.format(files=folder / "**" / "*.parquet")
    with duckdb.connect() as connection:
        return Found(*(connection.execute(query).fetchone() or (0, 0, 0)))


def _with_pandas(folder: Path) -> Found:
    import pandas as pd  # type: ignore[import-untyped] # noqa: PLC0415 - only this reader needs it

    columns = ["trajectory_id", "part", "n_steps", "steps", "n_llm_calls", "llm_calls"]
    frame = pd.read_parquet(folder, columns=columns)
    is_whole = (frame["steps"].str.len() == frame["n_steps"]) & (
        frame["llm_calls"].str.len() == frame["n_llm_calls"]
    )
    n_parts = len(frame[["trajectory_id", "part"]].drop_duplicates())
    return Found(len(frame), n_parts, int(is_whole.sum()))


READERS = {"DuckDB": _with_duckdb, "pandas": _with_pandas}
