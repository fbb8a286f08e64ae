"""Chat messages as given, read once each: a growing prompt costs only its new messages."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ropewalk_producers.errors import UnrecordableError
from ropewalk_producers.plain import plain
from ropewalk_schemas.messages import canonical_message, message_digest

_NEVER_EQUAL = object()


Redacted = Callable[[Mapping[str, Any]], dict[str, Any]]


class ChatMessage(NamedTuple):
    """A message in canonical form, redacted.

    Attributes:
        given: A copy of the message as given, to know it by when it is given again; equal to
            nothing when comparing it could mislead (`True == 1`).
        canonical: What is sent.
        digest: What tells messages apart.
    """

    given: object
    canonical: dict[str, Any]
    digest: bytes


def read_message(message: object, redacted: Redacted) -> ChatMessage:
    """Bring one message to canonical form, and redact it before its digest is taken.

    Raises:
        UnrecordableError: If it is not a mapping, or holds what JSON cannot.
    """
    given = plain(message)
    if not isinstance(given, dict):
        problem = f"a message is a {type(message).__name__}, not a mapping with a role and content"
        raise UnrecordableError(problem)
    canonical = redacted(canonical_message(given))
    digest = message_digest(canonical)
    return ChatMessage(given if _is_textual(given) else _NEVER_EQUAL, canonical, digest)


def read_prompt(
    messages: object, known: Sequence[ChatMessage], redacted: Redacted
) -> list[ChatMessage]:
    """Read a prompt; messages equal to the known one in their place are not read again.

    Raises:
        UnrecordableError: As `read_message`, or if it is not a list of messages.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        problem = f"messages is a {type(messages).__name__}, not a list of messages"
        raise UnrecordableError(problem)
    given = messages if isinstance(messages, list) else list(messages)
    prompt = [
        before if message == before.given else read_message(message, redacted)
        for message, before in zip(given, known, strict=False)
    ]
    prompt += [read_message(message, redacted) for message in islice(given, len(prompt), None)]
    return prompt


def read_output(output: object, redacted: Redacted) -> list[ChatMessage]:
    """Read what a model answered: a text, one message, or several.

    Raises:
        UnrecordableError: As `read_message`.
    """
    if output is None:
        return []
    if isinstance(output, str):
        return [read_message({"role": "assistant", "content": output}, redacted)]
    if isinstance(output, list | tuple):
        return [read_message(message, redacted) for message in output]
    return [read_message(output, redacted)]


def _is_textual(value: object) -> bool:
    """Whether all it holds are texts and nulls, which compare as they are encoded."""
    if isinstance(value, dict):
        return all(map(_is_textual, value.values()))
    if isinstance(value, list):
        return all(map(_is_textual, value))
    return value is None or isinstance(value, str)
