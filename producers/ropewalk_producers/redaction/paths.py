"""Field paths: their syntax, and which of them end at a place or lead on from it."""

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

ANY, ITEM, DEEP = "*", "[*]", "**"

_STEP = re.compile(
    r"""\.(?P<name>\*\*|\*|[^\s.*\[\]"]+)|(?P<item>\[\*\])|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]"""
)
_EVENT = re.compile(r"\*|[a-z_]+", re.ASCII)


class Key(str):
    """The name of a field or key, which `*` in a path is not."""

    __slots__ = ()


Rest = tuple[str, ...]
Rests = tuple[Rest, ...]
"""What is left of each path that has led here; an empty one ends here."""


class FieldPath(NamedTuple):
    """A path as written: ``EVENT.field.key[*]``."""

    text: str
    event: str
    rest: Rest


def parse(text: str) -> FieldPath:
    """A path.

    Raises:
        ValueError: Saying what is wrong with it.
    """
    begin = _EVENT.match(text)
    if begin is None:
        problem = "it begins with an event type or *"
        raise ValueError(problem)
    steps: list[str] = []
    position = begin.end()
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            problem = f'{text[position:]!r} is no .name, .*, .**, [*] or ["name"]'
            raise ValueError(problem)
        steps.append(_step(found))
        position = found.end()
    if not steps:
        problem = "it names no field"
        raise ValueError(problem)
    if steps[-1] == DEEP or (DEEP, DEEP) in pairwise(steps):
        problem = "after ** comes a name, * or [*]"
        raise ValueError(problem)
    return FieldPath(text, begin.group(), tuple(steps))


def _step(found: re.Match[str]) -> str:
    if found["item"]:
        return ITEM
    if found["quoted"]:
        return Key(json.loads(found["quoted"]))
    return found["name"] if found["name"] in {ANY, DEEP} else Key(found["name"])


def onward(rests: Rests, step: str) -> Rests:
    """What is left after one more step: a `Key`, or `ITEM` into a list."""
    return tuple(dict.fromkeys(_onward(rests, step))) if rests else ()


def _onward(rests: Rests, step: str) -> Iterable[Rest]:
    for rest in rests:
        if not rest:
            continue
        if _is(rest[0], DEEP):
            yield rest
            if _fits(rest[1], step):
                yield rest[2:]
        elif _fits(rest[0], step):
            yield rest[1:]


def _fits(written: str, step: str) -> bool:
    if _is(written, ANY):
        return type(step) is Key
    return type(written) is type(step) and written == step


def _is(written: str, wildcard: str) -> bool:
    return type(written) is not Key and written == wildcard
