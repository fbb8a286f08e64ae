"""Trajectories whose second half came late, as from a spool that drained after the idle gap."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from tests.support.events import a_call, a_decision, a_reward, a_start, an_end, user

from ropewalk_schemas.events import LifeEvent, Reward

N_EVENTS, N_EARLY = 7, 3


def a_life(t: str, begun: datetime) -> list[LifeEvent]:
    """A whole trajectory: four decisions, the second of which rests on a call before it."""
    w = f"{t}-w"

    def at(seq: int) -> dict[str, Any]:
        return {"occurred_at": begun + timedelta(seconds=seq), "started_at": begun}

    return [
        a_start(0, t, w, **at(0)),
        a_decision(1, t, w, reward_components={"pnl": 1.0}, **at(1)),
        a_call(2, t, w, messages=[user("Go on")], **at(2)),
        a_decision(3, t, w, calls=["call-2"], reward_components={"pnl": 0.5}, **at(3)),
        a_decision(4, t, w, **at(4)),
        a_decision(5, t, w, **at(5)),
        an_end(6, t, w, **at(6)),
    ]


def early(life: Iterable[LifeEvent]) -> list[LifeEvent]:
    """What came in time: the first decision, and the call."""
    return list(life)[:N_EARLY]


def late(life: Iterable[LifeEvent]) -> list[LifeEvent]:
    """What came after the idle gap."""
    return list(life)[N_EARLY:]


def rewards(t: str, begun: datetime) -> list[Reward]:
    """For the trajectory; for the call, whose decision came late; for a decision that came late."""
    given = {"occurred_at": begun + timedelta(minutes=1)}
    return [
        a_reward(f"{t}-whole", t, value=2.0, **given),
        a_reward(f"{t}-call", t, value=4.0, call_id="call-2", **given),
        a_reward(f"{t}-late", t, value=8.0, target_event_id=f"{t}-w-4", **given),
    ]
