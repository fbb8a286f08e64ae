"""Scores of rows as they are stored, in either sink, by any specification. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ropewalk_schemas.reward_specs import RewardSpec
from ropewalk_schemas.scored_trajectory import PartScore, score_trajectory
from ropewalk_schemas.scoring import Score, ScoredStep


class StoredEntry(NamedTuple):
    """What scoring needs of a row of `rewards`."""

    trajectory_id: str
    reward_id: str
    name: str
    source: str
    value: float
    target_event_id: str | None
    call_id: str | None
    response_id: str | None
    supersedes: str | None


def score_row(
    spec: RewardSpec, row: Mapping[str, Any], entries: Iterable[Mapping[str, Any]] = ()
) -> Score:
    """The score of a row of the Parquet dataset `trajectories`, of a trajectory in one part.

    Args:
        spec: What counts, and how much.
        row: With the columns `steps` and `llm_calls`, as pyarrow and DuckDB give them.
        entries: The trajectory's rows of `rewards`, with what is superseded.
    """
    [scored] = score_trajectory(spec, {0: dataset_steps(row)}, map(stored_entry, entries))
    return scored.score


def stored_entry(row: Mapping[str, Any]) -> StoredEntry:
    """The entry in a row of `rewards`."""
    return StoredEntry(*(row[name] for name in StoredEntry._fields))


def dataset_steps(row: Mapping[str, Any]) -> list[ScoredStep]:
    """The steps in a row of the Parquet dataset `trajectories`."""
    calls = row["llm_calls"]
    names = [[call["call_id"], call["response_id"]] for call in calls]
    return [
        stored_step(
            step["event_id"],
            step["components"],
            (name for at in step["calls"] if at < len(calls) for name in names[at]),
        )
        for step in row["steps"]
    ]


def stored_step(
    event_id: str, components: Iterable[Mapping[str, Any]], calls: Iterable[str | None]
) -> ScoredStep:
    """A step from its columns."""
    return ScoredStep(
        event_id=event_id,
        components={component["name"]: component["value"] for component in components},
        calls=frozenset(call for call in calls if call is not None),
    )


def score_columns(trajectory_id: str, spec: RewardSpec, scored: PartScore) -> dict[str, Any]:
    """A row of `scores`, by column."""
    return {
        "trajectory_id": trajectory_id,
        "part": scored.part,
        "spec": spec.id,
        "total": scored.score.total,
        "immediate": scored.immediate,
        "n_entries": scored.n_entries,
        "steps": scored.score.steps,
        "returns": scored.score.returns,
    }
