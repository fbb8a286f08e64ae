"""When a call may name an earlier call as its base and carry only the messages that are new.

One state machine per trajectory and writer; it reads no clock. Only the last accepted call of a
thread is a base: the engine keeps no other chain when it cuts a trajectory into parts.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ropewalk_producers.chat import ChatMessage

MAX_THREADS = 64  # bounds memory; the thread used least recently starts again with a full call


@dataclass(frozen=True, slots=True)
class DeltaLimits:
    """When a prompt is sent whole although it extends an earlier one.

    Attributes:
        full_every: Calls of one chain, its full call included.
        idle_s: Silence of the trajectory, in seconds.
        full_for_s: Age of the chain's full call, in seconds.
    """

    full_every: int
    idle_s: float
    full_for_s: float


@dataclass(frozen=True, slots=True)
class Link:
    """An accepted call that the next one may build on: prompt and output, and its tools' JSON."""

    call_id: str
    messages: Sequence[ChatMessage]
    tools: bytes
    length: int
    full_at: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How to send a call: on top of `base`'s first `kept` messages, or whole."""

    base: Link | None
    kept: int


WHOLE = Plan(base=None, kept=0)


class PromptDeltas:
    """Chains of calls, by thread."""

    def __init__(self, limits: DeltaLimits) -> None:
        self._limits = limits
        self._links: OrderedDict[str, Link] = OrderedDict()
        self._clocks: tuple[datetime, ...] = ()
        self._age = 0.0

    def advance(self, *clocks: datetime) -> None:
        """Pass time by the clock that moved most since the last event; forget after silence.

        Both what the event says (`occurred_at`) and when it is recorded count: the engine goes by
        broker time, which importers and late exporters know only through one of them.
        """
        steps = [
            (now - before).total_seconds()
            for now, before in zip(clocks, self._clocks, strict=False)
        ]
        step = max(steps, default=0.0)
        self._clocks = clocks
        self._age += max(step, 0.0)
        if step >= self._limits.idle_s:
            self.forget()

    def forget(self) -> None:
        """Nothing sent so far may be built on."""
        self._links.clear()

    def known(self, thread: str) -> Sequence[ChatMessage]:
        """Prompt and output of the thread's last accepted call."""
        link = self._links.get(thread)
        return link.messages if link else ()

    def plan(self, thread: str, prompt: Sequence[ChatMessage]) -> Plan:
        """How to send a call with this prompt.

        A base is named when the prompts share at least half of the new one from the front.
        """
        link = self._links.get(thread)
        if link is None or link.length >= self._limits.full_every:
            return WHOLE
        if self._age - link.full_at >= self._limits.full_for_s:
            return WHOLE
        kept = _shared(prompt, link.messages)
        return Plan(base=link, kept=kept) if kept and 2 * kept >= len(prompt) else WHOLE

    def accepted(
        self, thread: str, plan: Plan, call_id: str, messages: Sequence[ChatMessage], tools: bytes
    ) -> None:
        """A call was accepted for sending: the thread's next one may build on its `messages`.

        These are its prompt and its output.
        """
        base = plan.base
        self._links[thread] = Link(
            call_id=call_id,
            messages=messages,
            tools=tools,
            length=base.length + 1 if base else 1,
            full_at=base.full_at if base else self._age,
        )
        self._links.move_to_end(thread)
        if len(self._links) > MAX_THREADS:
            self._links.popitem(last=False)

    def unknown(self, thread: str) -> None:
        """The thread's last call has no known prompt: it is no base, nor is any before it."""
        self._links.pop(thread, None)


def _shared(prompt: Sequence[ChatMessage], messages: Sequence[ChatMessage]) -> int:
    """How many messages are the same from the front."""
    n = 0
    for mine, theirs in zip(prompt, messages, strict=False):
        if mine is not theirs and mine.digest != theirs.digest:
            break
        n += 1
    return n
