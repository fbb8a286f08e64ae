"""What differs between a trajectory as readers see it and as it was rebuilt, and why; pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ropewalk_deploy.generations.reward_differences import (
    RewardDifference,
    Rewarded,
    reward_differences,
    total_of,
)
from ropewalk_sinks.scored_rows import StoredEntry

Kind = Literal["changed", "only_now", "only_rebuilt"]
Row = Mapping[str, Any]
MAX_FIELDS, MAX_TEXT = 40, 80


class EventId(NamedTuple):
    """An event's place in its trajectory."""

    writer: str
    seq: int


@dataclass(frozen=True, slots=True)
class Side:
    """One trajectory as one of the two has it.

    Attributes:
        parts: Its rows of the dataset `trajectories`, by part.
        refused: Why events of it were refused.
        others: Why records of it were refused that are no events with a writer and a seq.
        ledger: Its entries.
    """

    parts: Sequence[Row] = ()
    refused: Mapping[EventId, str] = field(default_factory=dict)
    others: Sequence[str] = ()
    ledger: Sequence[StoredEntry] = ()

    def events(self) -> set[EventId]:
        """Every event that its parts hold."""
        return {
            EventId(span["writer"], seq)
            for part in self.parts
            for span in part["writers"]
            for seq in {*range(span["from_seq"], span["to_seq"] + 1)} - {*span["missing"]}
        }


class FieldDifference(NamedTuple):
    """One field of one part, with both values, shortened."""

    part: int
    field: str
    now: str
    rebuilt: str


class EventDifference(NamedTuple):
    """An event that only one of the two has, and why the other refused it; None if it did not."""

    writer: str
    seq: int
    refused: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs in one trajectory.

    Attributes:
        why: In short, for a person.
        gained: Events that only the rebuilt one has; `lost`: that only the present one has.
        total_now: What it earns by the default specification, with the whole ledger.
        n_fields: How many fields differ; `fields` lists the first.
    """

    trajectory_id: str
    kind: Kind
    why: list[str]
    gained: list[EventDifference]
    lost: list[EventDifference]
    fields: list[FieldDifference]
    n_fields: int
    rewards: list[RewardDifference]
    total_now: float | None
    total_rebuilt: float | None


def difference(trajectory_id: str, now: Side, rebuilt: Side) -> Difference | None:
    """What differs in a trajectory; None if nothing does."""
    events_now, events_rebuilt = now.events(), rebuilt.events()
    gained = _only_in(events_rebuilt - events_now, now.refused)
    lost = _only_in(events_now - events_rebuilt, rebuilt.refused)
    fields = list(_part_fields(now, rebuilt))
    ledger = {e.reward_id: e for e in (*rebuilt.ledger, *now.ledger)}
    before, after = (Rewarded.of(side.parts, ledger.values()) for side in (now, rebuilt))
    only_rebuilt = ledger.keys() - {entry.reward_id for entry in now.ledger}
    rewards = reward_differences(before, after, ledger, only_rebuilt)
    if not (fields or rewards or gained or lost or bool(now.parts) != bool(rebuilt.parts)):
        return None
    return Difference(
        trajectory_id,
        _kind(now, rebuilt),
        list(_why(now, rebuilt, gained, lost)),
        gained,
        lost,
        fields[:MAX_FIELDS],
        len(fields),
        rewards,
        total_of(before),
        total_of(after),
    )


def _kind(now: Side, rebuilt: Side) -> Kind:
    if not now.parts:
        return "only_rebuilt"
    return "changed" if rebuilt.parts else "only_now"


def _only_in(events: set[EventId], refused: Mapping[EventId, str]) -> list[EventDifference]:
    return [EventDifference(*event, refused.get(event)) for event in sorted(events)]


def _why(
    now: Side, rebuilt: Side, gained: Sequence[EventDifference], lost: Sequence[EventDifference]
) -> Iterator[str]:
    if not now.parts:
        yield f"was not stored: {_refusals(now)}"
    elif not rebuilt.parts:
        yield f"does not come out any more: {_refusals(rebuilt)}"
    else:
        if gained:
            yield f"takes in {_events(gained, 'refused before')}"
        if lost:
            yield f"lacks {_events(lost, 'refused now')}"
        yield from _closed(now, rebuilt)
        engines = [side.parts[0]["engine_version"] for side in (now, rebuilt)]
        if engines[0] != engines[1]:
            yield f"assembled by engine {engines[0]}, now by {engines[1]}"


def _refusals(side: Side) -> str:
    reasons = Counter([*side.refused.values(), *side.others])
    if not reasons:
        return "nothing of it was refused, and nothing was published"
    return ", ".join(f"{n:,} records refused as {reason}" for reason, n in reasons.most_common())


def _events(events: Sequence[EventDifference], when: str) -> str:
    reasons = Counter(event.refused for event in events if event.refused is not None)
    told = ", ".join(f"{n:,} {when} as {reason}" for reason, n in reasons.most_common())
    return f"{len(events):,} events" + (f" ({told})" if told else "")


def _closed(now: Side, rebuilt: Side) -> Iterator[str]:
    if len(now.parts) != len(rebuilt.parts):
        yield f"{len(now.parts)} parts, now {len(rebuilt.parts)}"
    reasons = [side.parts[-1]["close_reason"] for side in (now, rebuilt)]
    if reasons[0] != reasons[1]:
        yield f"closed by {reasons[0]}, now by {reasons[1]}"


def _part_fields(now: Side, rebuilt: Side) -> Iterator[FieldDifference]:
    """Differences of parts that both have, by number."""
    before = {part["part"]: part for part in now.parts}
    for part in rebuilt.parts:
        old = before.get(part["part"])
        if old is not None:
            for name, *values in _differing(old, part, ""):
                yield FieldDifference(part["part"], name, *map(_shortened, values))


def _differing(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Leaves that differ, as path, old and new value; of lists, what both have and the counts."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in {**old, **new}:
            inner = f"{path}.{name}" if path else name
            yield from _differing(old.get(name), new.get(name), inner)
    elif _are_objects(old) and _are_objects(new):
        if len(old) != len(new):
            yield f"{path} (count)", len(old), len(new)
        for number, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _differing(one, other, f"{path}[{number}]")
    elif old != new:
        yield path, old, new


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _shortened(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
