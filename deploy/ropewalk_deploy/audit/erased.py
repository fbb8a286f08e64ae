"""What erasures take from what the logs give, and whether the stores keep to it; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ropewalk_deploy.audit.accounts import Accounts, PartKey, PartSeen, Place
from ropewalk_deploy.audit.checks import MAX_IDS, Check
from ropewalk_schemas.trajectory import LedgerEntry
from ropewalk_sinks.erasure import Erasures, Subject, named_in
from ropewalk_sinks.tombstones import Tombstone

Key = TypeVar("Key")
Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Split:
    """What a log gives, by whether a sink must hold it or must not."""

    parts: dict[PartKey, PartSeen] = field(default_factory=dict)
    rewards: dict[str, LedgerEntry] = field(default_factory=dict)
    refused: dict[Place, str] = field(default_factory=dict)
    erased_parts: dict[PartKey, PartSeen] = field(default_factory=dict)
    erased_rewards: set[str] = field(default_factory=set)
    erased_refused: set[Place] = field(default_factory=set)


def split(accounts: Accounts, erasures: Erasures) -> Split:
    """What a sink must hold of a log, and what of it is erased."""
    found = Split()
    for key, part in accounts.stored_parts().items():
        if erasures.has_part(key.trajectory_id, part.agent_id, part.project):
            found.erased_parts[key] = part
        else:
            found.parts[key] = part
    for place, refused in accounts.refused.items():
        named = named_in(place.topic, refused.key, refused.value, refused.trajectory_id)
        if erasures.has_refused(named):
            found.erased_refused.add(place)
        else:
            found.refused[place] = refused.reason
    for reward_id, row in accounts.reward_ids.items():
        if erasures.has_trajectory(row.trajectory_id):
            found.erased_rewards.add(reward_id)
        else:
            found.rewards[reward_id] = row
    return found


def without(accounts: Accounts, trajectories: Iterable[str]) -> Accounts:
    """A log in which there are no parts of some trajectories."""
    gone = set(trajectories)
    parts = {key: seen for key, seen in accounts.parts.items() if key.trajectory_id not in gone}
    promoted = [(ids, without(generation, gone)) for ids, generation in accounts.promoted]
    return replace(accounts, parts=parts, promoted=promoted)


def check_tombstones(
    by_store: Mapping[str, Sequence[Tombstone]],
    erased: Mapping[PartKey, PartSeen],
    *,
    whole: bool,
    published: Mapping[PartKey, Collection[str]] | None = None,
) -> list[Check]:
    """Both stores know the same erasures, to the end, and removed what the log says.

    Args:
        by_store: The tombstones of each store.
        erased: The parts of erased trajectories, as the log has them.
        whole: Whether the log still has everything.
        published: Every hash that a part has, in the log or in a generation: any may have been
            what was stored when its trajectory was erased.
    """
    hashes = published or {}
    if not any(by_store.values()):
        return []
    open_ones = unfinished(by_store)
    wrong = [
        f"{store}: part {part} of {i} was removed with hash {digest}, the log has {has or 'none'}"
        for store, found in by_store.items()
        for tombstone in found
        for i, one in tombstone.removed.trajectories.items()
        for part, digest in one.parts.items()
        if (has := _hash(erased, PartKey(i, part))) != digest
        and (has or whole)
        and digest not in hashes.get(PartKey(i, part), ())
    ]
    n_removed = sum(t.removed.n_parts for found in by_store.values() for t in found)
    n = len(_subjects(by_store))
    return [
        _check("erasures are finished in both stores", n, n - len(open_ones), open_ones),
        _check(
            "what erasures removed is what the log gives",
            n_removed,
            n_removed - len(wrong),
            wrong,
        ),
    ]


def unfinished(by_store: Mapping[str, Sequence[Tombstone]]) -> list[str]:
    """A line about each erasure that died on its way, and what to do."""
    return [
        f"{subject}: {_again(subject)}"
        for subject in sorted(_subjects(by_store), key=str)
        if not all(_is_finished(found, subject) for found in by_store.values())
    ]


def _subjects(by_store: Mapping[str, Sequence[Tombstone]]) -> set[Subject]:
    return {tombstone.subject for found in by_store.values() for tombstone in found}


def _is_finished(found: Sequence[Tombstone], subject: Subject) -> bool:
    return any(t.subject == subject and t.is_finished for t in found)


def _again(subject: Subject) -> str:
    project = f" --project {subject.project}" if subject.project else ""
    return f"run `ropewalk erase --{subject.kind} {subject.id}{project}` again"


def _hash(parts: Mapping[PartKey, PartSeen], key: PartKey) -> str | None:
    return parts[key].content_hash if key in parts else None


def check_nothing_left(sink: str, left: Iterable[str]) -> Check:
    """No row of an erased subject is stored.

    Args:
        sink: The store.
        left: A line about each such row.
    """
    found = sorted(left)
    advice = "run `ropewalk erase` again for whom they belong to" if found else ""
    return Check(
        f"{sink}: nothing of an erased subject is stored",
        not found,
        0,
        len(found),
        advice,
        wrong=found[:MAX_IDS],
        n_wrong=len(found),
    )


def _check(name: str, expected: int, found: int, wrong: list[str]) -> Check:
    return Check(name, not wrong, expected, found, wrong=wrong[:MAX_IDS], n_wrong=len(wrong))
