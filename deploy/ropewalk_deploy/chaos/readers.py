"""Reads the datasets in a loop, as trainers do, while something else goes on."""

import threading
from pathlib import Path

import duckdb

from ropewalk_deploy.chaos.battle import Battle
from ropewalk_deploy.chaos.strikes import Strike

IDENTITIES = """
SELECT count(*), count(DISTINCT (trajectory_id, part)),
       count(*) FILTER (WHERE len(steps) = n_steps AND len(llm_calls) = n_llm_calls)
FROM read_parquet('{files}')
"""
FURTHER_LOOKS = 5


def read_while(strike: Strike) -> Strike:
    """A strike, with DuckDB reading everything again and again.

    Each look must find whole files only, whole parts only, and no part twice or gone.
    """

    def both(battle: Battle) -> None:
        stop = threading.Event()
        reading = threading.Thread(target=_read, args=(battle, stop), name="readers")
        reading.start()
        try:
            strike(battle)
        finally:
            stop.set()
            reading.join()

    return both


def _read(battle: Battle, stop: threading.Event) -> None:
    folder = battle.arena.places.parquet_path / "trajectories"
    most = n_looks = 0
    while not stop.is_set() or n_looks < FURTHER_LOOKS:
        if not any(folder.rglob("*.parquet")):
            continue
        most = max(most, _look(folder, most, battle))
        n_looks += 1


def _look(folder: Path, most: int, battle: Battle) -> int:
    """One look; gives how many parts there are, and notes what must not be."""
    query = IDENTITIES.format(files=folder / "**" / "*.parquet")
    try:
        with duckdb.connect() as connection:
            found = connection.execute(query).fetchone()
    except duckdb.Error as error:
        battle.notes.append(f"a reader failed: {error}")
        return most
    n_rows, n_parts, n_whole = found or (0, 0, 0)
    if not n_rows == n_parts == n_whole or n_rows < most:
        battle.notes.append(
            f"a reader found {n_rows} rows of {n_parts} parts, {n_whole} whole; before {most}"
        )
    return int(n_rows)
