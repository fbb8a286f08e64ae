"""One canonical form for chat messages, and the digest that tells them apart.

A prompt repeats the whole history at every call. Messages are therefore pooled by digest: two
messages are the same when their canonical forms agree, whatever nulls, key order or layout of
tool arguments a client library gave them.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any

from pydantic import Field

from ropewalk_schemas.encoding import canonical_json, parse_json
from ropewalk_schemas.fields import Contract, Json, Name, Text
from ropewalk_schemas.prechecks import is_too_deep

DIGEST_BYTES = 16


class FunctionCall(Contract):
    """The function a model asked for; `arguments` is the model's own text, valid JSON or not."""

    name: Text
    arguments: Text


class ToolCall(Contract):
    """One tool call of an assistant message."""

    id: Text | None = None
    type: Text = "function"
    function: FunctionCall


class Message(Contract):
    """One chat message in canonical form.

    `content` holds plain text. `parts` holds what plain text cannot (images, several parts); a
    message has one or the other, or neither when it only calls tools.
    """

    role: Name
    content: Text | None = None
    reasoning: Text | None = None
    name: Text | None = None
    tool_call_id: Text | None = None
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] | None = None
    parts: Json | None = None


KNOWN = frozenset(Message.model_fields)


def canonical_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical form of a chat message as client libraries give it.

    Nulls and empty lists are dropped; a content of text parts only becomes plain text; other
    contents become `parts`; `reasoning_content` becomes `reasoning`; tool arguments given as an
    object become text, and what a tool call lacks is empty. Keys we do not know are kept.

    >>> canonical_message({"content": [{"type": "text", "text": "Hi"}], "role": "user", "x": None})
    {'role': 'user', 'content': 'Hi'}
    """
    given = {k: v for k, v in message.items() if v is not None and v != []}
    content = given.pop("content", None)
    if "reasoning_content" in given:
        given.setdefault("reasoning", given.pop("reasoning_content"))
    out: dict[str, Any] = {"role": given.pop("role", "")}
    if isinstance(content, str):
        out["content"] = content
    elif content is not None:
        text = _plain_text(content)
        out["parts" if text is None else "content"] = content if text is None else text
    if "tool_calls" in given:
        out["tool_calls"] = [_canonical_tool_call(call) for call in given.pop("tool_calls")]
    return out | given


def _plain_text(content: object) -> str | None:
    """The text of a content whose single part is text; several parts keep their borders."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], Mapping):
        part = content[0]
        if part.get("type") == "text" and set(part) == {"type", "text"}:
            text = part["text"]
            return text if isinstance(text, str) else None
    return None


def _canonical_tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in call.items() if v is not None}
    function = dict(kept.pop("function", None) or {})
    for moved in ("name", "arguments"):  # flat tool calls, as some frameworks log them
        if moved in kept and moved not in function:
            function[moved] = kept.pop(moved)
    function = {"name": "", "arguments": ""} | {k: v for k, v in function.items() if v is not None}
    if not isinstance(function["arguments"], str):
        function["arguments"] = canonical_json(function["arguments"]).decode()
    kept.setdefault("type", "function")
    return kept | {"function": function}


def text_digest(role: str, content: str) -> bytes:
    """As `message_digest` of a message that only has these two; most have."""
    shown = canonical_json({"content": content, "role": role})
    return blake2b(shown, digest_size=DIGEST_BYTES).digest()


def message_digest(message: Mapping[str, Any]) -> bytes:
    """The digest of a canonical message; tool arguments count as parsed, not as written.

    Returns:
        16 bytes, BLAKE2b over JSON with sorted keys.
    """
    shown = {k: v for k, v in message.items() if v is not None}
    if shown.get("tool_calls"):
        shown["tool_calls"] = [_comparable_tool_call(call) for call in shown["tool_calls"]]
    return blake2b(canonical_json(shown), digest_size=DIGEST_BYTES).digest()


def _comparable_tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = {k: v for k, v in call["function"].items() if v is not None}
    function["arguments"] = _comparable_arguments(function["arguments"])
    return {k: v for k, v in call.items() if v is not None} | {"function": function}


def _comparable_arguments(written: str) -> Any:
    """What a model wrote as parsed; what is no JSON object, or a bottomless one, as written."""
    if is_too_deep(written.encode(errors="replace")):
        return written
    parsed = parse_json(written)
    return parsed if isinstance(parsed, dict) else written
