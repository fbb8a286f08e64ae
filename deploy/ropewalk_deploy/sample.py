"""A few rows of the result, read from Parquet as a data scientist would."""

from pathlib import Path
from typing import Any

import duckdb

from ropewalk_deploy.group_queries import open_datasets

SCENARIOS = """
SELECT scenario, count(*) AS trajectories, sum(n_steps)::bigint AS decisions,
       sum(n_llm_calls)::bigint AS llm_calls, round(avg(reward), 3) AS mean_reward,
       count(*) FILTER (WHERE complete AND linear) AS trainable
FROM trajectories
WHERE starts_with(trajectory_id, $run)
GROUP BY scenario ORDER BY scenario
"""
CLOSED = """
SELECT close_reason, complete, count(*) AS parts, sum(n_missing)::bigint AS missing_events
FROM trajectories
WHERE starts_with(trajectory_id, $run)
GROUP BY ALL ORDER BY ALL
"""
SOURCES = """
SELECT r.source, count(*) AS entries, count(e.reward_id) AS counting,
       count(*) - count(e.reward_id) AS superseded, round(avg(e.value), 3) AS mean_value
FROM rewards r
LEFT JOIN entries_as_of('infinity'::TIMESTAMPTZ) e ON e.reward_id = r.reward_id
WHERE starts_with(r.trajectory_id, $run)
GROUP BY r.source ORDER BY r.source
"""
GROUPS = """
SELECT trainable, why_not, count(*) AS groups, sum(size)::bigint AS members
FROM groups() WHERE starts_with(group_key, $run)
GROUP BY ALL ORDER BY trainable DESC, groups DESC, why_not
"""
CONVERSATION = """
SELECT trajectory_id, reward, messages, steps
FROM trajectories
WHERE starts_with(trajectory_id, $run) AND complete AND linear AND n_steps BETWEEN 2 AND 4
ORDER BY reward DESC, trajectory_id LIMIT 1
"""


def ask(query: str, path: Path, run: str) -> list[dict[str, Any]]:
    """The rows of one of the queries above, for the trajectories of one run."""
    with duckdb.connect() as connection:
        open_datasets(connection, path)
        found = connection.execute(query, {"run": run})
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
