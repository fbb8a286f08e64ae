"""Scores by specification: stored once, anew when something changed, with what was before."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.dataset as pads
import pytest
from tests.support.late_rewards import (
    scored_steps,
    some_rows,
    store_in_parquet,
    store_in_postgres,
)
from tests.support.published import T0, an_entry
from tests.support.sink_lab import fresh_database, rows

from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.errors import SpecError
from ropewalk_schemas.reward_specs import DEFAULT_SPEC, ComponentRule, RewardSpec
from ropewalk_schemas.scored_trajectory import score_trajectory
from ropewalk_sinks.parquet_scores import score_dataset
from ropewalk_sinks.postgres_scores import rescore
from ropewalk_sinks.scored_rows import score_columns, score_row

pytestmark = pytest.mark.integration

SPEC = RewardSpec(
    "late",
    "1",
    discount=0.5,
    components={"pnl": ComponentRule(weight=2.0, clip=(-1.0, 1.0))},
    terminal_weight=0.5,
    sources=frozenset({"outcome", "judge"}),
    judge_weight=0.25,
    clip=(-4.0, 4.0),
)
COLUMNS = "trajectory_id, part, spec, total, immediate, n_entries, steps, returns"


@pytest.fixture
def dsn(stack: Stack, unique: str) -> str:
    return fresh_database(stack, unique)


def stored_scores(dsn: str, spec: RewardSpec) -> dict[tuple[str, int], dict[str, Any]]:
    found = rows(dsn, f"SELECT {COLUMNS} FROM scores WHERE spec = '{spec.id}'")
    return keyed([dict(zip(COLUMNS.split(", "), row, strict=True)) for row in found])


def keyed(found: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    plain = [{**row, "steps": list(row["steps"]), "returns": list(row["returns"])} for row in found]
    return {(row["trajectory_id"], row["part"]): row for row in plain}


def by_hand(parts: list[Any], entries: list[Any], spec: RewardSpec) -> list[dict[str, Any]]:
    lives: dict[str, list[Any]] = defaultdict(list)
    for part in parts:
        lives[part.trajectory_id].append(part)
    return [
        score_columns(name, spec, scored)
        for name, own in lives.items()
        for scored in score_trajectory(
            spec,
            {part.part: scored_steps(part) for part in own},
            [entry for entry in entries if entry.trajectory_id == name],
        )
    ]


@pytest.mark.parametrize("spec", [SPEC, DEFAULT_SPEC])
def test_postgres_parquet_and_python_score_the_same(
    dsn: str, tmp_path: Path, spec: RewardSpec
) -> None:
    parts, entries = some_rows(Random(5), 40)
    store_in_postgres(dsn, [*parts, *entries])
    store_in_parquet(tmp_path, [*parts, *entries])
    done = rescore(dsn, spec)
    assert (done.trajectories, done.parts) == (40, len(parts))
    expected = keyed(by_hand(parts, entries, spec))
    assert stored_scores(dsn, spec) == expected
    assert keyed(list(score_dataset(tmp_path, spec))) == expected


def test_what_the_sink_stored_is_left_alone_where_nothing_came_later(dsn: str) -> None:
    parts, _ = some_rows(Random(6), 20)
    store_in_postgres(dsn, parts)
    done = rescore(dsn, DEFAULT_SPEC)
    assert (done.parts, done.new, done.changed) == (len(parts), 0, 0)


def test_a_row_of_the_dataset_is_scored_by_one_function(tmp_path: Path) -> None:
    parts, entries = some_rows(Random(7), 20)
    store_in_parquet(tmp_path, [*parts, *entries])
    whole = {row["trajectory_id"]: row for row in score_dataset(tmp_path, SPEC)}
    ledger = pads.dataset(tmp_path / "rewards", format="parquet").to_table().to_pylist()
    table = pads.dataset(tmp_path / "trajectories", format="parquet").to_table().to_pylist()
    alone = [
        row for row in table if sum(r["trajectory_id"] == row["trajectory_id"] for r in table) == 1
    ]
    assert alone
    for row in alone:
        own = [entry for entry in ledger if entry["trajectory_id"] == row["trajectory_id"]]
        own.sort(key=lambda entry: entry["source_offset"])
        assert score_row(SPEC, row, own).total == whole[row["trajectory_id"]]["total"]


def test_scoring_again_changes_nothing_and_a_later_reward_keeps_what_was(dsn: str) -> None:
    parts, entries = some_rows(Random(8), 20)
    store_in_postgres(dsn, [*parts, *entries])
    first = rescore(dsn, SPEC)
    again = rescore(dsn, SPEC)
    assert (first.new, first.changed) == (len(parts), 0)
    assert (again.parts, again.new, again.changed) == (len(parts), 0, 0)
    assert rows(dsn, "SELECT count(*) FROM score_history") == [(0,)]

    before = stored_scores(dsn, SPEC)
    store_in_postgres(dsn, [an_entry("late", "t000", target_event_id=None, value=3.0)])
    after = rescore(dsn, SPEC)
    assert (after.new, after.changed) == (0, 1)
    newest = max(part.part for part in parts if part.trajectory_id == "t000")
    old = before["t000", newest]
    [kept] = rows(dsn, "SELECT trajectory_id, part, total, n_entries, steps FROM score_history")
    assert kept == ("t000", newest, old["total"], old["n_entries"], old["steps"])
    [(same,)] = rows(
        dsn,
        "SELECT bool_and(h.valid_to = s.computed_at AND h.valid_from < h.valid_to)"
        " FROM score_history h JOIN scores s USING (trajectory_id, part, spec)",
    )
    assert same
    at = "(SELECT valid_from FROM score_history)"
    asked = f"SELECT total FROM scores_as_of({at}) WHERE trajectory_id = 't000' AND part = {newest}"
    assert rows(dsn, f"{asked} AND spec = '{SPEC.id}'") == [(old["total"],)]
    assert rescore(dsn, SPEC).changed == 0


def test_only_a_project_or_what_moved_since(dsn: str) -> None:
    parts, _ = some_rows(Random(9), 10)
    store_in_postgres(dsn, parts)
    assert rescore(dsn, SPEC, project="another").parts == 0
    later = parts[0].finalized_at.replace(year=parts[0].finalized_at.year + 1)
    assert rescore(dsn, SPEC, since=later).parts == 0
    store_in_postgres(dsn, [an_entry("late", "t003", recorded_at=later)])
    assert rescore(dsn, SPEC, since=later).trajectories == 1
    assert rescore(dsn, SPEC, project="demo", since=T0).trajectories == 10


def test_an_id_stands_for_one_content(dsn: str) -> None:
    rescore(dsn, SPEC)
    with pytest.raises(SpecError, match=r"late@1 .*differs in: discount"):
        rescore(dsn, replace(SPEC, discount=0.9))
    with pytest.raises(SpecError, match=r"default@1 .*differs in: default_weight"):
        rescore(dsn, replace(DEFAULT_SPEC, default_weight=2.0))
    assert rescore(dsn, replace(SPEC, version="2", discount=0.9)).parts == 0
