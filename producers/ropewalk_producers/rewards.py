"""Reward ledger entries: for any trajectory, at any time, outside its seqs."""

from collections.abc import Callable
from dataclasses import dataclass

from ropewalk_producers.events import (
    Fields,
    Instant,
    RewardOptions,
    check_options,
    fields,
    instant,
)
from ropewalk_producers.outlet import Outlet
from ropewalk_schemas.events import RewardSource
from ropewalk_schemas.fields import SCHEMA_VERSION

_HEADER = frozenset({"reward_id", "at"})


@dataclass(frozen=True, slots=True)
class RewardDraft:
    """One entry as given."""

    project: str
    trajectory_id: str
    name: str
    value: float
    source: RewardSource
    options: RewardOptions

    def wire(self, reward_id: str, at: Instant) -> Fields:
        """The event as sent."""
        check_options(self.options, RewardOptions)
        details = {name: value for name, value in self.options.items() if name not in _HEADER}
        return {
            "type": "reward",
            "schema_version": SCHEMA_VERSION,
            "event_id": reward_id,
            "occurred_at": instant(at),
            "project": self.project,
            "trajectory_id": self.trajectory_id,
            **fields(name=self.name, value=self.value, source=self.source, **details),
        }


def record_reward(outlet: Outlet, draft: RewardDraft, new_id: Callable[[], str]) -> str:
    """Publish an entry; never raises.

    Returns:
        Its id, to be superseded by.
    """
    reward_id = draft.options.get("reward_id") or ""
    try:
        reward_id = reward_id or new_id()
        at = draft.options.get("at")
        wire = draft.wire(reward_id, outlet.clock() if at is None else at)
        outlet.send(draft.trajectory_id.encode(), reward_id, wire)
    except Exception as cause:
        outlet.refuse(draft.trajectory_id, "reward", cause)
    return reward_id or outlet.new_id()
