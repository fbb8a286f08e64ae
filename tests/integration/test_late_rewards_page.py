"""The queries of docs/late-rewards.md for Postgres run, and say what those for Parquet say."""

from pathlib import Path

import pytest
from tests.support.late_example import example
from tests.support.late_rewards import store_in_postgres
from tests.support.sink_lab import fresh_database, rows
from tests.unit.docs.test_readme import FENCE

from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.reward_specs import load_spec
from ropewalk_sinks.postgres_scores import rescore

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "late-rewards.md"


def test_the_queries_for_postgres_run(stack: Stack, unique: str, tmp_path: Path) -> None:
    dsn = fresh_database(stack, unique)
    store_in_postgres(dsn, example())
    fences = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    [spec] = [code for kind, code in fences if kind == "toml"]
    path = tmp_path / "spec.toml"
    path.write_text(spec, encoding="utf-8")
    assert rescore(dsn, load_spec(path)).new == 6
    [queries] = [code for kind, code in fences if kind == "sql"]
    by_source, groups, changed = (rows(dsn, query) for query in queries.strip()[:-1].split(";"))
    assert by_source == [
        ("human", "reviewed", 1, -1.0),
        ("judge", "quality", 2, 1.25),
        ("outcome", "settled", 5, 4.0),
    ]
    assert [row[:4] for row in groups] == [
        ("house", 2, False, ["rewards pending", "members without a reward"]),
        ("senate", 4, True, []),
    ]
    totals = [(f"t-{n}", 0, None, total) for n, total in enumerate([1.875, 1.75, 0, 1.5, 1.5], 1)]
    assert sorted(changed) == totals
