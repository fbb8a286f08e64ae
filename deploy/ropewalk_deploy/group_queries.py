"""The groups, from the Parquet datasets; the SQL is `groups.duckdb.sql`."""

from pathlib import Path

import duckdb

from ropewalk_deploy.errors import CommandError
from ropewalk_sinks.arrow_schemas import SCHEMAS
from ropewalk_sinks.groups import Group, group_macros
from ropewalk_sinks.sql import ledger_macros

ASKED = """
SELECT project, scenario, group_key, window_id, policy_version, size, n_agents, same_policy,
       n_complete, n_pending, n_rewarded, min_reward, max_reward, mean_reward, std_reward,
       trajectory_ids, rewards, advantages, why_not, trainable
FROM groups() WHERE trainable OR NOT $trainable
ORDER BY project, scenario, group_key, window_start, policy_version
"""


def parquet_groups(path: Path, *, trainable: bool = False) -> list[Group]:
    """All groups, or those that can be trained on, by project, scenario, key, window and policy.

    Raises:
        CommandError: If a file cannot be read, naming the path.
    """
    try:
        with duckdb.connect() as connection:
            open_datasets(connection, path)
            found = connection.execute(ASKED, {"trainable": trainable}).fetchall()
    except duckdb.Error as error:
        words = " ".join(str(error).split())
        msg = f"cannot read the groups in {path} (setting ROPEWALK_PARQUET_PATH): {words}"
        raise CommandError(msg) from error
    return list(map(Group._make, found))


def open_datasets(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Name the datasets as the macros know them, and define the macros."""
    for dataset in ("rewards", "trajectories"):
        files = path / dataset / "**" / "*.parquet"
        if any((path / dataset).rglob("*.parquet")):
            quoted = str(files).replace("'", "''")
            connection.execute(f"CREATE VIEW {dataset} AS FROM read_parquet('{quoted}')")
        else:  # a glob without files is an error
            connection.register(dataset, SCHEMAS[dataset].empty_table())
    connection.execute(ledger_macros())
    connection.execute(group_macros())
