"""What is to be redacted, checked against the contract before the first event."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any

from ropewalk_producers.errors import SettingsError
from ropewalk_producers.redaction import patterns
from ropewalk_producers.redaction.paths import (
    ANY,
    DEEP,
    ITEM,
    FieldPath,
    Key,
    Rest,
    Rests,
    onward,
    parse,
)
from ropewalk_producers.redaction.places import (
    MESSAGES,
    Fields,
    Fixed,
    Free,
    Identity,
    Many,
    Names,
    Object,
    Place,
    Text,
    ends,
    event_places,
)

Redact = Callable[[str, Any], Any]
"""Given where a value stands and the value; gives what is sent instead."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is to be redacted.

    Attributes:
        event_paths: By event type, what field paths ask of its fields.
        message_paths: What they ask of a chat message, wherever it stands.
        is_by_looks_only: Whether a text alone decides, not where it stands.
    """

    patterns: tuple[patterns.Pattern, ...]
    event_paths: Mapping[str, Rests]
    message_paths: Rests
    function: Redact | None

    is_by_looks_only: bool = field(init=False)
    is_empty: bool = field(init=False)

    def __post_init__(self) -> None:
        by_place = self.function or self.message_paths or any(self.event_paths.values())
        object.__setattr__(self, "is_by_looks_only", not by_place)
        object.__setattr__(self, "is_empty", not (by_place or self.patterns))


def policy_of(
    names: str, own: Mapping[str, str], field_paths: Iterable[str], function: Redact | None = None
) -> Policy:
    """The policy that the recorder's settings and a user's function make.

    Args:
        names: Built-in patterns and sets.
        own: The user's patterns, by name.
        field_paths: What is hidden whatever it holds.
        function: Has the last word.

    Raises:
        SettingsError: If something of it does not exist or could never be.
    """
    if function is not None and (not callable(function) or iscoroutinefunction(function)):
        raise SettingsError("redact_value", "must be a plain function of a path and a value")
    paths = [_checked(text) for text in field_paths]
    by_event = {
        event: tuple(path.rest for path in paths if path.event in (ANY, event) and leads(path.rest))
        for event, leads in (
            (event, _leads_into(fields)) for event, fields in event_places().items()
        )
    }
    return Policy(
        patterns=(*patterns.chosen(names), *patterns.own(own)),
        event_paths=by_event,
        message_paths=_of_messages(tuple(path.rest for path in paths)),
        function=function,
    )


def _checked(text: object) -> FieldPath:
    try:
        path = parse(text if isinstance(text, str) else "")
    except ValueError as error:
        raise SettingsError("redact_paths", f"has {text!r}: {error}") from error
    events = {e: p for e, p in event_places().items() if path.event in (ANY, e)}
    if not events:
        known = ", ".join(event_places())
        raise SettingsError("redact_paths", f"has {text!r}: event types are {known} and *")
    found = [place for fields in events.values() for place in ends(fields, _all_forms(path.rest))]
    if not any(isinstance(place, Text | Free | Object) for place in found):
        raise SettingsError("redact_paths", f"has {text!r}: {_why_not(found)}")
    return path


def _why_not(found: list[Place]) -> str:
    place = found[0] if found else None
    match place:
        case Identity():
            return "it ends at an id, or at what groups trajectories; such a text is never changed"
        case Fixed(what):
            return f"it ends at {what}, which is never changed"
        case Many():
            return "it ends at a list; go on with [*]"
        case Names():
            return "it ends at numbers by name"
        case Fields(named):
            return f"it ends at an object of the contract; go on with one of {', '.join(named)}"
        case _:
            return "no such event has such a field"


def _leads_into(fields: Fields) -> Callable[[Rest], bool]:
    """Whether a path leads anywhere in an event, messages aside."""
    others = {name: place for name, place in fields.named.items() if name not in MESSAGES}
    return lambda rest: any(True for _ in ends(Fields(others), (rest,)))


def _of_messages(rests: Rests) -> Rests:
    """What is asked of messages, by paths to any field that holds some."""
    inside = {
        rest: None for field in MESSAGES for rest in onward(onward(rests, Key(field)), ITEM) if rest
    }
    return tuple(dict.fromkeys(form for rest in inside for form in _forms(rest)))


def _all_forms(rest: Rest) -> Rests:
    """A path to a message's field in the forms that the field has in the contract."""
    return (rest, *(rest[:2] + form for form in _forms(rest[2:])))


def _forms(rest: Rest) -> Iterator[Rest]:
    """A message's field as clients name it and as it is sent: a content is a text or parts."""
    deep = rest[:1] if rest[:1] == (DEEP,) and type(rest[0]) is not Key else ()
    name, inner = rest[len(deep) : len(deep) + 1], rest[len(deep) + 1 :]
    yield rest
    if name == (Key("reasoning_content"),):
        yield (*deep, Key("reasoning"), *inner)
    if name == (Key("content"),):
        yield (*deep, Key("parts"), *inner)
        if inner[:2] == (ITEM, Key("text")):
            yield (*deep, *name, *inner[2:])
