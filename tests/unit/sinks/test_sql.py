import re

import pytest

from ropewalk_sinks.postgres_tables import DEPENDENT, GUARDED
from ropewalk_sinks.sql import migrations, query


def test_migrations_are_numbered_without_gaps() -> None:
    assert [int(m.name[:3]) for m in migrations()] == list(range(1, len(migrations()) + 1))
    assert all(re.fullmatch(r"\d{3}_\w+\.sql", m.name) for m in migrations())


def test_an_unknown_query_is_an_error() -> None:
    assert query("move_offset").endswith(b"next_offset = %(expected)s")
    with pytest.raises(KeyError):
        query("nothing")


def test_every_table_written_is_made_by_a_migration() -> None:
    text = b"".join(m.text for m in migrations()).decode()
    for table in (*GUARDED, *DEPENDENT):
        assert f"CREATE TABLE {table.name} (" in text
