"""What every event of a trajectory says, and what another process needs to say the same."""

from dataclasses import dataclass
from typing import Any

from ropewalk_producers.errors import UnrecordableError
from ropewalk_producers.events import Fields, Instant, instant
from ropewalk_producers.plain import plain


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


@dataclass(frozen=True, slots=True)
class Identity:
    """A trajectory and who records it; `unusable` says why nothing can be recorded."""

    told: Continuation
    writer: str
    source: dict[str, str]
    unusable: Exception | None = None

    def envelope(self) -> Fields:
        """The constant fields of its events.

        Raises:
            Exception: `unusable`.
        """
        if self.unusable is not None:
            raise self.unusable
        told = self.told
        out: Fields = {
            "project": told.project,
            "trajectory_id": told.trajectory_id,
            "agent_id": told.agent_id,
            "started_at": told.started_at,
            "source": self.source,
        }
        return out if told.episode_id is None else out | {"episode_id": told.episode_id}


def continuation(
    *, trajectory_id: Any, started_at: Instant, agent_id: Any, episode_id: Any, project: Any
) -> Continuation:
    """The continuation of a trajectory as an agent describes it.

    Raises:
        Exception: If nothing can be recorded under that description.
    """
    return Continuation(
        trajectory_id=text("trajectory_id", trajectory_id),
        started_at=instant(started_at),
        agent_id=text("agent_id", agent_id),
        episode_id=None if episode_id is None else text("episode_id", episode_id),
        project=text("project", project),
    )


def text(name: str, value: Any) -> str:
    """A text, also from a UUID or an enum.

    Raises:
        Exception: If it is none.
    """
    given = plain(value)
    if type(given) is not str:
        message = f"{name} is a {type(value).__name__}, not text"
        raise UnrecordableError(message)
    return given
