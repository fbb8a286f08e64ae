"""Which rewards of a trajectory differ, and why; pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ropewalk_schemas.scored_trajectory import score_trajectory
from ropewalk_schemas.scoring import DEFAULT_SPEC, Entry, ScoredStep, current_entries, is_terminal
from ropewalk_schemas.scoring import step_of as step_in
from ropewalk_sinks.scored_rows import StoredEntry, dataset_steps

Why = Literal["component", "step", "placed", "target", "no_target", "entry"]


class RewardDifference(NamedTuple):
    """One reward that differs.

    Attributes:
        why: `component`: an immediate reward of a step; `step`: the step is only in one of the two;
            `placed`: an entry counts elsewhere; `target`: what an entry is for is stored now;
            `no_target`: it is no longer; `entry`: the ledger lacks it, as it was refused.
        what: The component's name, or the entry's reward_id.
        value: What it is worth, if both say the same.
        now: Where it counts, or its value; `rebuilt` likewise.
    """

    why: Why
    what: str
    value: float | None
    now: str
    rebuilt: str


@dataclass(frozen=True, slots=True)
class Rewarded:
    """A trajectory as rewards see it: the steps of each part, and what entries may be for."""

    parts: Mapping[int, Sequence[ScoredStep]]
    calls: frozenset[str]
    entries: tuple[StoredEntry, ...]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], entries: Iterable[StoredEntry]) -> "Rewarded":
        """From rows of the dataset `trajectories`."""
        parts, calls = {}, set()
        for row in rows:
            parts[row["part"]] = dataset_steps(row)
            for call in row["llm_calls"]:
                calls |= {call["call_id"], call["response_id"], call["event_id"]}
        return cls(parts, frozenset(calls - {None}), tuple(entries))

    def steps(self) -> dict[str, ScoredStep]:
        """By event_id."""
        return {step.event_id: step for steps in self.parts.values() for step in steps}

    def place_of(self, entry: Entry) -> str | None:
        """Where an entry counts: a step or `trajectory`; None if what it is for is not stored.

        What is for a call that led to no step counts for the trajectory.
        """
        if not self.parts:
            return None
        if is_terminal(entry):
            return "trajectory"
        for _, steps in sorted(self.parts.items()):
            at = step_in(entry, steps)
            if at is not None:
                return f"step {steps[at].event_id}"
        named = {entry.target_event_id, entry.call_id, entry.response_id}
        return "trajectory" if named & self.calls else None


def total_of(side: Rewarded) -> float | None:
    """What a trajectory earns by the default specification; None if nothing was rewarded."""
    if not side.parts:
        return None
    scored = score_trajectory(DEFAULT_SPEC, side.parts, side.entries)
    totals = [part.score.total for part in scored if part.score.total is not None]
    return sum(totals) if totals else None


def reward_differences(
    now: Rewarded,
    rebuilt: Rewarded,
    ledger: Mapping[str, StoredEntry],
    only_rebuilt: Collection[str],
) -> list[RewardDifference]:
    """What differs.

    Args:
        now: As readers see it.
        rebuilt: As rebuilt.
        ledger: The entries of both, by id.
        only_rebuilt: The entries that the present ledger lacks.
    """
    found = list(_immediate(now.steps(), rebuilt.steps()))
    for entry in current_entries(ledger.values()):
        if entry.reward_id in only_rebuilt:
            place = rebuilt.place_of(entry) or "nothing"
            found.append(RewardDifference("entry", entry.reward_id, entry.value, "-", place))
        elif now.parts and rebuilt.parts:
            found += _placed(entry, now.place_of(entry), rebuilt.place_of(entry))
    return found


def _placed(entry: Entry, now: str | None, rebuilt: str | None) -> Iterator[RewardDifference]:
    if now == rebuilt:
        return
    why: Why = "target" if now is None else "no_target" if rebuilt is None else "placed"
    places = (now or "nothing stored", rebuilt or "nothing stored")
    yield RewardDifference(why, entry.reward_id, entry.value, *places)


def _immediate(
    now: Mapping[str, ScoredStep], rebuilt: Mapping[str, ScoredStep]
) -> Iterator[RewardDifference]:
    for event_id in (*now, *(rebuilt.keys() - now.keys())):
        old, new = now.get(event_id), rebuilt.get(event_id)
        if old is None or new is None:
            there = new if old is None else old
            assert there is not None  # noqa: S101 - it is in one of the two
            for name, value in there.components.items():
                places = ("-", f"step {event_id}") if old is None else (f"step {event_id}", "-")
                yield RewardDifference("step", name, value, *places)
            continue
        for name in {**old.components, **new.components}:
            values = old.components.get(name), new.components.get(name)
            if values[0] != values[1]:
                texts = (f"{'-' if v is None else v} at step {event_id}" for v in values)
                yield RewardDifference("component", name, None, *texts)
