"""Reads a generation and what readers see, both from Parquet, and compares them."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations.differences import Difference, EventId, Side, difference
from ropewalk_deploy.generations.places import folder_of
from ropewalk_sinks.arrow_schemas import SCHEMAS
from ropewalk_sinks.parquet_layout import Layout
from ropewalk_sinks.parquet_reads import rows
from ropewalk_sinks.postgres_generations import Generation, read_generations, read_members
from ropewalk_sinks.scored_rows import StoredEntry

PER_BATCH = 200
_QUARANTINED = ("topic", "partition", "offset", "reason", "trajectory_id", "key", "value")


def comparable(places: Endpoints, name: str) -> Generation:
    """The generation, if it can be compared with what readers see.

    Raises:
        CommandError: If not.
    """
    known = {each.name: each for each in read_generations(places.postgres_dsn)}
    found = known.get(name)
    if found is None:
        msg = f"there is no generation {name}; `ropewalk generations ls` lists them"
        raise CommandError(msg)
    if found.state == "promoted":
        before = next((g.name for g in known.values() if g.replaced_by == name), None)
        msg = f"generation {name} is what readers see"
        if before is not None:
            msg += f"; `ropewalk diff {before}` compares it with what they saw before"
        raise CommandError(msg)
    if found.state != "built":
        msg = f"generation {name} is not whole ({found.state}): run that command again first"
        raise CommandError(msg)
    return found


class _Roots(NamedTuple):
    """Where the parts of one side are, and where its ledger and its refusals."""

    parts: Path
    beside: Path


class Comparison:
    """A generation beside what readers see.

    Args:
        places: Where both are.
        generation: As `comparable` gives it.
    """

    def __init__(self, places: Endpoints, generation: Generation) -> None:
        live, own = places.parquet_path, folder_of(places, generation.name)
        # What readers saw before has only parts of its own: the ledger and the refusals stayed.
        beside = own if generation.replaced_by is None else live
        self._now, self._rebuilt = _Roots(live, live), _Roots(own, beside)
        of = generation.replaced_by or generation.name
        self.members = sorted(read_members(places.postgres_dsn, of))

    def differences(self) -> Iterator[Difference]:
        """What differs, trajectory by trajectory; in memory are some of them at a time."""
        differing = self._differing()
        for start in range(0, len(differing), PER_BATCH):
            ids = frozenset(differing[start : start + PER_BATCH])
            now, rebuilt = (_read_sides(roots, ids) for roots in (self._now, self._rebuilt))
            for trajectory_id in sorted(ids):
                found = difference(trajectory_id, now[trajectory_id], rebuilt[trajectory_id])
                if found is not None:
                    yield found

    def _differing(self) -> list[str]:
        """The members whose rows or ledgers are not the same on both sides."""
        ids = frozenset(self.members)
        now, rebuilt = (_digests(roots, ids) for roots in (self._now, self._rebuilt))
        return [member for member in self.members if now.get(member) != rebuilt.get(member)]


def _digests(roots: _Roots, ids: Collection[str]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    ledger = ("trajectory_id", "reward_id", "entry_hash")
    for row in chain(
        _rows_of(roots.parts, "trajectories", ids, SCHEMAS["trajectories"].names),
        _rows_of(roots.beside, "rewards", ids, ledger),
    ):
        found[row["trajectory_id"]].append(blake2b(repr(row).encode()).digest())
    return {trajectory_id: sorted(digests) for trajectory_id, digests in found.items()}


def _read_sides(roots: _Roots, ids: Collection[str]) -> dict[str, Side]:
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows_of(roots.parts, "trajectories", ids, SCHEMAS["trajectories"].names):
        parts[row["trajectory_id"]].append(row)
    ledgers: dict[str, list[StoredEntry]] = defaultdict(list)
    for row in _rows_of(roots.beside, "rewards", ids, StoredEntry._fields):
        ledgers[row["trajectory_id"]].append(StoredEntry(**row))
    refused: dict[str, dict[EventId, str]] = defaultdict(dict)
    others: dict[str, list[str]] = defaultdict(list)
    for row in _rows_of(roots.beside, "quarantine", ids, _QUARANTINED):
        event = _event_of(row["value"])
        whose = _whose(row)
        if event is None:
            others[whose].append(row["reason"])
        else:
            refused[whose][event] = row["reason"]
    return {
        trajectory_id: Side(
            sorted(parts[trajectory_id], key=lambda row: row["part"]),
            refused[trajectory_id],
            others[trajectory_id],
            ledgers[trajectory_id],
        )
        for trajectory_id in ids
    }


def _event_of(value: bytes | None) -> EventId | None:
    """The writer and seq inside a refused value, as far as it has them."""
    try:
        # Not our strict reader: what it refuses is just what lies in quarantine.
        event: Any = json.loads(value or b"")
        return EventId(str(event["writer"]), int(event["seq"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _whose(row: dict[str, Any]) -> str:
    if row["trajectory_id"] is not None:
        return str(row["trajectory_id"])
    return (row.get("key") or b"").decode("utf-8", "replace")


def _rows_of(
    root: Path, dataset: str, ids: Collection[str], columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The rows of some trajectories; only files that hold one of them are read whole."""
    whose = ("trajectory_id", "key") if dataset == "quarantine" else ("trajectory_id",)
    for file in Layout(root).data_files(dataset):
        if any(_whose(_named(whose, r)) in ids for r in rows([file], dataset, whose)):
            for values in rows([file], dataset, columns):
                row = _named(columns, values)
                if _whose(row) in ids:
                    yield row


def _named(columns: Sequence[str], values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(columns, values, strict=True))
