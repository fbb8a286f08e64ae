"""What the Parquet dataset holds, asked for by chaos' own checks."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb

LIVES = """
SELECT count(*), sum(n_events), count(DISTINCT trajectory_id) FILTER (WHERE last AND complete)
FROM read_parquet('{files}') WHERE starts_with(trajectory_id, $name)
"""
SPANS = """
SELECT trajectory_id, part, complete, w.writer, w.from_seq, w.to_seq, w.missing
FROM (SELECT trajectory_id, part, complete, unnest(writers) AS w FROM read_parquet('{files}'))
"""


@dataclass(frozen=True, slots=True)
class Lives:
    """What is stored of some trajectories; `whole` counts those that ended with nothing missing."""

    parts: int
    events: int
    whole: int


class StoredSpan(NamedTuple):
    """What a part holds of one writer."""

    trajectory_id: str
    part: int
    complete: bool
    writer: str
    from_seq: int
    to_seq: int
    missing: list[int]


def stored_spans(dataset: Path) -> list[StoredSpan]:
    """What each part holds of each of its writers."""
    query = SPANS.format(files=dataset / "trajectories" / "**" / "*.parquet")
    with duckdb.connect() as connection:
        return [StoredSpan(*row) for row in connection.execute(query).fetchall()]


def lives_in(dataset: Path, name: str) -> Lives:
    """What a dataset holds of the trajectories whose ids begin with a name."""
    query = LIVES.format(files=dataset / "trajectories" / "**" / "*.parquet")
    with duckdb.connect() as connection:
        found = connection.execute(query, {"name": name}).fetchone() or (0, 0, 0)
    return Lives(int(found[0]), int(found[1] or 0), int(found[2]))
