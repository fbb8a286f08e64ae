"""Scoring what the Parquet datasets hold by a specification."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ropewalk_schemas.reward_specs import RewardSpec
from ropewalk_schemas.scored_trajectory import score_trajectory
from ropewalk_schemas.scoring import ScoredStep
from ropewalk_sinks.parquet_layout import Layout
from ropewalk_sinks.parquet_reads import rows
from ropewalk_sinks.scored_rows import StoredEntry, dataset_steps, score_columns

_COLUMNS = ("trajectory_id", "part", "project", "steps", "llm_calls")


def score_dataset(
    path: Path, spec: RewardSpec, *, project: str | None = None
) -> Iterator[dict[str, Any]]:
    """What `ropewalk score` would store of these trajectories in Postgres, row by row.

    In memory are the ledger, and of every step its names and components.

    Raises:
        StorageError: If a file cannot be read.
    """
    ledgers: dict[str, list[StoredEntry]] = defaultdict(list)
    places = ("source_partition", "source_offset")
    entries = _rows(path, "rewards", (*places, *StoredEntry._fields))
    for row in sorted(entries, key=lambda row: row[: len(places)]):
        entry = StoredEntry(*row[len(places) :])
        ledgers[entry.trajectory_id].append(entry)
    for trajectory_id, parts in sorted(_parts(path, project).items()):
        for scored in score_trajectory(spec, parts, ledgers[trajectory_id]):
            yield score_columns(trajectory_id, spec, scored)


def _parts(path: Path, project: str | None) -> dict[str, dict[int, list[ScoredStep]]]:
    found: dict[str, dict[int, list[ScoredStep]]] = defaultdict(dict)
    for row in _rows(path, "trajectories", _COLUMNS):
        named = dict(zip(_COLUMNS, row, strict=True))
        if project in (None, named["project"]):
            found[named["trajectory_id"]][named["part"]] = dataset_steps(named)
    return found


def _rows(path: Path, dataset: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    files = [file for file in Layout(path).data_files(dataset) if file.suffix == ".parquet"]
    return rows(files, dataset, columns)
