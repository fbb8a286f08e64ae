"""Builds a final part from its events: ordered, numbered, its messages pooled."""

from dataclasses import dataclass
from typing import Any, cast

from ropewalk_schemas.codec import decode_for_assembly, unknown_fields
from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.events import (
    EVENT_MODELS,
    LifeEvent,
)
from ropewalk_schemas.published import TrajectoryRow
from ropewalk_schemas.trajectory import CloseReason, Trajectory
from ropewalk_schemas.windows import from_micros, window_id
from ropewalk_stream_processors.trajectory.content import PartContent
from ropewalk_stream_processors.trajectory.life import Life
from ropewalk_stream_processors.trajectory.ordering import in_order
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import KeptEvent
from ropewalk_stream_processors.trajectory.spans import spans_of
from ropewalk_stream_processors.trajectory.start import StartFacts

MODELS = {model.model_fields["type"].default: model for model in EVENT_MODELS}


@dataclass(frozen=True, slots=True)
class Part:
    """A part about to be published: its life as it stands, and how it closed."""

    life: Life
    place: Place
    close_reason: CloseReason
    content_hash: str
    last: bool
    broker_ms: int


def assemble(part: Part) -> Trajectory:
    """The part as published."""
    ordered = in_order(part.life.events)
    decoded = [cast("LifeEvent", decode_for_assembly(kept.value)) for kept in ordered]
    content = PartContent(part.life)
    for kept, event in zip(ordered, decoded, strict=True):
        content.add(kept, event)
    row: Trajectory = TrajectoryRow(
        **_identity(part),
        **_description(part.life, content),
        **_times(part),
        **_completeness(part),
        **content.fields(),
        extra=_extra(ordered),
        rewards=part.life.rewards,
    )
    return row


def _identity(part: Part) -> dict[str, Any]:
    life = part.life
    offsets = [kept.offset for kept in life.events]
    before = max(life.begins_at - 1, 0)
    return {
        "engine_version": part.place.engine_version,
        "trajectory_id": life.trajectory_id,
        "part": life.part,
        "last": part.last,
        "close_reason": part.close_reason,
        "content_hash": part.content_hash,
        "previous_hash": life.previous_hash,
        "source_partition": part.place.partition,
        "first_offset": min(offsets, default=before),
        "last_offset": max(offsets, default=before),
        "n_events": len(offsets),
    }


def _description(life: Life, content: PartContent) -> dict[str, Any]:
    """What the trajectory is; goal and metadata whole where its start or end is in the part."""
    facts = cast("StartFacts", life.start)
    start, end = content.start, content.end
    metadata: Any = start.metadata if start else facts.metadata
    if end is not None and (added := parse_json(bytes(cast("Any", end.metadata)))):
        known = parse_json(bytes(metadata)) if start else metadata
        metadata = {**known, **added}
    return {
        "episode_id": facts.episode_id,
        "project": facts.project,
        "agent_id": facts.agent_id,
        "scenario": facts.scenario,
        "policy": facts.policy,
        "policy_version": facts.policy_version,
        "group_key": facts.group_key,
        "goal": start.goal if start else facts.goal,
        "mode": facts.mode,
        "seed": facts.seed,
        "status": life.status,
        "termination": life.termination,
        "error": life.error,
        "metadata": metadata,
    }


def _times(part: Part) -> dict[str, Any]:
    life = part.life
    start_us = life.window_start_us or 0
    happened = [kept.occurred_us for kept in life.events] or [life.last_event_us]
    begun = life.part_started_us if life.events else life.last_event_us
    return {
        "window_id": window_id(start_us, life.window_s),
        "window_s": life.window_s,
        "window_start": from_micros(start_us),
        "started_at": from_micros(begun),
        "ended_at": from_micros(max(happened)),
        "finalized_at": from_micros(part.broker_ms * 1000),
    }


def _completeness(part: Part) -> dict[str, Any]:
    life = part.life
    unseen = life.handed_to - set(life.writers)
    spans = spans_of(life.writers, unseen, last=part.last)
    counted = not unseen and all(seqs.count is not None for seqs in life.writers.values())
    return {
        "writers": spans.spans,
        "n_missing": spans.n_missing,
        "complete": spans.n_missing == 0 and (counted or not part.last),
    }


def _extra(events: list[KeptEvent]) -> dict[str, Any]:
    """Fields of a newer schema, by event_id."""
    return {
        kept.event_id: found
        for kept in events
        if kept.has_extra
        and (
            found := unknown_fields(
                MODELS[kept.type], cast("dict[str, Any]", parse_json(kept.value))
            )
        )
    }
