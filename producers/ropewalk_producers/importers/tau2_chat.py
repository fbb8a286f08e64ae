"""tau2's messages as the chat messages a model saw and wrote."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from ropewalk_producers.importers.logged import ChatMessage


def agent_view(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """The chat as the agent sees it: what the user does with tools of its own stays out."""
    return [chat_message(message) for message in messages if not _is_private(message)]


def _is_private(message: ChatMessage) -> bool:
    if message["role"] == "tool":
        return message.get("requestor") == "user"
    return message["role"] == "user" and bool(message.get("tool_calls"))


def chat_message(message: ChatMessage) -> dict[str, Any]:
    """One message without the log's own bookkeeping (clock, cost, usage, raw data)."""
    chat = {key: message.get(key) for key in ("role", "content", "reasoning")}
    if message["role"] == "tool":
        return chat | {"name": message.get("name"), "tool_call_id": message["id"]}
    return chat | {"tool_calls": _tool_calls(message)}


def _tool_calls(message: ChatMessage) -> list[dict[str, Any]] | None:
    """Tool calls with the model's own text of the arguments where the log kept it."""
    calls = message.get("tool_calls") or []
    raw = ((message.get("raw_data") or {}).get("message") or {}).get("tool_calls") or []
    written = [call["function"]["arguments"] for call in raw[: len(calls)]]
    return [
        {
            "id": call.get("id"),
            "type": "function",
            "function": {"name": call["name"], "arguments": text or call["arguments"]},
        }
        for call, text in zip_longest(calls, written)
    ] or None
