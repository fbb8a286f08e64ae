"""Which ledger entries count as of a moment: pure, and the same whatever order they came in.

An entry counts unless a known entry of its trajectory supersedes it. From that one rule follows:

- of a chain only its newest end counts, however many times it was corrected;
- a correction that came before what it corrects counts at once, and what it corrects never does;
- entries that supersede each other in a circle, or themselves, are all set aside;
- a `supersedes` that names no known entry, or one of another trajectory, replaces nothing.

The last two are reported as problems. Nothing is guessed, and no moment that is past changes when
further entries come.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar

ProblemKind = Literal["itself", "cycle", "unknown_target", "other_trajectory"]


class Link(Protocol):
    """What a ledger entry says of the one it replaces."""

    @property
    def reward_id(self) -> str: ...  # noqa: D102 - as in `LedgerEntry`
    @property
    def supersedes(self) -> str | None: ...  # noqa: D102


class RecordedLink(Link, Protocol):
    """A link that knows its trajectory and when the log took it."""

    @property
    def trajectory_id(self) -> str: ...  # noqa: D102
    @property
    def recorded_at(self) -> datetime: ...  # noqa: D102


AnyLink = TypeVar("AnyLink", bound=Link)
AnyRecorded = TypeVar("AnyRecorded", bound=RecordedLink)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """An entry whose `supersedes` cannot be followed.

    Attributes:
        kind: `itself` and `cycle` set the entry aside; with the others it counts, and replaces
            nothing.
    """

    trajectory_id: str
    reward_id: str
    supersedes: str
    kind: ProblemKind


@dataclass(frozen=True, slots=True)
class Resolved(Generic[AnyRecorded]):
    """A ledger as of a moment: what counts, in the order given, and the problems, sorted."""

    current: list[AnyRecorded]
    problems: list[Problem]


def unreplaced(entries: Iterable[AnyLink]) -> list[AnyLink]:
    """What nothing supersedes of one trajectory's entries, each reward_id once, in order."""
    once = {entry.reward_id: entry for entry in entries}
    replaced = {entry.supersedes for entry in once.values() if entry.supersedes is not None}
    return [entry for entry in once.values() if entry.reward_id not in replaced]


def resolve(
    entries: Iterable[AnyRecorded], *, as_of: datetime | None = None
) -> Resolved[AnyRecorded]:
    """What counts of a ledger as of a moment, and what is wrong with it.

    Args:
        entries: Of any trajectories, in any order. Of several with one reward_id the one recorded
            first is taken.
        as_of: The last moment to look at, aware; None for all.
    """
    known = _first_of_each(
        entry for entry in entries if as_of is None or entry.recorded_at <= as_of
    )
    by_trajectory = defaultdict(list)
    for entry in known.values():
        by_trajectory[entry.trajectory_id].append(entry)
    counting = {e.reward_id for own in by_trajectory.values() for e in unreplaced(own)}
    current = [entry for entry in known.values() if entry.reward_id in counting]
    return Resolved(current, sorted(_problems(known)))


def _first_of_each(entries: Iterable[AnyRecorded]) -> dict[str, AnyRecorded]:
    known: dict[str, AnyRecorded] = {}
    for entry in entries:
        held = known.get(entry.reward_id)
        if held is None or entry.recorded_at < held.recorded_at:
            known[entry.reward_id] = entry
    return known


def _problems(known: Mapping[str, RecordedLink]) -> Iterable[Problem]:
    circling = _on_cycles({e.reward_id: e.supersedes for e in _following(known)})
    for entry in known.values():
        kind = _problem_of(entry, known, circling)
        if kind is not None and entry.supersedes is not None:
            yield Problem(entry.trajectory_id, entry.reward_id, entry.supersedes, kind)


def _following(known: Mapping[str, RecordedLink]) -> Iterable[RecordedLink]:
    """The entries whose target is known and of the same trajectory."""
    for entry in known.values():
        target = known.get(entry.supersedes) if entry.supersedes is not None else None
        if target is not None and target.trajectory_id == entry.trajectory_id:
            yield entry


def _problem_of(
    entry: RecordedLink, known: Mapping[str, RecordedLink], circling: set[str]
) -> ProblemKind | None:
    if entry.supersedes is None:
        return None
    if entry.supersedes == entry.reward_id:
        return "itself"
    if entry.supersedes not in known:
        return "unknown_target"
    if known[entry.supersedes].trajectory_id != entry.trajectory_id:
        return "other_trajectory"
    return "cycle" if entry.reward_id in circling else None


def _on_cycles(links: Mapping[str, str | None]) -> set[str]:
    """The ids that come back to themselves; each id is visited once."""
    done: set[str] = set()
    circling: set[str] = set()
    for start in links:
        path: dict[str, None] = {}
        at: str | None = start
        while at is not None and at in links and at not in done and at not in path:
            path[at] = None
            at = links[at]
        if at in path:
            ids = list(path)
            circling.update(ids[ids.index(at) :])
        done.update(path)
    return circling
