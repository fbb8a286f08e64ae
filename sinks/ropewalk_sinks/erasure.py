"""Who was erased, and whether a record is of somebody who was. Pure.

A subject is an agent (in one project, or in all) or a trajectory. Which trajectories are an agent's
is told by their parts: a ledger entry has no agent, and a refused record may name any trajectory.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from ropewalk_schemas.encoding import canonical_json
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.judging.rewards import REFUSAL_TOPIC

Kind = Literal["agent", "trajectory"]


class Subject(NamedTuple):
    """Whom an erasure is about; `project` narrows an agent down, None means in every project."""

    kind: Kind
    id: str
    project: str | None = None

    @property
    def erasure_id(self) -> str:
        """The same for the same subject; 32 hex digits."""
        return sha256(canonical_json(list(self))).hexdigest()[:32]

    def __str__(self) -> str:
        where = f" of project {self.project}" if self.project else ""
        return f"{self.kind} {self.id}{where}"


class Named(NamedTuple):
    """Whom a refused record names."""

    trajectories: frozenset[str]
    agent_id: str | None
    project: str | None
    judgment_id: str | None


def named_in(
    topic: str, key: bytes | None, value: bytes | None, trajectory_id: str | None
) -> Named:
    """Whom a refused record names: by its account, its key and its value as far as it is JSON."""
    keyed = None if key is None else key.decode("utf-8", "replace")
    if topic == REFUSAL_TOPIC:  # the judgment knows the members of its group
        return Named(frozenset(), None, None, keyed)
    said = _said(value)
    ids = (trajectory_id, keyed, said.get("trajectory_id"))
    return Named(
        frozenset(i for i in map(_text, ids) if i is not None),
        _text(said.get("agent_id")),
        _text(said.get("project")),
        None,
    )


def _said(value: bytes | None) -> dict[str, Any]:
    try:
        # Not our strict reader: what it refuses is just what lies in quarantine.
        content = json.loads((value or b"").decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(value: object) -> str | None:
    """A text that can be somebody's name: no name has a NUL or half a surrogate pair."""
    if not isinstance(value, str) or "\0" in value:
        return None
    return value if value.encode("utf-8", "replace").decode() == value else None


@dataclass
class Erasures:
    """Everything that is erased, and what turns out to be.

    Attributes:
        agents: The erasure of each agent, by (agent_id, project); project None means all.
        trajectories: The erasure of each trajectory.
        judgments: Judgments that were removed, because a member of their group was erased.
        found: Trajectories of erased agents that were not known before, with the erasure.
    """

    agents: dict[tuple[str, str | None], str] = field(default_factory=dict)
    trajectories: dict[str, str] = field(default_factory=dict)
    judgments: set[str] = field(default_factory=set)
    found: dict[str, str] = field(default_factory=dict)

    def has_trajectory(self, trajectory_id: str) -> bool:
        """Whether nothing of this trajectory may be stored."""
        return trajectory_id in self.trajectories

    def has_agent(self, agent_id: str, project: str | None) -> bool:
        """Whether nothing of this agent may be stored."""
        return self._of_agent(agent_id, project) is not None

    def has_part(self, trajectory_id: str, agent_id: str, project: str) -> bool:
        """Whether a part may not be stored; its trajectory is known to be erased from then on."""
        if trajectory_id in self.trajectories:
            return True
        erasure_id = self._of_agent(agent_id, project)
        if erasure_id is None:
            return False
        self.trajectories[trajectory_id] = self.found[trajectory_id] = erasure_id
        return True

    def has_refused(self, named: Named) -> bool:
        """Whether a refused record may not be stored."""
        if named.judgment_id is not None:
            return named.judgment_id in self.judgments
        if any(i in self.trajectories for i in named.trajectories):
            return True
        return named.agent_id is not None and self.has_agent(named.agent_id, named.project)

    def take_found(self) -> dict[str, str]:
        """What was found since the last time; to be made durable with what was decided by it."""
        found, self.found = self.found, {}
        return found

    def _of_agent(self, agent_id: str, project: str | None) -> str | None:
        return self.agents.get((agent_id, project)) or self.agents.get((agent_id, None))


def named_by(refused: Quarantined) -> Named:
    """Whom a refused record names."""
    return named_in(refused.topic, refused.key, refused.value, refused.trajectory_id)


Row = tuple[Literal["agent", "trajectory", "judgment"], str, str | None, str]
"""What is erased, its id, an agent's project, the erasure."""


def erasures_of(rows: Iterable[Row]) -> Erasures:
    """Everything that some rows name."""
    known = Erasures()
    for what, name, project, erasure_id in rows:
        if what == "agent":
            known.agents[name, project] = erasure_id
        elif what == "trajectory":
            known.trajectories[name] = erasure_id
        else:
            known.judgments.add(name)
    return known


def united(one: Erasures, other: Erasures) -> Erasures:
    """What is erased by either."""
    return Erasures(
        one.agents | other.agents,
        one.trajectories | other.trajectories,
        one.judgments | other.judgments,
    )
