"""Reward ledger entries: for any trajectory, at any time, outside its seqs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ropewalk_producers.events import Fields, Instant, RewardOptions, check_options, fields, instant
from ropewalk_producers.identity import text
from ropewalk_producers.outlet import Outlet
from ropewalk_schemas.events import RewardSource
from ropewalk_schemas.fields import SCHEMA_VERSION

Send = Callable[[Any], None]
_NOT_DETAILS = frozenset({"reward_id", "at"})


@dataclass(frozen=True, slots=True)
class RewardDraft:
    """One entry as given."""

    project: str
    trajectory_id: str
    name: str
    value: float
    source: RewardSource
    options: RewardOptions

    def wire(self, reward_id: str, at: Instant, target_event_id: Any) -> Fields:
        """The event as sent; `target_event_id` is the step it is for, if any."""
        check_options(self.options, RewardOptions)
        details: Fields = {k: v for k, v in self.options.items() if k not in _NOT_DETAILS}
        if target_event_id is not None:
            details["target_event_id"] = target_event_id
        return {
            "type": "reward",
            "schema_version": SCHEMA_VERSION,
            "event_id": reward_id,
            "occurred_at": instant(at),
            "project": self.project,
            "trajectory_id": self.trajectory_id,
            **fields(name=self.name, value=self.value, source=self.source, **details),
        }


def at_once(send: Send) -> None:
    """Send an entry for the trajectory."""
    send(None)


def record_reward(
    outlet: Outlet,
    draft: RewardDraft,
    new_id: Callable[[], str],
    once: Callable[[Send], None] = at_once,
) -> str:
    """Publish an entry; never raises.

    Args:
        outlet: Where to.
        draft: What.
        new_id: Names it, unless it has a name.
        once: Calls what it is given, with the event_id of the step the entry is for.

    Returns:
        Its id, to be superseded by.
    """
    try:
        given_id, given_at = draft.options.get("reward_id"), draft.options.get("at")
        reward_id = new_id() if given_id is None else given_id
        at = outlet.clock() if given_at is None else given_at
    except Exception as cause:
        outlet.refuse(draft.trajectory_id, "reward", cause)
        return outlet.new_id()

    def send(target_event_id: Any) -> None:
        try:
            key = text("trajectory_id", draft.trajectory_id).encode()
            outlet.send(key, reward_id, draft.wire(reward_id, at, target_event_id))
        except Exception as cause:
            outlet.refuse(draft.trajectory_id, "reward", cause)

    once(send)
    return reward_id
