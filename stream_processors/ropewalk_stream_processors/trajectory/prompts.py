"""What each call was given and said, its delta chain resolved: digests, and the message of each."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from ropewalk_schemas.codec import decode_for_assembly
from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.events import LLMCall
from ropewalk_schemas.messages import Message, message_digest, text_digest
from ropewalk_stream_processors.trajectory.chains import Calls, chain
from ropewalk_stream_processors.trajectory.records import KeptEvent

Digests = tuple[bytes, ...]


class Prompt(NamedTuple):
    """Digests of a call's prompt and output, in order; `input` is None when it is not known.

    `tools` are the raw JSON objects the call could use, also those its base named.
    """

    input: Digests | None
    output: Digests
    tools: Sequence[Any]


class Prompts:
    """Resolves the calls of a part.

    Args:
        calls: Every call that may serve as a base.

    Attributes:
        texts: The message of each digest met so far.
    """

    def __init__(self, calls: Calls) -> None:
        self.texts: dict[bytes, Message] = {}
        self._calls = calls
        self._known: dict[int, Prompt] = {}

    def of(self, kept: KeptEvent, event: LLMCall) -> Prompt:
        """The prompt of a call of the part."""
        known = self._known.get(kept.offset)
        if known is None:
            base = None if event.base_call is None else self._base(event.base_call)
            known = self._known[kept.offset] = self._extend(event, base)
        return known

    def _base(self, call_id: str) -> Prompt | None:
        """The prompt of a base, its chain resolved from the full call on; None if not known."""
        base = self._calls.get(call_id)
        if base is not None and base.offset in self._known:
            return self._known[base.offset]
        prompt: Prompt | None = None
        for link in reversed(chain(self._calls, call_id) or []):
            known = self._known.get(link.offset)
            if known is None:
                event = cast("LLMCall", decode_for_assembly(link.value))
                known = self._known[link.offset] = self._extend(event, prompt)
            prompt = known
        return prompt

    def _extend(self, event: LLMCall, base: Prompt | None) -> Prompt:
        output = self.digests(event.output)
        if event.base_call is None:
            given = None if event.messages is None else self.digests(event.messages)
            return Prompt(given, output, event.tools or ())
        new = self.digests(event.messages or ())
        if base is None:
            return Prompt(None, output, event.tools or ())
        tools = base.tools if event.tools is None else event.tools
        if base.input is None or event.base_messages > len(base.input) + len(base.output):
            return Prompt(None, output, tools)
        said = base.input + base.output
        return Prompt(said[: event.base_messages] + new, output, tools)

    def digests(self, messages: Sequence[Message]) -> Digests:
        """The digests of messages, which are remembered in `texts`."""
        found = []
        for message in messages:
            digest = _digest(message)
            self.texts.setdefault(digest, message)
            found.append(digest)
        return tuple(found)


def _digest(message: Message) -> bytes:
    only_text = message.content is not None and (
        message.tool_calls is None
        and message.tool_call_id is None
        and message.reasoning is None
        and message.name is None
        and message.parts is None
    )
    if only_text:
        return text_digest(message.role, message.content or "")
    return message_digest(_plain(message))


def _plain(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = {"role": message.role}
    if message.content is not None:
        shown["content"] = message.content
    if message.reasoning is not None:
        shown["reasoning"] = message.reasoning
    if message.name is not None:
        shown["name"] = message.name
    if message.tool_call_id is not None:
        shown["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        shown["tool_calls"] = [
            {
                "id": call.id,
                "type": call.type,
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls
        ]
    if message.parts is not None:
        shown["parts"] = parse_json(message.parts)
    return shown
