"""Builds a final part from its events: ordered, numbered, its messages pooled."""

from dataclasses import dataclass
from math import fsum
from typing import Any, cast

from ropewalk_schemas.codec import decode_for_assembly, unknown_fields
from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.events import (
    EVENT_MODELS,
    Decision,
    LifeEvent,
    LLMCall,
    TrajectoryEnded,
    TrajectoryStarted,
)
from ropewalk_schemas.published import CallRow, ComponentRow, StepRow, TrajectoryRow
from ropewalk_schemas.trajectory import CloseReason, Step, Trajectory
from ropewalk_schemas.windows import from_micros, window_id
from ropewalk_stream_processors.trajectory.chains import calls_by_id
from ropewalk_stream_processors.trajectory.life import Life
from ropewalk_stream_processors.trajectory.ordering import in_order
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.pooling import MessagePool
from ropewalk_stream_processors.trajectory.prompts import Prompts
from ropewalk_stream_processors.trajectory.records import KeptEvent
from ropewalk_stream_processors.trajectory.sequences import Sequences
from ropewalk_stream_processors.trajectory.spans import spans_of
from ropewalk_stream_processors.trajectory.start import StartFacts
from ropewalk_stream_processors.trajectory.tools import ToolSets

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
    content = _Content(part.life)
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


class _Content:
    """Folds the events of a part into its messages, steps, calls and sequences."""

    def __init__(self, life: Life) -> None:
        self._prompts = Prompts(calls_by_id(life.bases.values(), life.events))
        self._pool = MessagePool(self._prompts.texts)
        self._tools = ToolSets()
        self._sequences = Sequences()
        self._steps: list[tuple[KeptEvent, Decision]] = []
        self._calls: list[tuple[KeptEvent, LLMCall, dict[str, Any]]] = []
        self.start: TrajectoryStarted | None = None
        self.end: TrajectoryEnded | None = None
        self._closing: list[TrajectoryEnded] = []

    def add(self, kept: KeptEvent, event: LifeEvent) -> None:
        if kept.type == "llm_call":
            self._call(kept, cast("LLMCall", event))
        elif kept.type == "decision":
            self._steps.append((kept, cast("Decision", event)))
        elif kept.type == "trajectory_started":
            self.start = self.start or cast("TrajectoryStarted", event)
            self._pool.say(self._prompts.digests(cast("TrajectoryStarted", event).messages))
        elif kept.type == "trajectory_ended":
            self.end = self.end or cast("TrajectoryEnded", event)
            self._closing.append(cast("TrajectoryEnded", event))

    def _call(self, kept: KeptEvent, event: LLMCall) -> None:
        prompt = self._prompts.of(kept, event)
        inputs, output = self._pool.call(event.thread, prompt)
        span = self._sequences.call(event)
        places: dict[str, Any] = {
            "input": inputs,
            "output": output,
            "tools": self._tools.position(prompt.tools),
        }
        if span is not None:
            places |= {"sequence": span.sequence, "span_start": span.start, "span_end": span.end}
        self._calls.append((kept, event, places))

    def fields(self) -> dict[str, Any]:
        """The lists of the part and what is summed over them."""
        for end in self._closing:
            self._pool.say(self._prompts.digests(end.messages))
        position = {event.call_id: i for i, (_, event, _) in enumerate(self._calls)}
        steps = [_step(i, k, event, position) for i, (k, event) in enumerate(self._steps)]
        rests: dict[int, int] = {}
        for i, step in enumerate(steps):
            for call in step.calls:
                rests.setdefault(call, i)
        return {
            "messages": self._pool.messages,
            "linear": self._pool.linear(),
            "tool_sets": self._tools.sets,
            "steps": steps,
            "llm_calls": [
                _call_row(k, event, places, rests.get(i))
                for i, (k, event, places) in enumerate(self._calls)
            ],
            "sequences": self._sequences.rows(),
            "n_steps": len(steps),
            "n_llm_calls": len(self._calls),
            **self._sums(),
        }

    def _sums(self) -> dict[str, Any]:
        usages = [event.usage for _, event, _ in self._calls if event.usage is not None]
        given = [u.input_tokens for u in usages if u.input_tokens is not None]
        written = [u.output_tokens for u in usages if u.output_tokens is not None]
        costs = [e.cost_usd for _, e, _ in self._calls if e.cost_usd is not None]
        return {
            "input_tokens": sum(given) if given else None,
            "output_tokens": sum(written) if written else None,
            "cost_usd": fsum(costs) if costs else None,
        }


def _step(number: int, kept: KeptEvent, event: Decision, position: dict[str, int]) -> Step:
    step: Step = StepRow(
        step=number,
        event_id=event.event_id,
        at=from_micros(kept.occurred_us),
        state=event.state,
        observation=event.observation,
        reads=event.reads,
        reasoning=event.reasoning,
        action_type=event.action.type,
        action=event.action.parameters,
        action_status=event.action_status,
        result=event.result,
        error=event.error,
        components=[
            ComponentRow(name=name, value=value) for name, value in event.reward_components.items()
        ],
        claims=event.claims,
        calls=[position[call] for call in event.calls if call in position],
        tool_call_id=event.action.tool_call_id,
    )
    return step


def _call_row(kept: KeptEvent, event: LLMCall, places: dict[str, Any], step: int | None) -> Any:
    usage = event.usage
    return CallRow(
        call_id=event.call_id,
        event_id=event.event_id,
        response_id=event.response_id,
        thread=event.thread,
        parent_call=event.parent_call,
        purpose=event.purpose,
        provider=event.provider,
        model=event.model,
        policy_version=event.policy_version,
        error=event.error,
        step=step,
        at=from_micros(kept.occurred_us),
        latency_ms=event.latency_ms,
        params=event.parameters,
        finish_reasons=event.finish_reasons,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cost_usd=event.cost_usd,
        **places,
    )


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


def _description(life: Life, content: _Content) -> dict[str, Any]:
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
