"""Scoring what Postgres holds by a specification; what changes is kept in `score_history`."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.reward_specs import DEFAULT_SPEC, RewardSpec, require_same
from ropewalk_schemas.scored_trajectory import score_trajectory
from ropewalk_schemas.scoring import ScoredStep
from ropewalk_sinks.postgres_connection import Connection, connect, in_our_words, place
from ropewalk_sinks.postgres_migrations import require_migrations
from ropewalk_sinks.scored_rows import StoredEntry, score_columns, stored_step
from ropewalk_sinks.sql import query

_TRAJECTORIES_PER_BATCH = 500


@dataclass
class Rescored:
    """What scoring did: parts looked at, scored for the first time, and scored otherwise."""

    trajectories: int = 0
    parts: int = 0
    new: int = 0
    changed: int = 0


def rescore(
    dsn: str, spec: RewardSpec, *, project: str | None = None, since: datetime | None = None
) -> Rescored:
    """Bring the rows of `scores` for a specification up to date; again, it changes nothing.

    Args:
        dsn: The database.
        spec: What counts, and how much.
        project: Only trajectories of this project.
        since: Only trajectories that became final, or were rewarded, at this moment or later.

    Raises:
        SpecError: If the specification's id is known with another content.
        UnreachableError: If the database does not answer.
        MigrationError: If it lacks a migration.
    """
    done = Rescored()
    with closing(connect(dsn)) as connection, in_our_words(dsn):
        require_migrations(connection, place(dsn))
        connection.execute(query("lock_scores"))  # until the connection closes
        _record(connection, spec)
        for ids in _batches(connection, project, since):
            rows = _scores(connection, spec, ids)
            # As text: the driver would name the type of each number.
            values = {"rows": to_json(rows).decode()}
            with connection.transaction():
                connection.execute(query("lock_erasures"))
                stored = connection.execute(query("store_scores"), values).fetchall()
            done.trajectories += len(ids)
            done.parts += len(rows)
            done.new += sum(is_new for (is_new,) in stored)
            done.changed += sum(not is_new for (is_new,) in stored)
    return done


def _record(connection: Connection, spec: RewardSpec) -> None:
    if spec.id == DEFAULT_SPEC.id:
        require_same(spec, DEFAULT_SPEC.digest, DEFAULT_SPEC.content)
    values = {"spec": spec.id, "digest": spec.digest, "content": json.dumps(spec.content)}
    connection.execute(query("record_spec"), values)
    for digest, content in connection.execute(query("recorded_spec"), values):
        require_same(spec, digest, content)


def _batches(
    connection: Connection, project: str | None, since: datetime | None
) -> Iterator[list[str]]:
    values: dict[str, Any] = {"project": project, "since": since, "after": ""}
    values["limit"] = _TRAJECTORIES_PER_BATCH
    while True:
        found = connection.execute(query("trajectories_to_score"), values).fetchall()
        if not found:
            return
        ids = [trajectory_id for (trajectory_id,) in found]
        yield ids
        values["after"] = ids[-1]


def _scores(connection: Connection, spec: RewardSpec, ids: Sequence[str]) -> list[dict[str, Any]]:
    ledgers: dict[str, list[StoredEntry]] = defaultdict(list)
    for row in connection.execute(query("entries_to_score"), {"ids": ids}):
        entry = StoredEntry._make(row)
        ledgers[entry.trajectory_id].append(entry)
    return [
        score_columns(trajectory_id, spec, scored)
        for trajectory_id, parts in _steps(connection, ids).items()
        for scored in score_trajectory(spec, parts, ledgers[trajectory_id])
    ]


def _steps(connection: Connection, ids: Sequence[str]) -> dict[str, dict[int, list[ScoredStep]]]:
    found: dict[str, dict[int, list[ScoredStep]]] = defaultdict(dict)
    for trajectory_id, part, event_id, components, calls in connection.execute(
        query("steps_to_score"), {"ids": ids}
    ):
        steps = found[trajectory_id].setdefault(part, [])
        if event_id is not None:  # a part without steps has one row all the same
            steps.append(stored_step(event_id, components, calls))
    return found
