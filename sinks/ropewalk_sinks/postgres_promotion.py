"""Puts a generation's trajectories in the place of those that readers of Postgres see, at once.

One transaction moves the rows of the trajectories out of the tables that readers use, into the
schema of the generation that is to hold them, and the generation's own rows in. The reward ledger
is append-only and stays.
"""

from psycopg import sql

from ropewalk_schemas.failpoints import reach
from ropewalk_sinks.postgres_connection import Connection
from ropewalk_sinks.postgres_tables import (
    CLAIMS,
    LLM_CALLS,
    MESSAGES,
    PARTS,
    SCORES,
    STEPS,
    TRAJECTORIES,
)
from ropewalk_sinks.sql import query

_BY_PART = (TRAJECTORIES, MESSAGES, STEPS, LLM_CALLS)
_MOVE_BY_PART = sql.SQL(
    """WITH moved AS (
        DELETE FROM {source} t USING switching_parts k
        WHERE t.window_start = k.window_start AND t.trajectory_id = k.trajectory_id
            AND t.part = k.part
        RETURNING t.*
    ) INSERT INTO {target} SELECT * FROM moved"""
)
_BY_TRAJECTORY = (SCORES, CLAIMS, PARTS)
_MOVE_BY_TRAJECTORY = sql.SQL(
    """WITH moved AS (
        DELETE FROM {source} t USING switching s WHERE t.trajectory_id = s.trajectory_id
        RETURNING t.*
    ) INSERT INTO {target} SELECT * FROM moved"""
)
# So that each month's table is asked for its own rows only.
_NOTE_PARTS = sql.SQL(
    """CREATE TEMP TABLE switching_parts ON COMMIT DROP AS
    SELECT window_start, trajectory_id, part FROM {parts} JOIN switching USING (trajectory_id)"""
)


def switch_postgres(
    connection: Connection, *, incoming: str, displaced: str, of: str, seen: bool
) -> None:
    """Exchange the rows of a generation's trajectories, and write down who sees it; all or nothing.

    Args:
        connection: To the database, in the schema that readers use, in autocommit mode.
        incoming: The schema whose rows come.
        displaced: The schema that is to hold the rows that go.
        of: The generation whose trajectories it is about.
        seen: Whether readers see that generation afterwards.
    """
    with connection.transaction():
        connection.execute(query("keep_sinks_out"))
        connection.execute(query("keep_scoring_out"))
        connection.execute(query("lock_months"))
        connection.execute(query("note_members"), {"name": of})
        connection.execute(query("analyze_members"))
        row = connection.execute(query("current_schema")).fetchone()
        live = row[0] if row is not None else ""
        _move(connection, live, displaced)
        _move(connection, incoming, live)
        connection.execute(query("generation_switched"), {"name": of, "seen": seen})
        reach("promote.postgres.before")
    reach("promote.postgres.after")


def _move(connection: Connection, source: str, target: str) -> None:
    """Move the rows of the trajectories; both schemas were made by the same migrations."""
    parts = sql.Identifier(source, PARTS.name)
    connection.execute(_NOTE_PARTS.format(parts=parts))
    connection.execute("ANALYZE switching_parts")
    _create_months(connection, target)
    for statement, tables in ((_MOVE_BY_PART, _BY_PART), (_MOVE_BY_TRAJECTORY, _BY_TRAJECTORY)):
        for table in tables:
            names = {"source": source, "target": target}
            ids = {which: sql.Identifier(name, table.name) for which, name in names.items()}
            connection.execute(statement.format(**ids))
    connection.execute("DROP TABLE switching_parts")


def _create_months(connection: Connection, schema: str) -> None:
    """Make sure of the tables for the months of the rows."""
    months = connection.execute(query("months_of_switch")).fetchall()
    path = connection.execute(query("search_path")).fetchone()
    connection.execute(query("set_search_path"), {"path": schema})
    for (month,) in months:
        connection.execute(query("create_month"), {"month": month})
    connection.execute(query("set_search_path"), {"path": path[0] if path else ""})
