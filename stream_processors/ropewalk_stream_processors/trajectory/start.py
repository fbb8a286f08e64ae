"""What a trajectory_started says that every part repeats."""

from dataclasses import asdict, dataclass
from typing import Any

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.events import Mode, TrajectoryStarted

# A header travels in every progress record while its life lasts: what is larger stays in part 0.
MAX_REPEATED_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class StartFacts:
    """Identity and description of a trajectory, as later parts repeat them."""

    project: str
    agent_id: str
    episode_id: str | None
    mode: Mode
    scenario: str | None
    policy: str | None
    policy_version: str | None
    goal: str | None
    seed: int | None
    group_key: str | None
    metadata: dict[str, Any]

    @classmethod
    def of(cls, event: TrajectoryStarted) -> "StartFacts":
        """The facts of a start; goal and metadata too large to repeat are left to part 0."""
        metadata = event.metadata
        if len(to_json(metadata)) > MAX_REPEATED_BYTES:
            metadata = {"see_part": 0}
        goal = event.goal
        if goal is not None and len(goal) > MAX_REPEATED_BYTES:
            goal = None
        return cls(
            project=event.project,
            agent_id=event.agent_id,
            episode_id=event.episode_id,
            mode=event.mode,
            scenario=event.scenario,
            policy=event.policy.model if event.policy else None,
            policy_version=event.policy.version if event.policy else None,
            goal=goal,
            seed=event.seed,
            group_key=event.group_key,
            metadata=metadata,
        )

    def to_json(self) -> dict[str, Any]:
        """The facts as a header holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "StartFacts":
        """The facts of a header."""
        return cls(**facts)
