"""The ledger as of a moment: Postgres, Parquet and a replay entry by entry agree."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from math import log2
from pathlib import Path
from random import Random

import psycopg
import pytest
from tests.support.ledgers import BEGIN, a_chain, a_circle, recorded
from tests.support.pipeline import Pipeline
from tests.support.plans import plan_nodes
from tests.support.published import a_part, an_entry
from tests.support.sink_lab import count, fresh_database, rows
from tests.support.stored_ledgers import (
    World,
    a_world,
    published,
    store_in_parquet,
    store_in_postgres,
)

from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.ledger_queries import parquet_ledger_as_of
from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.supersedes import resolve
from ropewalk_sinks.ledger import LedgerView
from ropewalk_sinks.postgres_ledger import ledger_as_of

pytestmark = pytest.mark.integration

MINUTES = 40
MOMENTS = [BEGIN + timedelta(minutes=n) for n in (-1, 0, 3, 11, 24, MINUTES)]


@pytest.fixture
def dsn(stack: Stack, unique: str) -> str:
    return fresh_database(stack, unique)


def both(dsn: str, path: Path, moment: datetime | None = None, **one: str) -> LedgerView:
    """What both sinks say, once they were found to say the same."""
    in_postgres = ledger_as_of(dsn, moment, **one)
    assert parquet_ledger_as_of(path, moment, **one) == in_postgres
    return in_postgres


@pytest.mark.parametrize("seed", [1, 2])
def test_both_sinks_agree_with_the_replay_at_every_moment(
    dsn: str, tmp_path: Path, seed: int
) -> None:
    world = a_world(Random(seed), n_entries=240, minutes=MINUTES)
    store_in_postgres(dsn, published(world, Random(seed)))
    store_in_parquet(tmp_path, published(world, Random(-seed)))  # another order of arrival
    for moment in MOMENTS:
        assert both(dsn, tmp_path, moment) == world.expected(moment)
    everything = both(dsn, tmp_path)
    assert everything == world.expected(MOMENTS[-1])
    met = Counter(problem.problem for problem in everything.problems)
    assert set(met) == {"itself", "cycle", "unknown_target", "other_trajectory"}
    assert {entry.waits_for for entry in everything.unmatched} == {"trajectory", "target"}
    assert {reward.part for reward in everything.rewards} == {0, 1, None}


def test_the_views_are_the_functions_as_of_now(dsn: str) -> None:
    world = a_world(Random(3), n_entries=120, minutes=MINUTES)
    store_in_postgres(dsn, published(world, Random(3)))
    for view, function in (
        ("current_entries", "entries_as_of"),
        ("current_rewards", "rewards_as_of"),
        ("reward_problems", "reward_problems_as_of"),
        ("unmatched_rewards", "unmatched_rewards_as_of"),
    ):
        assert count(dsn, view) > 0
        for one, other in ((view, f"{function}(now())"), (f"{function}(now())", view)):
            assert rows(dsn, f"SELECT * FROM {one} EXCEPT SELECT * FROM {other}") == []


def test_what_is_asked_of_one_trajectory_is_its_share(dsn: str, tmp_path: Path) -> None:
    world = a_world(Random(5), n_entries=120, minutes=MINUTES)
    store_in_postgres(dsn, published(world, Random(5)))
    store_in_parquet(tmp_path, published(world, Random(5)))
    everything = both(dsn, tmp_path)
    for trajectory_id in ("t-0", "t-9", "nowhere"):
        share = both(dsn, tmp_path, trajectory_id=trajectory_id)
        assert share == LedgerView(
            [row for row in everything.rewards if row.trajectory_id == trajectory_id],
            [row for row in everything.problems if row.trajectory_id == trajectory_id],
            [row for row in everything.unmatched if row.trajectory_id == trajectory_id],
        )


def test_long_chains_and_circles_are_as_the_rule_has_them(dsn: str, tmp_path: Path) -> None:
    links = a_chain("chain", 2_000) | a_circle("circle", 500, tail=500)
    ledger = recorded(links, Random(7), trajectory_id="t", minutes=MINUTES)
    store_in_postgres(dsn, published(World([], ledger), Random(7)))
    store_in_parquet(tmp_path, published(World([], ledger), Random(7)))
    for moment in (MOMENTS[4], MOMENTS[-1]):
        problems = resolve(ledger, as_of=moment).problems
        found = both(dsn, tmp_path, moment).problems
        assert [(p.trajectory_id, p.reward_id, p.supersedes, p.problem) for p in found] == [
            (p.trajectory_id, p.reward_id, p.supersedes, p.kind) for p in problems
        ]
    assert Counter(row.problem for row in found) == {"cycle": 500}
    assert 0 < rows_walked(dsn) < len(links) * (log2(len(links)) + 2)  # the square is 9,000,000


def rows_walked(dsn: str) -> int:
    """How many rows Postgres makes while it looks for circles."""
    nodes = plan_nodes(dsn, "SELECT * FROM reward_problems")
    return sum(node["Actual Rows"] for node in nodes if node["Node Type"] == "Recursive Union")


def test_a_reward_waits_for_a_trajectory_until_its_part_is_stored(dsn: str, tmp_path: Path) -> None:
    early = an_entry("r-1", "late", target_event_id="event-1", value=4.0)
    store_in_postgres(dsn, [early])
    store_in_parquet(tmp_path, [early])
    waiting = both(dsn, tmp_path)
    assert [(row.reward_id, row.waits_for) for row in waiting.unmatched] == [("r-1", "trajectory")]
    assert [row[:5] for row in waiting.rewards] == [("late", None, None, 4.0, 1)]
    store_in_postgres(dsn, [a_part("late")])
    store_in_parquet(tmp_path, [a_part("late")], first=1)
    placed = both(dsn, tmp_path)
    assert placed.unmatched == []
    assert [row[:5] for row in placed.rewards] == [("late", 0, 1, 4.0, 1)]


def test_what_is_recorded_is_exact_to_the_microsecond(dsn: str, tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)
    one = [an_entry("r-1", recorded_at=at)]
    store_in_postgres(dsn, one)
    store_in_parquet(tmp_path, one)
    assert [row.recorded_at for row in both(dsn, tmp_path, at).rewards] == [at]
    assert both(dsn, tmp_path, at - timedelta(microseconds=1)).rewards == []


def test_an_empty_ledger_is_empty(dsn: str, tmp_path: Path) -> None:
    assert both(dsn, tmp_path / "not there") == LedgerView([], [], [])


def test_postgres_puts_the_function_in_place_and_finds_one_trajectory_by_index(dsn: str) -> None:
    with psycopg.connect(dsn, options="-c enable_seqscan=off") as connection:
        plan = connection.execute(
            "EXPLAIN SELECT * FROM current_rewards WHERE trajectory_id = 't'"
        ).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "Function Scan" not in text
    assert "rewards_trajectory" in text


def test_the_command_says_the_same_of_both_sinks(dsn: str, tmp_path: Path) -> None:
    world = a_world(Random(6), n_entries=120, minutes=MINUTES)
    path = tmp_path / "parquet"
    store_in_postgres(dsn, published(world, Random(6)))
    store_in_parquet(path, published(world, Random(6)))
    asking = Pipeline(tmp_path, Endpoints("127.0.0.1:1", dsn, path), tmp_path / "log")
    as_of = MOMENTS[3].isoformat()
    of_one = ("rewards", "--as-of", as_of, "--trajectory", "t-0")
    answers = [asking.answer(*of_one, "--from", place) for place in ("postgres", "parquet")]
    assert answers[0] == answers[1]
    expected = world.expected(MOMENTS[3])
    own = [row for row in expected.rewards if row.trajectory_id == "t-0"]
    assert [row["reward"] for row in answers[0]["rewards"]] == [row.reward for row in own]
    assert answers[0]["counts"]["entries"] == sum(row.n_entries for row in own)
    shown = asking.ropewalk("rewards", "--from", "parquet")
    assert shown.returncode == 0, shown.stderr
    assert "problems   " in shown.stdout
    assert "waiting for its target" in shown.stdout


def test_a_file_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "rewards" / "recorded_date=2026-03-01" / "rewards-00000-0-1.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no parquet")
    with pytest.raises(CommandError, match=r"cannot read the ledger .*ROPEWALK_PARQUET_PATH"):
        parquet_ledger_as_of(tmp_path)
