"""Ledgers with every kind of correction, and a replay that takes them entry by entry."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from ropewalk_schemas.supersedes import Problem, ProblemKind

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Recorded:
    """The least that a ledger entry is."""

    reward_id: str
    trajectory_id: str
    supersedes: str | None
    recorded_at: datetime
    value: float = 1.0
    target_event_id: str | None = None
    call_id: str | None = None
    response_id: str | None = None


def a_ledger(
    random: Random, *, n_entries: int, trajectories: Sequence[str], minutes: int
) -> list[Recorded]:
    """Entries that correct neighbours, earlier or later, and unknown and foreign ones.

    After these come a long chain and circles, of one trajectory each.
    """
    ids = [f"r{n:03}" for n in range(n_entries)]
    neighbourhoods = [random.choice(trajectories) for _ in range(n_entries // 6 + 1)]
    neighbours = [
        Recorded(
            reward_id,
            neighbourhoods[n // 6] if random.random() < 0.9 else random.choice(trajectories),
            random.choice([None, None, None, "nobody", *ids[max(0, n - 4) : n + 5]]),
            BEGIN + timedelta(minutes=random.randint(0, minutes)),
            float(random.randint(-9, 9)),
        )
        for n, reward_id in enumerate(ids)
    ]
    return neighbours + _chains_and_circles(random, trajectories, minutes)


def _chains_and_circles(
    random: Random, trajectories: Sequence[str], minutes: int
) -> list[Recorded]:
    """A long chain, circles with tails that lead into them, and one that a foreign entry opens."""
    opened, *whole = [
        recorded(links, random, trajectory_id=random.choice(trajectories), minutes=minutes)
        for links in (
            a_circle("open", 4, tail=4),
            a_chain("chain", 40),
            *(a_circle(f"circle{n}", n, tail=6) for n in (1, 2, 3, 8, 13)),
        )
    ]
    elsewhere = next(name for name in trajectories if name != opened[0].trajectory_id)
    first = replace(opened[0], trajectory_id=elsewhere)
    return [first, *opened[1:], *(entry for entries in whole for entry in entries)]


def a_chain(name: str, n: int, *, end: str | None = None) -> dict[str, str | None]:
    """What each entry supersedes: the one before it, and the first one `end`."""
    ids = [f"{name}-{i}" for i in range(n)]
    return dict(zip(ids, [end, *ids], strict=False))


def a_circle(name: str, n: int, *, tail: int) -> dict[str, str | None]:
    """What each entry supersedes: a circle, of one or more, and a chain that leads into it."""
    circle = a_chain(name, n, end=f"{name}-{n - 1}")
    return circle | a_chain(f"{name}-tail", tail, end=f"{name}-0")


def recorded(
    links: Mapping[str, str | None], random: Random, *, trajectory_id: str, minutes: int
) -> list[Recorded]:
    """The entries of one trajectory by what they supersede, recorded in any order."""
    return [
        Recorded(
            reward_id,
            trajectory_id,
            target,
            BEGIN + timedelta(minutes=random.randint(0, minutes)),
            float(random.randint(-9, 9)),
        )
        for reward_id, target in links.items()
    ]


class Replay:
    """A ledger read aloud, one entry at a time, with no cleverness."""

    def __init__(self) -> None:
        self.known: dict[str, Recorded] = {}
        self.counting: set[str] = set()

    def take(self, entry: Recorded) -> None:
        """One more entry has been recorded."""
        self.known[entry.reward_id] = entry
        self.counting.add(entry.reward_id)
        for one in self.known.values():
            for other in self.known.values():
                same = one.trajectory_id == other.trajectory_id
                if same and one.supersedes == other.reward_id:
                    self.counting.discard(other.reward_id)

    def problems(self) -> list[Problem]:
        """What cannot be followed, as known now."""
        found = []
        for entry in self.known.values():
            kind = self._kind(entry)
            if entry.supersedes is not None and kind is not None:
                found.append(Problem(entry.trajectory_id, entry.reward_id, entry.supersedes, kind))
        return sorted(found)

    def _kind(self, entry: Recorded) -> ProblemKind | None:
        if entry.supersedes == entry.reward_id:
            return "itself"
        if entry.supersedes is None:
            return None
        if entry.supersedes not in self.known:
            return "unknown_target"
        if self.known[entry.supersedes].trajectory_id != entry.trajectory_id:
            return "other_trajectory"
        return "cycle" if self._comes_back(entry) else None

    def _comes_back(self, entry: Recorded) -> bool:
        at = entry
        for _ in self.known:  # as many steps as any circle can have
            target = self.known.get(at.supersedes or "")
            if target is None or target.trajectory_id != entry.trajectory_id:
                return False
            if target == entry:
                return True
            at = target
        return False


def replayed(entries: Iterable[Recorded], *, as_of: datetime) -> Replay:
    """The ledger as somebody knew it who stopped reading at a moment."""
    replay = Replay()
    for entry in sorted(entries, key=lambda e: (e.recorded_at, e.reward_id)):
        if entry.recorded_at <= as_of:
            replay.take(entry)
    return replay
