"""How long and how large a trajectory may get: settings that travel in the log itself."""

from typing import Annotated

from pydantic import Field

from ropewalk_schemas.fields import Contract, Count, Name
from ropewalk_schemas.windows import DEFAULT_WINDOW_S

Milliseconds = Annotated[int, Field(ge=1, le=366 * 86_400_000)]
HOUR_MS = 3_600_000


class Limits(Contract):
    """Limits of one project's trajectories. Durations run on the partition's clock.

    Attributes:
        settle_ms: How long to wait for missing events after the end, or after a window's end.
        idle_ms: The silence after which an episode is over, and a continuous agent's part is cut.
        duration_ms: How long one part may stay open.
        window_s: Window length.
        max_bytes: Size of one part, counted in bytes of its events and of what they list.
    """

    settle_ms: Milliseconds = 60_000
    idle_ms: Milliseconds = HOUR_MS
    duration_ms: Milliseconds = 24 * HOUR_MS
    window_s: Annotated[int, Field(ge=1, le=366 * 86_400)] = DEFAULT_WINDOW_S
    max_bytes: Annotated[int, Field(ge=1, le=8 * 1024 * 1024)] = 8 * 1024 * 1024


class Settings(Contract):
    """Everything that decides what the log gives, so that it is a function of the log alone.

    Attributes:
        keep_ms: How long a continuous agent that fell silent may come back as the same life.
        cap_ms: The longest step one record may move the clock; above the tick interval.
        future_ms: How far ahead of broker time an event may say it happened.
        spill_ms: Age from which an open trajectory may be spilled to `chunks`; 0 never spills.
        spill_records: How many records it must hold the replay point back, besides.
        default: Limits of projects not named in `projects`.
    """

    keep_ms: Milliseconds = 7 * 24 * HOUR_MS
    cap_ms: Milliseconds = 5_000
    future_ms: Milliseconds = HOUR_MS
    spill_ms: Annotated[int, Field(ge=0, le=366 * 86_400_000)] = 60_000
    spill_records: Count = 20_000
    default: Limits = Limits()
    projects: dict[Name, Limits] = {}

    def for_project(self, project: str) -> Limits:
        """The limits of a project."""
        return self.projects.get(project, self.default)
