"""One trajectory as an agent records it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ropewalk_producers.block import Block
from ropewalk_producers.errors import RefusedError, UnrecordableError, described
from ropewalk_producers.event_writer import Build, Emitted, EventWriter
from ropewalk_producers.events import (
    CallOptions,
    EndOptions,
    Fields,
    Instant,
    RewardOptions,
    canonical_messages,
    check_options,
    fields,
)
from ropewalk_producers.identity import Continuation, text
from ropewalk_producers.llm_calls import record_call
from ropewalk_producers.rewards import RewardDraft, Send, record_reward
from ropewalk_producers.step import Step
from ropewalk_schemas.events import RewardSource, Status

_STATUSES = frozenset(Status.__args__)  # type: ignore[attr-defined] # a Literal
_MAX_ID_CHARS = 200


class Trajectory(Block):
    """Records one trajectory by one writer; never blocks, never raises into the agent.

    As a context manager it ends when the block does: ``completed``, or ``failed`` with the
    exception kept when one passes through. A resumed or forked trajectory is closed instead: this
    writer has finished, the trajectory has not.

    Threads and tasks may share it. In a forked child it goes on as another writer.
    """

    def __init__(self, out: EventWriter, *, follows: bool) -> None:
        self._out = out
        self._closes = follows
        self._detached = False
        self._handed_to: dict[str, None] = {}
        self._steps: dict[Step, None] = {}
        self._n_rewards: dict[str, int] = {}

    @property
    def trajectory_id(self) -> str:
        """Its id, also the key of its events."""
        return self._out.trajectory_id

    @property
    def writer(self) -> str:
        """This writer's id."""
        return self._out.writer

    @property
    def event_count(self) -> int:
        """Events of this writer so far, those included that could not be recorded."""
        return self._out.n_events

    @property
    def continuation(self) -> Continuation:
        """What `Recorder.resume` needs, for a writer beside this one."""
        return self._out.identity.told

    def step(
        self,
        *,
        state: object = None,
        observation: object = None,
        reasoning: str | None = None,
        at: Instant | None = None,
    ) -> Step:
        """Begin a decision; `state` and `observation` are copied as they are now."""
        return Step(self, {"state": state, "observation": observation, "reasoning": reasoning}, at)

    def llm_call(self, *, model: str, messages: Any, **options: Unpack[CallOptions]) -> str:
        """Record a call of a model.

        Args:
            model: Its name.
            messages: The whole prompt, as the client library takes it; None when not known.
            options: See `CallOptions`.

        Returns:
            Its call_id.
        """
        return record_call(self._out, model, messages, options)

    def reward(
        self,
        name: str,
        value: float,
        *,
        source: RewardSource = "environment",
        target: Step | str | None = None,
        **options: Unpack[RewardOptions],
    ) -> str:
        """Record a ledger entry, also after the end.

        Args:
            name: What was rewarded; see also `Step.reward_component` for immediate ones.
            value: In units of `name`.
            source: Who says so.
            target: The step it is for, or its event_id; the trajectory when None. For a step not
                sent yet, the entry is sent right after it.
            options: See `RewardOptions`.

        Returns:
            Its reward_id.
        """
        told = self.continuation
        draft = RewardDraft(told.project, told.trajectory_id, name, value, source, options)

        def once(send: Send) -> None:
            refusal = self._out.identity.unusable
            if isinstance(refusal, RefusedError):  # it would be a reward of nothing
                self._out.outlet.refuse(self.trajectory_id, "reward", refusal)
            elif issubclass(type(target), Step):
                target.once_sent(send)  # type: ignore[union-attr] # a Step, see above
            else:
                send(target)

        return record_reward(self._out.outlet, draft, lambda: self._reward_id(name), once)

    def hand_to(self, writer: str) -> None:
        """Name a writer that goes on beside or after this one: its events are waited for."""
        try:
            self._handed_to[_writer_id(writer)] = None
        except Exception as cause:
            self._out.outlet.refuse(self.trajectory_id, "hand_to", cause)

    def detach(self) -> Continuation:
        """Leave the trajectory open for another process.

        The block then ends without a word, as if this process had died; when `hand_to` was
        called, by closing this writer. Without either, call `close` before a planned restart:
        only a closed writer's events are known to be complete.
        """
        self._detached = True
        return self.continuation

    def end(self, status: Status = "completed", **options: Unpack[EndOptions]) -> None:
        """End the trajectory; steps still open are sent first."""

        def told() -> Fields:
            check_options(options, EndOptions)
            error = options.get("error")
            return fields(
                status=status,
                termination=options.get("termination"),
                error=self.described(error) if isinstance(error, BaseException) else error,
                messages=canonical_messages(options.get("messages") or ()),
                metadata=options.get("metadata"),
                handed_to=self._handed(options.get("handed_to") or ()),
            )

        known = status if type(status) is str and status in _STATUSES else "failed"
        self._finish("trajectory_ended", told, {"status": known}, options.get("at"))

    def close(self, handed_to: Iterable[str] = (), *, at: Instant | None = None) -> None:
        """Finish this writer and leave the trajectory open; steps still open are sent first."""
        self._finish("writer_closed", lambda: fields(handed_to=self._handed(handed_to)), {}, at)

    def emit_start(self, build: Build, bare: Fields) -> None:
        """Publish the beginning; `build` gives its own fields."""
        started_at = self.continuation.started_at
        self._out.emit_or_bare("trajectory_started", build, lambda _: bare, at=started_at)

    def emit_decision(self, build: Build, *, at: Instant | None) -> Emitted:
        """Publish a step."""
        return self._out.emit("decision", build, at=at)

    def described(self, error: BaseException) -> str:
        """An exception as an event may carry it."""
        return described(error, self._out.outlet.redactor.told)

    def opened(self, step: Step) -> None:
        """A step holds something to send."""
        self._steps[step] = None

    def sent(self, step: Step) -> None:
        """A step holds nothing more."""
        self._steps.pop(step, None)

    def _finish(self, event_type: str, told: Any, bare: Fields, at: Instant | None) -> None:
        out = self._out
        with out.lock:
            for step in list(self._steps):
                step.send()
            bare = bare | fields(handed_to=list(self._handed_to))
            out.emit_or_bare(
                event_type,
                lambda _: {"n_events": out.n_events, **told()},
                lambda _: {"n_events": out.n_events, **bare},
                at=at,
            )
            out.over = True

    def _handed(self, more: Iterable[str]) -> list[str]:
        return list(dict.fromkeys([*self._handed_to, *more]))

    def _reward_id(self, name: str) -> str:
        with self._out.lock:
            n = self._n_rewards.get(name, 0)
            self._n_rewards[name] = n + 1
        return self._out.ids.reward_id(self.trajectory_id, name, n)

    def _leave(self, error: BaseException | None) -> None:
        if self._out.over or (self._detached and not self._handed_to):
            return
        if self._closes or self._detached or self._out.forked:
            self.close()
        elif error is None:
            self.end()
        else:
            self.end("failed", error=error)


def _writer_id(writer: object) -> str:
    given = text("a writer's id", writer)
    if not 1 <= len(given) <= _MAX_ID_CHARS:
        message = f"a writer's id has {len(given)} characters; it must have 1 to {_MAX_ID_CHARS}"
        raise UnrecordableError(message)
    return given
