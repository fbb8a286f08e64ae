"""The scores of a trajectory's parts, with the whole ledger of the trajectory. Pure.

An entry counts in the part that holds its step. What is for the whole trajectory, or for a step
that is nowhere, counts in the newest part.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ropewalk_schemas.scoring import (
    CountedEntry,
    RewardSpec,
    Score,
    ScoredStep,
    counted_entries,
    is_terminal,
    score,
    step_of,
)


@dataclass(frozen=True, slots=True)
class PartScore:
    """A part's score.

    Attributes:
        immediate: The total without the ledger.
        n_entries: Ledger entries that count in it.
    """

    part: int
    score: Score
    immediate: float | None
    n_entries: int


def score_trajectory(
    spec: RewardSpec, parts: Mapping[int, Sequence[ScoredStep]], entries: Iterable[CountedEntry]
) -> list[PartScore]:
    """The scores of the known parts, by number.

    Args:
        spec: What counts, and how much.
        parts: The steps of each part, by its number; at least one part.
        entries: The trajectory's ledger, with what is superseded.
    """
    placed: dict[int, list[CountedEntry]] = defaultdict(list)
    for entry in counted_entries(spec, entries):
        placed[_part_of(entry, parts)].append(entry)
    return [
        PartScore(
            part=part,
            score=score(spec, steps, placed[part]),
            immediate=score(spec, steps, ()).total,
            n_entries=len(placed[part]),
        )
        for part, steps in sorted(parts.items())
    ]


def _part_of(entry: CountedEntry, parts: Mapping[int, Sequence[ScoredStep]]) -> int:
    if not is_terminal(entry):
        for part, steps in sorted(parts.items()):
            if step_of(entry, steps) is not None:
                return part
    return max(parts)
