"""What an erasure leaves behind: who, when, why, and what was removed. Plain data."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from ropewalk_sinks.erasure import Kind, Row, Subject


class ErasedTrajectory(BaseModel):
    """What was removed of a trajectory; `parts` has the content hash of each part."""

    model_config = ConfigDict(frozen=True)

    parts: dict[int, str] = {}
    n_events: int = 0
    n_entries: int = 0

    def and_then(self, later: "ErasedTrajectory") -> "ErasedTrajectory":
        """Both together: what a second run removed came after the first."""
        return ErasedTrajectory(
            parts=self.parts | later.parts,
            n_events=self.n_events + later.n_events,
            n_entries=self.n_entries + later.n_entries,
        )

    def less(self, left: "ErasedTrajectory") -> "ErasedTrajectory":
        """Without what is left: what was removed of it."""
        return ErasedTrajectory(
            parts={part: digest for part, digest in self.parts.items() if part not in left.parts},
            n_events=max(0, self.n_events - left.n_events),
            n_entries=max(0, self.n_entries - left.n_entries),
        )


class Removal(BaseModel):
    """What an erasure removes from one store, or found there to remove."""

    trajectories: dict[str, ErasedTrajectory] = {}
    judgments: list[str] = []
    n_refused: int = 0

    @property
    def n_parts(self) -> int:
        """Parts of all trajectories."""
        return sum(len(one.parts) for one in self.trajectories.values())

    @property
    def n_events(self) -> int:
        """Events in those parts."""
        return sum(one.n_events for one in self.trajectories.values())

    @property
    def n_entries(self) -> int:
        """Ledger entries of all trajectories."""
        return sum(one.n_entries for one in self.trajectories.values())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.n_parts or self.n_entries or self.n_refused)

    def and_then(self, later: "Removal") -> "Removal":
        """Both together, the earlier first."""
        none = ErasedTrajectory()
        return Removal(
            trajectories={
                name: self.trajectories.get(name, none).and_then(later.trajectories.get(name, none))
                for name in sorted(self.trajectories.keys() | later.trajectories.keys())
            },
            judgments=sorted({*self.judgments, *later.judgments}),
            n_refused=self.n_refused + later.n_refused,
        )

    def less(self, left: "Removal") -> "Removal":
        """Without what is left: what was removed of it, by somebody who died meanwhile."""
        none = ErasedTrajectory()
        return Removal(
            trajectories={
                name: one.less(left.trajectories.get(name, none))
                for name, one in self.trajectories.items()
            },
            judgments=self.judgments,
            n_refused=max(0, self.n_refused - left.n_refused),
        )


class Tombstone(BaseModel):
    """That a subject was erased from one store, and what that removed.

    Attributes:
        is_finished: Whether nothing is left to remove, in this store or in the other.
        removing: What is being removed just now.
    """

    version: int = 1
    kind: Kind
    id: str
    project: str | None = None
    reason: str | None = None
    erased_at: datetime
    is_finished: bool = False
    removed: Removal = Removal()
    removing: Removal = Removal()

    @property
    def subject(self) -> Subject:
        """Who was erased."""
        return Subject(self.kind, self.id, self.project)

    def rows(self) -> Iterator[Row]:
        """What it forbids to store, as `erasures_of` takes it."""
        erasure_id = self.subject.erasure_id
        if self.kind == "agent":
            yield "agent", self.id, self.project, erasure_id
        else:
            yield "trajectory", self.id, None, erasure_id
        for removal in (self.removed, self.removing):
            for trajectory_id in removal.trajectories:
                yield "trajectory", trajectory_id, None, erasure_id
            for judgment_id in removal.judgments:
                yield "judgment", judgment_id, None, erasure_id
