"""What a part holds: its events folded into messages, steps, calls and sequences."""

from math import fsum
from typing import Any, cast

from ropewalk_schemas.events import (
    Decision,
    LifeEvent,
    LLMCall,
    TrajectoryEnded,
    TrajectoryStarted,
)
from ropewalk_stream_processors.trajectory.chains import calls_by_id
from ropewalk_stream_processors.trajectory.life import Life
from ropewalk_stream_processors.trajectory.pooling import MessagePool
from ropewalk_stream_processors.trajectory.prompts import Prompts
from ropewalk_stream_processors.trajectory.records import KeptEvent
from ropewalk_stream_processors.trajectory.rows import call_row, step_row
from ropewalk_stream_processors.trajectory.sequences import Sequences
from ropewalk_stream_processors.trajectory.tools import ToolSets


class PartContent:
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
        """Take the next event, in order."""
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
        steps = [step_row(i, k, event, position) for i, (k, event) in enumerate(self._steps)]
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
                call_row(k, event, places, rests.get(i))
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
