"""The example whose results docs/late-rewards.md shows."""

from datetime import timedelta
from typing import Any

from tests.support.published import T0, a_part, a_step, an_entry

DAY = timedelta(days=1)


def _attempt(name: str, group: str, agent: str, **changes: Any) -> Any:
    claim = {"outcome_key": f"{group}-{name}", "terms": {}}
    steps = [
        a_step(0, event_id=f"{name}-look", components=[], action_type="look"),
        a_step(1, event_id=f"{name}-bet", components=[], claims=[claim]),
    ]
    given = {"scenario": "election", "group_key": group, "policy_version": "v7", "agent_id": agent}
    return a_part(name, steps=steps, **given | changes)


def _settled(name: str, group: str, value: float, version: int = 1, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "target_event_id": f"{name}-bet",
        "outcome_key": f"{group}-{name}",
        "outcome_version": version,
        "value": value,
        "recorded_at": T0 + timedelta(hours=1),
    }
    return an_entry(f"settled-{name}-{version}", name, **given | changes)


def _said(name: str, source: str, what: str, value: float, **changes: Any) -> Any:
    later = {"recorded_at": T0 + DAY, "occurred_at": T0 + DAY}
    given = {"name": what, "source": source, "value": value, **later, **changes}
    return an_entry(f"{source}-{name}", name, **given)


def example() -> list[Any]:
    """Two groups, and rewards of two days."""
    together = {"episode_id": "debate-1"}
    return [
        _attempt("t-1", "senate", "agent-a"),
        _attempt("t-2", "senate", "agent-a"),
        _attempt("t-3", "senate", "agent-b"),
        _attempt("t-4", "senate", "agent-b"),
        _attempt("t-5", "house", "agent-a", **together),
        _attempt("t-6", "house", "agent-b", **together),
        _settled("t-1", "senate", 1.0),
        _settled("t-2", "senate", 0.0),
        _settled("t-3", "senate", 0.0),
        _settled("t-4", "senate", 1.0),
        _settled("t-5", "house", 1.0),
        _settled("t-2", "senate", 1.0, 2, supersedes="settled-t-2-1", reason="recount",
                 recorded_at=T0 + DAY),
        _said("t-1", "judge", "quality", 0.75),
        _said("t-2", "judge", "quality", 0.5),
        _said("t-5", "human", "reviewed", -1.0, reason="ignored the limit"),
    ]  # fmt: skip
