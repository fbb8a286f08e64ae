"""One step of an agent: what it saw, what it looked up, what it did. Sent as a decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from ropewalk_producers.block import Block
from ropewalk_producers.events import CallOptions, Fields, Instant, PlainMapping, fields
from ropewalk_producers.plain import plain
from ropewalk_schemas.events import ActionStatus

if TYPE_CHECKING:
    from ropewalk_producers.trajectory import Trajectory

NO_ACTION = "none"


class Step(Block):
    """A decision in the making, sent when its block ends or by `send`.

    - An action keeps the status the agent gave it, ``executed`` unless said otherwise.
    - A step that ends without an action is an action of type ``none``, status ``executed``: doing
      nothing was decided, and done. ``held`` is only ever the agent's own word.
    - An exception makes the action (or ``none``) ``failed``, keeps the exception as its error
      unless the action has one, and goes on to the agent.
    - A second action is a decision of its own: the first is sent, the next rests on the same calls.

    `calls` are the call_ids the decision rests on.
    """

    def __init__(self, trajectory: Trajectory, given: Fields, at: Instant | None) -> None:
        self.calls: list[str] = []
        self.event_id: str | None = None
        """The id of the last decision sent; None before."""
        self._trajectory = trajectory
        self._at = at
        self._waiting: list[Callable[[str], None]] = []
        self._refused: Exception | None = None
        self._held: Fields = {}
        self._open = False
        self._hold(lambda: fields(**given))

    @property
    def observation(self) -> Any:
        """What the agent saw; may be set until the step is sent."""
        return self._held.get("observation")

    @observation.setter
    def observation(self, value: object) -> None:
        self._hold(lambda: {"observation": plain(value)})

    @property
    def reasoning(self) -> Any:
        """Why the agent acts; may be set until the step is sent."""
        return self._held.get("reasoning")

    @reasoning.setter
    def reasoning(self, value: str | None) -> None:
        self._hold(lambda: {"reasoning": plain(value)})

    def read(
        self, name: str, data: object = None, *, query: object = None, purpose: str | None = None
    ) -> None:
        """Something the agent looked at: a provider, and what it gave."""
        self._append("reads", lambda: fields(name=name, data=data, query=query, purpose=purpose))

    def claim(self, outcome_key: str, terms: PlainMapping | None = None) -> None:
        """A bet on something that becomes known later."""
        self._append("claims", lambda: fields(outcome_key=outcome_key, terms=terms or {}))

    def reward_component(self, name: str, value: float) -> None:
        """An immediate reward; the same name again adds up."""

        def summed() -> Fields:
            before = self._held.get("reward_components", {})
            return {"reward_components": {**before, name: before.get(name, 0.0) + plain(value)}}

        self._hold(summed)

    def action(
        self,
        type: str,  # noqa: A002 - the contract's word
        parameters: PlainMapping | None = None,
        *,
        status: ActionStatus = "executed",
        result: object = None,
        error: str | BaseException | None = None,
        tool_call_id: str | None = None,
    ) -> None:
        """What was decided, and what came of it."""
        if "action" in self._held:
            self.send()

        trajectory = self._trajectory

        def taken() -> Fields:
            action = fields(type=type, parameters=parameters, tool_call_id=tool_call_id)
            text = trajectory.described(error) if isinstance(error, BaseException) else error
            return {"action": action, **fields(action_status=status, result=result, error=text)}

        self._hold(taken)

    def llm_call(self, *, model: str, messages: Any, **options: Unpack[CallOptions]) -> str:
        """As `Trajectory.llm_call`; the step then rests on that call."""
        call_id = self._trajectory.llm_call(model=model, messages=messages, **options)
        self.calls.append(call_id)
        return call_id

    def send(self) -> None:
        """Send what the step holds, now; leaving the block sends only what comes after."""
        self._open = False
        self._trajectory.sent(self)
        emitted = self._trajectory.emit_decision(self._decision, at=self._at)
        self.event_id = emitted.event_id
        self._held, self._refused = {}, None
        waiting, self._waiting = self._waiting, []
        for send in waiting:
            send(emitted.event_id)

    def once_sent(self, send: Callable[[str], None]) -> None:
        """Call `send` with the decision's event_id as soon as it has one."""
        if self._open:
            self._waiting.append(send)
        else:
            send(self.event_id or "")

    def _decision(self, _: str) -> Fields:
        if self._refused is not None:
            raise self._refused
        out = {"action": {"type": NO_ACTION}, "action_status": "executed"} | self._held
        return out | fields(calls=self.calls)

    def _append(self, name: str, build: Callable[[], Fields]) -> None:
        self._hold(lambda: {name: [*self._held.get(name, []), build()]})

    def _hold(self, build: Callable[[], Fields]) -> None:
        """Keep a copy of what was given; what cannot be copied refuses the whole decision."""
        if not self._open:
            self._open = True
            self._trajectory.opened(self)
        try:
            self._held.update(build())
        except Exception as cause:
            self._refused = self._refused or cause

    def _leave(self, error: BaseException | None) -> None:
        if not self._open:
            return
        if error is not None:
            self._held["action_status"] = "failed"
            self._held.setdefault("error", self._trajectory.described(error))
        self.send()
