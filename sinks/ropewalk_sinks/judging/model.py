"""What the judge stage talks about. Plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Member(NamedTuple):
    """A whole trajectory, final in one part."""

    trajectory_id: str
    part: int
    content_hash: str


class Turn(NamedTuple):
    """One message as a judge reads it."""

    role: str
    text: str


Transcript = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Attempts at the same task by the same policy; `members` are sorted, at least two."""

    project: str
    scenario: str | None
    policy: str | None
    policy_version: str | None
    group_key: str | None
    window_id: str | None
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """How a person knows the group."""
        return "/".join(
            (self.project, self.scenario or "-", self.group_key or self.window_id or "-")
        )


class Task(NamedTuple):
    """A group with what is shown of it; `transcripts` belong to the members, in their order."""

    judgment_id: str
    group: Group
    goal: str | None
    transcripts: tuple[Transcript, ...]


class Score(NamedTuple):
    """What the judge thinks of one member: 0 to 1, and why."""

    value: float
    explanation: str


class Usage(NamedTuple):
    """Requests made, and the tokens their answers say they used."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def cost_usd(self, *, input_usd: float, output_usd: float) -> float:
        """What the tokens cost, by the prices of a million."""
        return (self.input_tokens * input_usd + self.output_tokens * output_usd) / 1e6


class Verdict(NamedTuple):
    """How asking about a group ended.

    Attributes:
        scores: Of the members, in their order; empty when no answer was acceptable.
        detail: Why there are none; empty when there are.
        raw: The last answer's bytes.
        may_help_later: There was no answer at all: nothing is decided about the group.
    """

    scores: tuple[Score, ...]
    detail: str
    raw: bytes
    usage: Usage
    may_help_later: bool = False


class StoredScore(NamedTuple):
    """One reward to emit; `supersedes` is the trajectory's earlier one by the same rubric."""

    reward_id: str
    trajectory_id: str
    value: float
    explanation: str
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class Judgment:
    """A stored judgment; without scores it was refused, and `detail` and `raw` say why."""

    judgment_id: str
    project: str
    group_name: str
    rubric: str
    model: str
    detail: str
    raw: bytes
    judged_at: datetime
    scores: Sequence[StoredScore]
