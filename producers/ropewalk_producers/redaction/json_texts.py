"""Texts that spell JSON, such as a tool call's arguments."""

import json
import re
from collections.abc import Callable
from typing import Any

from ropewalk_schemas.prechecks import is_too_deep

_ESCAPE = re.compile(r"\\++u([0-9A-Fa-f]{4})")
_BEGINS = re.compile(r"\s*+[{\[\"]")


def is_json_like(text: str) -> bool:
    """Whether a text begins as an object, a list or a text of JSON does."""
    return _BEGINS.match(text) is not None


def unescaped(text: str) -> str:
    """A text in which JSON is quoted, with letters in place of their escapes."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def edited(text: str, edit: Callable[[Any], Any]) -> str:
    """The text of what `edit` makes of the value; `text` as it is written when that is the same.

    Raises:
        ValueError: If it spells no JSON, or is too deep.
    """
    repeats = False

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        value = dict(pairs)
        repeats = repeats or len(value) != len(pairs)
        return value

    if is_too_deep(text.encode(errors="replace")):
        message = "it is too deep"
        raise ValueError(message)
    value = json.loads(text, object_pairs_hook=once)
    out = edit(value)
    if out == value and not repeats:  # what a repeated key hides, nobody has looked at
        return text
    written = json.dumps(out, ensure_ascii=False, separators=(",", ":"))
    halves = written != written.encode(errors="ignore").decode()
    return json.dumps(out, separators=(",", ":")) if halves else written
