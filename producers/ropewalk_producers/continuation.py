"""What goes to another process so that it can go on with a trajectory."""

from dataclasses import dataclass

from ropewalk_producers.event_writer import Identity
from ropewalk_producers.events import instant


@dataclass(frozen=True, slots=True)
class Continuation:
    """What another process needs to go on with a trajectory: picklable, and JSON by `asdict`.

    Attributes:
        started_at: RFC 3339 text.
    """

    trajectory_id: str
    started_at: str
    agent_id: str
    episode_id: str | None
    project: str


def continuation_of(identity: Identity) -> Continuation:
    """The continuation of a trajectory."""
    try:
        started_at = instant(identity.started_at)
    except (TypeError, ValueError, OverflowError):  # every event was refused for it already
        started_at = str(identity.started_at)
    return Continuation(
        trajectory_id=identity.trajectory_id,
        started_at=started_at,
        agent_id=identity.agent_id,
        episode_id=identity.episode_id,
        project=identity.project,
    )
