"""A few rows of the result, read from Parquet as a data scientist would."""

from pathlib import Path
from typing import Any

import duckdb

SCENARIOS = """
SELECT scenario, count(*) AS trajectories, sum(n_steps)::bigint AS decisions,
       sum(n_llm_calls)::bigint AS llm_calls, round(avg(reward), 3) AS mean_reward,
       count(*) FILTER (WHERE complete AND linear) AS trainable
FROM read_parquet('{path}/trajectories/**/*.parquet', hive_partitioning = true)
WHERE starts_with(trajectory_id, $run)
GROUP BY scenario ORDER BY scenario
"""
CLOSED = """
SELECT close_reason, complete, count(*) AS parts, sum(n_missing)::bigint AS missing_events
FROM read_parquet('{path}/trajectories/**/*.parquet', hive_partitioning = true)
WHERE starts_with(trajectory_id, $run)
GROUP BY ALL ORDER BY ALL
"""
CONVERSATION = """
SELECT trajectory_id, reward, messages, steps
FROM read_parquet('{path}/trajectories/**/*.parquet', hive_partitioning = true)
WHERE starts_with(trajectory_id, $run) AND complete AND linear AND n_steps BETWEEN 2 AND 4
ORDER BY reward DESC, trajectory_id LIMIT 1
"""


def ask(query: str, path: Path, run: str) -> list[dict[str, Any]]:
    """The rows of one of the queries above, for the trajectories of one run."""
    with duckdb.connect() as connection:
        found = connection.execute(query.format(path=path), {"run": run})
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
