"""Decoded records to Arrow tables, column by column."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any

import pyarrow as pa

from ropewalk_schemas.progress import Progress
from ropewalk_schemas.published import raw_json
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.scoring import DEFAULT_SPEC
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
from ropewalk_sinks.admission import entry_hash
from ropewalk_sinks.arrow_schemas import SCHEMAS, is_json
from ropewalk_sinks.incoming import headers_json
from ropewalk_sinks.scored import schema_major, score_part

Given = Mapping[str, Sequence[Any]]
"""Values by dotted name that no attribute holds; JSON as text, a nested column in one flat list."""


def trajectories_table(parts: Sequence[Trajectory]) -> Any:
    """Rows of `trajectories`, scored by the default specification."""
    scores = [score_part(part) for part in parts]
    given: Given = {
        "reward": [score.total for score in scores],
        "reward_spec": [DEFAULT_SPEC.id] * len(parts),
        "schema_version": [schema_major(part.schema_version) for part in parts],
        "steps.reward": [reward for score in scores for reward in score.steps],
        "steps.return_to_go": [value for score in scores for value in score.returns],
    }
    return _table("trajectories", parts, given)


def rewards_table(entries: Sequence[LedgerEntry]) -> Any:
    """Rows of `rewards`."""
    return _table("rewards", entries, {"entry_hash": [entry_hash(entry) for entry in entries]})


def quarantine_table(refused: Sequence[Quarantined]) -> Any:
    """Rows of `quarantine`."""
    given: Given = {
        "headers": [headers_json(row.headers) for row in refused],
        "broker_at": [row.broker_ms * 1000 for row in refused],
        "quarantined_at": [row.quarantined_ms * 1000 for row in refused],
    }
    return _table("quarantine", refused, given)


def progress_table(accounts: Sequence[Progress]) -> Any:
    """Rows of `progress`."""
    counts = [account.counts for account in accounts]
    given: Given = {
        "received": [count.received for count in counts],
        "assembled": [count.assembled for count in counts],
        "open": [account.open_events for account in accounts],
        "ledger": [count.ledger for count in counts],
        "duplicate": [count.duplicate for count in counts],
        "quarantined": [sum(count.quarantined.values()) for count in counts],
        "by_reason": [raw_json(count.quarantined) for count in counts],
        "clock": [account.clock_at_next_ms * 1000 for account in accounts],
        "watermark": [account.watermark_ms * 1000 for account in accounts],
    }
    return _table("progress", accounts, given)


def _table(dataset: str, rows: Sequence[Any], given: Given) -> Any:
    schema = SCHEMAS[dataset]
    columns = [_member(field, rows, "", given) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _member(field: Any, owners: Sequence[Any], within: str, given: Given) -> Any:
    """The column of one field of `owners`: rows, or all structs of a nested list in one go."""
    path = within + field.name
    if path in given:
        return pa.array(given[path], field.type)
    return _array(field, [*map(attrgetter(field.name), owners)], path + ".", given)


def _array(field: Any, values: Sequence[Any], within: str, given: Given) -> Any:
    kind = field.type
    if pa.types.is_struct(kind):
        members = [_member(member, values, within, given) for member in kind]
        return pa.StructArray.from_arrays(members, fields=list(kind))
    if pa.types.is_list(kind) and (
        pa.types.is_struct(kind.value_type) or is_json(kind.value_field)
    ):
        return _lists(kind, values, within, given)
    if is_json(field):
        # An object that was left out or sent as null is an empty one where null would surprise.
        absent = None if field.nullable else "{}"
        values = [raw_json(value) or absent for value in values]
    return pa.array(values, kind)


def _lists(kind: Any, values: Sequence[Any], within: str, given: Given) -> Any:
    items = [item for value in values if value is not None for item in value]
    lengths = (0 if value is None else len(value) for value in values)
    return pa.ListArray.from_arrays(
        pa.array(accumulate(lengths, initial=0), pa.int32()),
        _array(kind.value_field, items, within, given),
        type=kind,
        mask=pa.array([value is None for value in values], pa.bool_()),
    )


TABLES: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "trajectories": trajectories_table,
    "rewards": rewards_table,
    "quarantine": quarantine_table,
    "progress": progress_table,
}
"""The table of a dataset's rows, by its name."""
