"""Prompts put together again from sent events, by the words of `LLMCall` and nothing else."""

import copy
from collections.abc import Iterable
from typing import Any

from ropewalk_schemas.events import LLMCall
from ropewalk_schemas.messages import canonical_message, message_digest


def sent_prompts(events: Iterable[object]) -> dict[str, list[bytes] | None]:
    """Digests of every call's prompt, by call_id; None when the prompt is not known."""
    said: dict[str, list[bytes]] = {}
    prompts: dict[str, list[bytes] | None] = {}
    for call in events:
        if not isinstance(call, LLMCall):
            continue
        if call.messages is None:
            prompts[call.call_id] = None
            continue
        start = said[call.base_call][: call.base_messages] if call.base_call else []
        assert len(start) == call.base_messages
        prompt = start + [_digest(message.model_dump()) for message in call.messages]
        prompts[call.call_id] = prompt
        said[call.call_id] = prompt + [_digest(message.model_dump()) for message in call.output]
    return prompts


def sent_tools(events: Iterable[object]) -> dict[str, list[dict[str, Any]]]:
    """Every call's tools, by call_id."""
    tools: dict[str, list[dict[str, Any]]] = {}
    for call in events:
        if isinstance(call, LLMCall):
            omitted = tools[call.base_call] if call.base_call else []
            tools[call.call_id] = omitted if call.tools is None else call.tools
    return tools


def digests(messages: Iterable[Any]) -> list[bytes]:
    """Digests of messages as an agent gave them."""
    return [_digest(canonical_message(copy.deepcopy(message))) for message in messages]


def _digest(message: dict[str, Any]) -> bytes:
    return message_digest(message)
