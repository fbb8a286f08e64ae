"""All that a store holds, as text, to look for what must not be there."""

import psycopg
from psycopg import sql


def everything_in_postgres(dsn: str) -> dict[str, list[str]]:
    """Every row of every table as text, and the planner's samples; bytes as they would read."""
    found: dict[str, list[str]] = {}
    query = (
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind IN ('r', 'p') AND"
        " relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    with psycopg.connect(dsn) as connection:
        for (name,) in connection.execute(query.encode()).fetchall():
            cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name)))
            found[name] = sorted(repr(row) for row in cursor)
        samples = (
            "SELECT tablename, attname, most_common_vals::text, histogram_bounds::text"
            " FROM pg_stats WHERE schemaname = 'public'"
        )
        found["samples"] = [repr(row) for row in connection.execute(samples.encode())]
    return found
