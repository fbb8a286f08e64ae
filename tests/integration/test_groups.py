"""Groups and episodes: Postgres, Parquet and a computation by hand say the same."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from tests.support.late_rewards import (
    groups_by_hand,
    rounded,
    some_rows,
    store_in_parquet,
    store_in_postgres,
)
from tests.support.published import a_part, a_step, an_entry
from tests.support.sink_lab import fresh_database, rows

from ropewalk_deploy.group_queries import open_datasets, parquet_groups
from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.published import ComponentRow
from ropewalk_sinks.groups import Group
from ropewalk_sinks.postgres_groups import postgres_groups

pytestmark = pytest.mark.integration


@pytest.fixture
def dsn(stack: Stack, unique: str) -> str:
    return fresh_database(stack, unique)


def by_name(groups: Sequence[Group]) -> dict[Any, dict[str, Any]]:
    return {group[:5]: rounded(group) for group in groups}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_sinks_give_the_groups_that_python_gives(dsn: str, tmp_path: Path, seed: int) -> None:
    parts, entries = some_rows(Random(seed), 60)
    stored = [*parts, *entries]
    Random(seed).shuffle(entries)
    store_in_postgres(dsn, stored)
    store_in_parquet(tmp_path, stored)
    expected = {key: rounded(group) for key, group in groups_by_hand(parts, entries).items()}
    assert by_name(postgres_groups(dsn)) == expected
    assert parquet_groups(tmp_path) == parquet_groups(tmp_path)  # to the last bit
    assert by_name(parquet_groups(tmp_path)) == expected
    said = {why for group in expected.values() for why in group["why_not"]}
    assert {"mixed policies", "incomplete members", "rewards pending"} <= said


def member(name: str, value: float | None, **changes: Any) -> Any:
    components = [] if value is None else [ComponentRow(name="won", value=value)]
    given: dict[str, Any] = {"scenario": "s", "group_key": "g", "policy_version": "v1"}
    return a_part(name, steps=[a_step(0, components=components)], **given | changes)


def test_advantages_are_those_of_grpo_in_both_sinks(dsn: str, tmp_path: Path) -> None:
    stored = [member(f"m{n}", reward) for n, reward in enumerate([1.0, 0.0, 0.0, 1.0])]
    store_in_postgres(dsn, stored)
    store_in_parquet(tmp_path, stored)
    for [group] in (
        postgres_groups(dsn, trainable=True),
        parquet_groups(tmp_path, trainable=True),
    ):
        assert group.advantages == pytest.approx([0.999998, -0.999998, -0.999998, 0.999998])
        assert (group.mean_reward, group.std_reward, group.why_not) == (0.5, 0.5, [])


def test_a_group_waits_for_the_rewards_of_its_claims(dsn: str, tmp_path: Path) -> None:
    claim = {"outcome_key": "market", "terms": {}}
    betting = a_step(0, components=[ComponentRow(name="won", value=1.0)], claims=[claim])
    better = a_part("m0", steps=[betting], scenario="s", group_key="g", policy_version="v1")
    stored: list[Any] = [better, member("m1", 0.0)]
    store_in_postgres(dsn, stored)
    store_in_parquet(tmp_path, stored)
    for found in (postgres_groups(dsn), parquet_groups(tmp_path)):
        assert [(group.n_pending, group.why_not) for group in found] == [(1, ["rewards pending"])]
    resolved = an_entry("r", "m0", outcome_key="market", target_event_id="event-0", value=1.0)
    store_in_postgres(dsn, [resolved])
    store_in_parquet(tmp_path, [*stored, resolved])
    for found in (postgres_groups(dsn), parquet_groups(tmp_path)):
        assert [(group.rewards, group.why_not) for group in found] == [([2.0, 0.0], [])]


def test_episodes_bring_together_what_several_agents_did(dsn: str, tmp_path: Path) -> None:
    stored = [
        member("a", 1.0, episode_id="e", agent_id="one"),
        member("b", 2.0, episode_id="e", agent_id="two", last=False),
        member("c", 4.0),
    ]
    store_in_postgres(dsn, stored)
    store_in_parquet(tmp_path, stored)
    asked = (
        "SELECT episode_id, n_trajectories, n_agents, complete, reward, trajectory_ids, agent_ids"
        " FROM episodes"
    )
    expected = [("e", 2, 2, False, 3.0, ["a", "b"], ["one", "two"])]
    assert rows(dsn, asked) == expected
    with duckdb.connect() as connection:
        open_datasets(connection, tmp_path)
        assert connection.execute(asked + "()").fetchall() == expected


def test_where_nothing_is_stored_there_are_no_groups(dsn: str, tmp_path: Path) -> None:
    assert postgres_groups(dsn) == parquet_groups(tmp_path) == []
