"""Where an event holds what: read from the contract, so that a new field is redacted by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ropewalk_producers.redaction.paths import ITEM, Key, Rests, onward
from ropewalk_schemas.events import EVENT_MODELS
from ropewalk_schemas.messages import Message

IDENTITIES = frozenset(
    {
        *("event_id", "trajectory_id", "episode_id", "writer", "handed_to", "project", "agent_id"),
        *("call_id", "response_id", "parent_call", "base_call", "calls", "thread"),
        *("target_event_id", "supersedes", "outcome_key", "claims[*].outcome_key"),
        *("scenario", "group_key", "policy.model", "policy.version", "policy_version"),
        *("source.service", "source.instance", "source.version", "source_version"),
    }
)
"""What joins and groups events: another text would be another thing."""

MESSAGES = ("messages", "output")
ARGUMENTS = "messages[*].tool_calls[*].function.arguments"


class _Place:
    """A kind of place; `is_fixed` when nothing at it is ever changed."""

    __slots__ = ()
    is_fixed = False


@dataclass(frozen=True, slots=True)
class Fixed(_Place):
    """A number, an instant, an enumeration: no text of anybody's own."""

    what: str
    is_fixed = True


@dataclass(frozen=True, slots=True)
class Identity(_Place):
    """A text that must not change."""

    path: str


@dataclass(frozen=True, slots=True)
class Text(_Place):
    """A text of at most so many characters."""

    limit: int


@dataclass(frozen=True, slots=True)
class Free(_Place):
    """Any JSON."""


@dataclass(frozen=True, slots=True)
class Object(_Place):
    """Any JSON object."""


@dataclass(frozen=True, slots=True)
class Names(_Place):
    """Numbers by name; a name has at most so many characters."""

    limit: int


@dataclass(frozen=True, slots=True)
class Many(_Place):
    """A list."""

    item: "Place"


@dataclass(frozen=True, slots=True)
class Fields(_Place):
    """An object of the contract; other keys are `Free`, and nothing special where it is open."""

    named: Mapping[str, "Place"]
    is_open: bool = False


Place = Fixed | Identity | Text | Free | Object | Names | Many | Fields
FREE = Free()


@cache
def event_places() -> Mapping[str, Fields]:
    """The fields of each event type."""
    return {model.model_fields["type"].default: _fields(model, "") for model in EVENT_MODELS}


@cache
def message_place() -> Fields:
    """A chat message, wherever it stands: it returns in later prompts, so it is one place."""
    return _fields(Message, "messages[*]")


def ends(place: Place, rests: Rests) -> Iterator[Place]:
    """The places at which paths end or may end, once they have led to `place`."""
    if () in rests:
        yield place
    if isinstance(place, Text | Free | Object):
        if any(rests):
            yield place  # the rest leads into JSON that anybody may send
    elif isinstance(place, Many):
        yield from ends(place.item, onward(rests, ITEM))
    elif isinstance(place, Fields):
        if place.is_open and any(rest and rest[0] not in place.named for rest in rests):
            yield FREE
        for name, inner in place.named.items():
            yield from ends(inner, onward(rests, Key(name)))


def _fields(model: type[BaseModel], path: str) -> Fields:
    return Fields(
        {
            name: _place(info.annotation, info.metadata, f"{path}.{name}" if path else name)
            for name, info in model.model_fields.items()
        },
        is_open=path.startswith("messages[*]"),
    )


def _place(kind: Any, metadata: Any, path: str) -> Place:
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any or (Any in args and origin in (Union, UnionType)):
        return FREE
    if origin is Annotated:
        return _place(args[0], [*args[1:], *metadata], path)
    if origin in (Union, UnionType):
        (kind,) = (arg for arg in args if arg is not type(None))
        return _place(kind, metadata, path)
    if origin is list:
        item = _place(args[0], (), f"{path}[*]")
        return item if item.is_fixed else _identified(path) or Many(item)
    if origin is dict:
        return Object() if args[1] is Any else Names(_limit(get_args(args[0])[1:]))
    if kind is Message:
        return message_place()
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _fields(kind, path)
    if kind is str and path != "schema_version":
        return _identified(path) or Text(_limit(metadata))
    if origin is Literal:
        return Fixed("an enumeration")
    if kind in (int, float, bool, datetime, str):
        return Fixed("a number, an instant or a version")
    message = f"{path} is of a kind that redaction does not know: {kind}"
    raise TypeError(message)


def _identified(path: str) -> Place | None:
    return Identity(path) if path in IDENTITIES else None


def _limit(metadata: Any) -> int:
    found = [part.max_length for part in _flat(metadata) if isinstance(part, at.MaxLen)]
    return min(found)


def _flat(metadata: Any) -> Iterator[Any]:
    for part in metadata:
        yield from _flat(part.metadata) if isinstance(part, FieldInfo) else (part,)
