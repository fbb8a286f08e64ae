"""Logs replayed into memory, and what their events say."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ropewalk_producers import RecorderSettings
from ropewalk_producers.importers.replay import read_logs, recorder_for, send
from ropewalk_producers.testing import MemoryPublisher, Record
from ropewalk_schemas.codec import decode_event_with_models
from ropewalk_schemas.events import (
    Decision,
    LifeEvent,
    LLMCall,
    Reward,
    TrajectoryEnded,
    TrajectoryStarted,
)

SETTINGS = RecorderSettings(project="tests", service="whoever", instance="anywhere")


@dataclass
class Life:
    """The events of one trajectory, by kind."""

    events: list[LifeEvent | Reward] = field(default_factory=list)

    def _of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def started(self) -> TrajectoryStarted:
        (started,) = self._of(TrajectoryStarted)
        return started  # type: ignore[no-any-return] # of that kind

    @property
    def ended(self) -> TrajectoryEnded:
        (ended,) = self._of(TrajectoryEnded)
        return ended  # type: ignore[no-any-return] # of that kind

    @property
    def decisions(self) -> list[Decision]:
        return self._of(Decision)

    @property
    def rewards(self) -> list[Reward]:
        return self._of(Reward)

    def calls(self, thread: str | None = None) -> list[LLMCall]:
        return [call for call in self._of(LLMCall) if thread in (None, call.thread)]


def replayed(files: Sequence[Path], format: str, run: str | None = None) -> list[Record]:  # noqa: A002
    """The records of a replay, as they would lie in the log."""
    publisher = MemoryPublisher()
    recorder = recorder_for(format, SETTINGS, publisher)
    send(recorder, read_logs(files, format=format, run=run))
    assert recorder.close().complete, recorder.last_error
    return publisher.records


def lives(records: Iterable[Record]) -> dict[str, Life]:
    """Trajectories by id."""
    found: dict[str, Life] = defaultdict(Life)
    for record in records:
        event = decode_event_with_models(record.value)
        assert record.key.decode() == event.trajectory_id
        found[event.trajectory_id].events.append(event)
    return dict(found)


def prompts(calls: Iterable[LLMCall]) -> list[list[dict[str, Any]] | None]:
    """Each call's whole prompt, put together from bases and new messages."""
    said: dict[str, list[dict[str, Any]]] = {}
    found: list[list[dict[str, Any]] | None] = []
    for call in calls:
        prompt = None
        if call.messages is not None:
            base = said[call.base_call][: call.base_messages] if call.base_call else []
            prompt = base + [plain(message) for message in call.messages]
            said[call.call_id] = prompt + [plain(message) for message in call.output]
        found.append(prompt)
    return found


def plain(message: Any) -> dict[str, Any]:
    """A message of an event as plain data, without what it does not say."""
    data: dict[str, Any] = message.model_dump(exclude_none=True)
    return data
