"""LLM calls: the whole prompt, or a base call and the messages that are new."""

from collections.abc import Callable
from typing import Any

from ropewalk_producers.chat import ChatMessage, read_output, read_prompt
from ropewalk_producers.deltas import WHOLE, Plan
from ropewalk_producers.errors import described
from ropewalk_producers.event_writer import EventWriter
from ropewalk_producers.events import (
    CallOptions,
    Fields,
    check_options,
    fields,
    numbers,
    usage_fields,
)
from ropewalk_producers.identity import text
from ropewalk_producers.plain import plain
from ropewalk_schemas.encoding import to_json

_NO_TOOLS = b"[]"


def record_call(out: EventWriter, model: str, messages: Any, given: CallOptions) -> str:
    """Publish one call.

    Returns:
        Its call_id: the one given, or its event's id.
    """
    with out.lock:
        draft = _Draft(out, model, messages, given)
        emitted = out.emit("llm_call", draft.fields, at=given.get("at"))
        if emitted.refused is None:
            draft.accepted()
        given_id = given.get("call_id")
        return emitted.event_id if given_id is None else given_id


class _Draft:
    """A call between being given and being accepted."""

    def __init__(self, out: EventWriter, model: str, messages: Any, given: CallOptions) -> None:
        self._deltas, self._redactor = out.deltas, out.outlet.redactor
        self._model = model
        self._messages = messages
        self._given = given
        self._thread = "main"
        self._call_id = ""
        self._plan: Plan = WHOLE
        self._said: list[ChatMessage] = []
        self._tools = _NO_TOOLS

    def fields(self, event_id: str) -> Fields:
        """The event's fields, as sent."""
        given = self._given
        check_options(given, CallOptions)
        given_id, thread = given.get("call_id"), given.get("thread")
        self._call_id = event_id if given_id is None else text("call_id", given_id)
        self._thread = "main" if thread is None else text("thread", thread)
        output = read_output(given.get("output"), self._redactor.message)
        out: Fields = {"call_id": self._call_id, "model": self._model}
        if self._messages is None:
            out.update(fields(tools=given.get("tools")))
        else:
            out.update(self._prompt(output))
        out["output"] = [message.canonical for message in output]
        if self._thread != "main":
            out["thread"] = self._thread
        return out | _details(given, self._redactor.told)

    def accepted(self) -> None:
        """Later calls of the thread may build on this one."""
        if self._messages is None:
            self._deltas.unknown(self._thread)
        else:
            self._deltas.accepted(self._thread, self._plan, self._call_id, self._said, self._tools)

    def _prompt(self, output: list[ChatMessage]) -> Fields:
        known = self._deltas.known(self._thread)
        prompt = read_prompt(self._messages, known, self._redactor.message)
        self._said = prompt + output
        self._plan = plan = self._deltas.plan(self._thread, prompt)
        tools = plain(self._given.get("tools") or [])
        self._tools = to_json(tools)
        new = [message.canonical for message in prompt[plan.kept :]]
        if plan.base is None:
            return {"messages": new, "tools": tools} if tools else {"messages": new}
        out: Fields = {
            "base_call": plan.base.call_id,
            "base_messages": plan.kept,
            "messages": new,
        }
        if self._tools != plan.base.tools:
            out["tools"] = tools
        return out


def _details(given: CallOptions, told: Callable[[str], str]) -> Fields:
    error = given.get("error")
    arrays = {
        name: numbers(given.get(name))
        for name in ("prompt_token_ids", "output_token_ids", "output_logprobs")
        if given.get(name) is not None
    }
    return arrays | fields(
        response_id=given.get("response_id"),
        parent_call=given.get("parent_call"),
        purpose=given.get("purpose"),
        provider=given.get("provider"),
        policy_version=given.get("policy_version"),
        parameters=given.get("parameters"),
        finish_reasons=given.get("finish_reasons"),
        usage=usage_fields(given.get("usage")),
        latency_ms=given.get("latency_ms"),
        cost_usd=given.get("cost_usd"),
        error=described(error, told) if isinstance(error, BaseException) else error,
    )
