"""What a trajectory earned: pure, by a named and versioned specification.

The default specification counts immediate reward components and ledger entries, each with weight
one, undiscounted. Scores are linear in the weights as long as nothing clips.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from ropewalk_schemas.reward_specs import DEFAULT_SPEC, RewardSpec, clipped
from ropewalk_schemas.supersedes import unreplaced


class Entry(Protocol):
    """What scoring needs of a ledger entry."""

    @property
    def reward_id(self) -> str: ...  # noqa: D102 - as in `LedgerEntry`
    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def target_event_id(self) -> str | None: ...  # noqa: D102
    @property
    def call_id(self) -> str | None: ...  # noqa: D102
    @property
    def response_id(self) -> str | None: ...  # noqa: D102
    @property
    def supersedes(self) -> str | None: ...  # noqa: D102


class CountedEntry(Entry, Protocol):
    """What a specification looks at besides."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as in `LedgerEntry`
    @property
    def source(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """What scoring needs of a step.

    Attributes:
        components: Immediate rewards by name.
        calls: call_ids and response_ids the step rests on, so that a reward for a call finds it.
    """

    event_id: str
    components: Mapping[str, float] = field(default_factory=dict)
    calls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Score:
    """What a specification makes of a part.

    Attributes:
        total: Every counted reward once, undiscounted; None if nothing that counts was rewarded.
        steps: Reward per step, shape (T,). Entries for the whole trajectory count at the last step.
        returns: Discounted return-to-go per step, shape (T,).
    """

    total: float | None
    steps: tuple[float, ...]
    returns: tuple[float, ...]


def discounted_returns(rewards: Sequence[float], *, discount: float) -> list[float]:
    """Return-to-go of every step: ``G[t] = rewards[t] + discount * G[t + 1]``.

    >>> discounted_returns([0.0, 0.0, 1.0], discount=0.5)
    [0.25, 0.5, 1.0]

    Args:
        rewards: One reward per step, oldest first, shape ``(T,)``.
        discount: Weight of the next step, ``0 <= discount <= 1``.

    Raises:
        ValueError: If `discount` is outside ``[0, 1]``.

    Source:
        Sutton and Barto, *Reinforcement Learning*, 2nd ed. (2018), eq. 3.9.
    """
    if not 0.0 <= discount <= 1.0:
        msg = f"discount must lie in [0, 1], not {discount}"
        raise ValueError(msg)
    returns: list[float] = []
    following = 0.0
    for reward in reversed(rewards):
        following = reward + discount * following
        returns.append(following)
    return returns[::-1]


def current_entries(entries: Iterable[Entry]) -> list[Entry]:
    """The entries of one trajectory that nothing supersedes, each reward_id once, in order."""
    return unreplaced(entries)


def score(spec: RewardSpec, steps: Sequence[ScoredStep], entries: Iterable[CountedEntry]) -> Score:
    """Score one part: its steps and the ledger entries known for it."""
    current = counted_entries(spec, entries)
    rewards = [sum((spec.immediate(*c) for c in s.components.items()), 0.0) for s in steps]
    unplaced = 0.0
    for entry in current:
        at = step_of(entry, steps)
        terminal = at is None or is_terminal(entry)
        amount = spec.later(entry.name, entry.value, source=entry.source, terminal=terminal)
        if at is None:
            unplaced += amount
        else:
            rewards[at] += amount
    known = bool(current) or any(step.components for step in steps)
    returns = discounted_returns(rewards, discount=spec.discount)
    total = clipped(sum(rewards, 0.0) + unplaced, spec.clip) if known else None
    return Score(total=total, steps=tuple(rewards), returns=tuple(returns))


def counted_entries(spec: RewardSpec, entries: Iterable[CountedEntry]) -> list[CountedEntry]:
    """The entries of one trajectory that nothing supersedes and whose source counts."""
    current = cast("list[CountedEntry]", current_entries(entries))
    return [entry for entry in current if spec.counts(entry.source)]


def is_terminal(entry: Entry) -> bool:
    """Whether an entry is for the whole trajectory."""
    return entry.target_event_id is None and entry.call_id is None and entry.response_id is None


def step_of(entry: Entry, steps: Sequence[ScoredStep]) -> int | None:
    """The step an entry counts at; the last one for the whole trajectory, None for nowhere."""
    if entry.target_event_id is not None:
        return next((i for i, s in enumerate(steps) if s.event_id == entry.target_event_id), None)
    for call in (entry.call_id, entry.response_id):
        if call is not None:
            return next((i for i, s in enumerate(steps) if call in s.calls), None)
    return len(steps) - 1 if steps else None


__all__ = [
    "DEFAULT_SPEC",
    "CountedEntry",
    "Entry",
    "RewardSpec",
    "Score",
    "ScoredStep",
    "counted_entries",
    "current_entries",
    "discounted_returns",
    "is_terminal",
    "score",
    "step_of",
]
