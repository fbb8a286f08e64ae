"""What a reader of the ledger gets as of a moment; the same from every sink."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Earned(NamedTuple):
    """What counts for a step, or for the whole trajectory when `part` and `step` are None."""

    trajectory_id: str
    part: int | None
    step: int | None
    reward: float
    n_entries: int
    recorded_at: datetime


class Counting(NamedTuple):
    """One entry that counts; `part` and `step` are None when it is for the whole trajectory."""

    trajectory_id: str
    part: int | None
    step: int | None
    reward_id: str
    name: str
    source: str
    value: float
    recorded_at: datetime


class Unfollowed(NamedTuple):
    """An entry whose `supersedes` cannot be followed; `problem` as in `ropewalk_schemas`."""

    trajectory_id: str
    reward_id: str
    supersedes: str
    problem: str
    recorded_at: datetime


class Unmatched(NamedTuple):
    """An entry that counts while its `trajectory` or its `target` is not stored (`waits_for`)."""

    trajectory_id: str
    reward_id: str
    waits_for: str
    target_event_id: str | None
    call_id: str | None
    response_id: str | None
    name: str
    source: str
    value: float
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The ledger as of a moment, each list sorted by its first columns."""

    rewards: list[Earned]
    problems: list[Unfollowed]
    unmatched: list[Unmatched]
