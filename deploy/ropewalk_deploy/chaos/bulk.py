"""Many small events, made as fast as a broker takes them; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ropewalk_schemas.fields import SCHEMA_VERSION, format_instant

Record = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Bulk:
    """Trajectories of equal length, one writer each.

    Args:
        name: Goes into every id.
        at: When everything happened.
        trajectories: How many.
        steps: Decisions of each.
        abreast: How many are open at a time.
    """

    name: str
    at: datetime
    trajectories: int
    steps: int
    abreast: int

    @property
    def n_events(self) -> int:
        """All of them, starts and ends included."""
        return self.trajectories * (self.steps + 2)

    def records(self) -> Iterator[Record]:
        """Everything, in groups that are open at the same time."""
        for first in range(0, self.trajectories, self.abreast):
            group = range(first, min(first + self.abreast, self.trajectories))
            yield from self.begun(group)
            yield from self.ended(group)

    def begun(self, group: range) -> Iterator[Record]:
        """Starts and all decisions of a group, step by step."""
        yield from (self._event(n, "trajectory_started", 0) for n in group)
        for step in range(self.steps):
            yield from (self._event(n, "decision", step + 1, _DECISION) for n in group)

    def ended(self, group: range) -> Iterator[Record]:
        """Ends of a group."""
        end = _END % (self.steps + 2)
        yield from (self._event(n, "trajectory_ended", self.steps + 1, end) for n in group)

    def _event(self, number: int, kind: str, seq: int, rest: str = "") -> Record:
        life = f"{self.name}-{number}"
        at = format_instant(self.at)
        value = (
            f'{{"type":"{kind}","event_id":"{life}/{seq}","schema_version":"{SCHEMA_VERSION}",'
            f'"occurred_at":"{at}","started_at":"{at}","project":"bulk","agent_id":"bulk",'
            f'"trajectory_id":"{life}","writer":"{life}","seq":{seq}{rest}}}'
        )
        return life.encode(), value.encode()


_DECISION = ',"action":{"type":"wait"},"action_status":"held","reward_components":{"pnl":1.0}'
_END = ',"n_events":%d,"status":"completed"'
