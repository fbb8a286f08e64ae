"""Redaction of events and messages; what cannot be judged is not sent."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ropewalk_producers.errors import UnrecordableError
from ropewalk_producers.plain import plain
from ropewalk_producers.redaction.anchors import Anchors
from ropewalk_producers.redaction.json_texts import edited, is_json_like, unescaped
from ropewalk_producers.redaction.paths import Rests
from ropewalk_producers.redaction.patterns import SHORTEST, marker, search_order
from ropewalk_producers.redaction.places import (
    ARGUMENTS,
    FREE,
    MESSAGES,
    Fields,
    Identity,
    Many,
    Names,
    Object,
    Place,
    Text,
    event_places,
    message_place,
)
from ropewalk_producers.redaction.policy import Policy
from ropewalk_producers.redaction.where import NOWHERE, Where
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.prechecks import check_nul_and_depth

BY_PATH, BY_ERROR = marker("path"), marker("error")
_NO_LIMIT = 10_000_000
_MAX_KNOWN = 10_000
_REPEATED = frozenset(
    {"project", "agent_id", "trajectory_id", "episode_id", "writer", "call_id", "model", "provider"}
)
Failed = Callable[[str, BaseException], None]
"""Told which field could not be redacted, and why."""


_SHAPES: Mapping[type, frozenset[type]] = {
    Fields: frozenset({dict}),
    Identity: frozenset({str, list}),
    Many: frozenset({list}),
    Names: frozenset({dict}),
    Object: frozenset({dict}),
    Text: frozenset({str}),
}


class RedactedMessage(dict[str, Any]):
    """A message that needs no redaction any more."""


class Redactor:
    """Applies a policy to every text: field paths, then patterns, then the user's function.

    Threads may share it. `redacted` hears of each value changed, `failed` of each failure.
    """

    def __init__(self, policy: Policy, *, redacted: Callable[[], None], failed: Failed) -> None:
        self._policy = policy
        self._order = search_order(policy.patterns)
        self._shortest = min((SHORTEST.get(p.name, 1) for p in policy.patterns), default=_NO_LIMIT)
        self._function = policy.function
        self._redacted, self._failed = redacted, failed
        self._known: set[str] = set()
        self._anchors = None
        if policy.function is None and all(all(p.anchors) for p in policy.patterns):
            self._anchors = Anchors(anchor for p in policy.patterns for anchor in p.anchors)
        self._walks: dict[type, Callable[[Any, Any, Where], Any]] = {
            Fields: self._fields,
            Identity: self._identity,
            Many: self._many,
            Names: self._names,
            Object: self._whole_object,
            Text: self._whole_text,
        }
        # Inside of a text that spells JSON: the function has its say on the text as a whole.
        self._inside = self
        if policy.function is not None:
            without = replace(policy, function=None)
            self._inside = Redactor(without, redacted=redacted, failed=failed)

    def event(self, wire: Mapping[str, Any]) -> Mapping[str, Any]:
        """An event as it may be sent.

        Raises:
            UnrecordableError: If a text that must not change holds what a pattern finds.
        """
        kind = wire["type"]
        if self._policy.is_empty:
            return wire
        if kind not in event_places():
            message = "there is no such type of event"
            raise UnrecordableError(message)
        rests = self._policy.event_paths[kind]
        if self._anchors and not rests and self._is_clean(kind, wire, self._anchors):
            return wire
        begin = self._begin(kind, rests)
        return self._fields(event_places()[kind], wire, begin)

    def message(self, canonical: Mapping[str, Any]) -> RedactedMessage:
        """A message in canonical form as it may be sent, wherever it stands."""
        if self._policy.is_empty:
            return RedactedMessage(canonical)
        rests = self._policy.message_paths
        if self._anchors and not rests and not self._anchors.may_be_in_any_of(canonical):
            return RedactedMessage(canonical)
        begin = self._begin("messages[*]", rests)
        return RedactedMessage(self._fields(message_place(), canonical, begin))

    def told(self, text: str) -> str:
        """A text for logs and errors; never raises."""
        try:
            out = self._searched(text)[0]
            shown, found = self._searched(unescaped(out))
        except Exception as error:
            return self._failed_at(NOWHERE, error)
        return shown if found else out

    def told_error(self, error: BaseException) -> str:
        """An exception of somebody else's code, which may quote any value, for logs and errors."""
        kind = type(error).__name__
        return f"{kind}: {self.told(str(error))}" if self._policy.is_by_looks_only else kind

    def _begin(self, place: str, rests: Rests) -> Where:
        asked = rests or self._function is not None
        return Where(place, place, rests) if asked else NOWHERE

    def _is_clean(self, kind: str, wire: Mapping[str, Any], anchors: Anchors) -> bool:
        """Whether no pattern can find anything; a glance that spares most events the walk."""
        named, known = event_places()[kind].named, self._known
        looked_at: dict[str, Any] = {}
        new: list[str] = []
        for name, value in wire.items():
            place = named.get(name, FREE)
            if place.is_fixed or (type(value) is str and value in known):
                continue
            if name in _REPEATED:
                new.append(value)
            if type(value) is list:
                left = [item for item in value if type(item) is not RedactedMessage]
                if left and name in MESSAGES and self._policy.message_paths:
                    return False
                looked_at[name] = left
            else:
                looked_at[name] = value
        if anchors.may_be_in_any_of(looked_at):
            return False
        self._know(new)
        return True

    # -- by the contract

    def _at(self, place: Place, value: Any, where: Where) -> Any:
        if isinstance(value, RedactedMessage):
            return value
        if place is message_place() and isinstance(value, Mapping):
            return self.message(value)
        walk = self._walks.get(type(place))
        if walk is None or type(value) not in _SHAPES[type(place)]:  # the decoder will refuse it
            return self._any(value, where)
        return walk(place, value, where)

    def _fields(self, place: Fields, value: Mapping[str, Any], where: Where) -> dict[str, Any]:
        out: dict[str, Any] = {}
        named = place.named
        for name, item in value.items():
            inner = named.get(name)
            if inner is None:
                self._put(out, name, item, where)
            elif item is None or inner.is_fixed:
                out[name] = item
            else:
                out[name] = self._at(inner, item, where.field(name))
        return out

    def _many(self, place: Many, value: Any, where: Where) -> Any:
        inner = where.item()
        return [self._at(place.item, item, inner) for item in value]

    def _names(self, place: Names, value: Any, where: Where) -> Any:
        out: dict[str, Any] = {}
        for name, number in value.items():
            out[self._key(out, name, where, place.limit)] = number
        return out

    def _whole_object(self, _: Object, value: Any, where: Where) -> Any:
        if where.hidden:
            return {"redacted": self._hid()}
        return self._any(value, where)

    def _whole_text(self, place: Text, value: Any, where: Where) -> Any:
        return self._text(value, where, place.limit)

    def _identity(self, place: Identity, value: Any, _: Where) -> Any:
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each not in self._known:
                self._check_id(place.path, each)
        return value

    def _check_id(self, path: str, text: str) -> None:
        if self._cleaned(text, NOWHERE, _NO_LIMIT) != text:
            name = self._searched(text)[1] or "inside of JSON"
            message = (
                f"its {path} holds what redaction replaces ({name}), and an id is never changed; "
                "name it otherwise"
            )
            raise UnrecordableError(message)
        self._know([text])

    def _know(self, texts: Iterable[Any]) -> None:
        """Texts that hold nothing and come again and again."""
        if len(self._known) >= _MAX_KNOWN:
            self._known = set()
        self._known.update(text for text in texts if type(text) is str)

    # -- whatever an agent chose

    def _any(self, value: Any, where: Where) -> Any:
        if where.hidden:
            return self._hid()
        kind = type(value)
        if kind is str:
            return self._text(value, where, _NO_LIMIT)
        if kind is list:
            inner = where.item()
            return [self._any(item, inner) for item in value]
        if isinstance(value, dict):
            out: dict[str, Any] = {}
            for name, item in value.items():
                self._put(out, name, item, where)
            return out
        if value is None or kind is bool or self._function is None:
            return value
        return self._asked(self._function, value, where)

    def _put(self, out: dict[str, Any], name: str, item: Any, where: Where) -> None:
        key = self._key(out, name, where, _NO_LIMIT)
        out[key] = self._any(item, where.key(name, key))

    def _key(self, taken: Mapping[str, Any], name: str, where: Where, limit: int) -> str:
        """A key as it may be sent; those that become the same are numbered."""
        key = self._cleaned(name, NOWHERE, limit)
        if self._function is not None:
            at = Where(where.place, f"{where.path}.{{key}}", ())
            key = self._asked_text(self._function, key, at, limit)
        numbered, n = key, 1
        while numbered in taken:
            n += 1
            numbered = f"{key[: limit - 10]}#{n}"
        return numbered

    def _text(self, value: str, where: Where, limit: int) -> str:
        if where.hidden:
            return self._hid()
        text = self._cleaned(value, where, limit)
        if self._function is not None:
            text = self._asked_text(self._function, text, where, limit)
        return text

    def _cleaned(self, value: str, where: Where, limit: int) -> str:
        text = self._limited(value, limit)
        # What a pattern looks for may be escaped, and a path may lead on.
        if ("\\" in text and is_json_like(text)) or (where.rests and text):
            return self._json_text(text, where)
        return text

    def _json_text(self, text: str, where: Where) -> str:
        try:
            return edited(text, lambda value: self._inside._any(value, where))
        except ValueError as error:
            if where.rests and where.place == ARGUMENTS:  # a path leads where nobody can look
                return self._failed_at(where, error)
            return text

    def _limited(self, text: str, limit: int) -> str:
        if len(text) < self._shortest:
            return text
        out, name = self._searched(text)
        if name is None:
            return text
        self._redacted()
        return out if len(out) <= limit else marker(name)

    def _searched(self, text: str) -> tuple[str, str | None]:
        """A text without what patterns find, and the name of the last that found something."""
        found = None
        for guard, patterns in self._order:
            if guard not in text:
                continue
            for pattern in patterns:
                for anchor in pattern.anchors:
                    if anchor in text:
                        text, n = pattern.regex.subn(pattern.replacement, text)
                        found = pattern.name if n else found
                        break
        return text, found

    # -- the user's function

    def _asked(self, function: Callable[[str, Any], Any], value: Any, where: Where) -> Any:
        try:
            given = function(where.path, value)
            if type(given) is type(value) and given == value:
                return value
            out = plain(given)
            check_nul_and_depth(to_json(out))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever it does, the agent goes on
            return self._failed_at(where, error)
        self._redacted()
        return self._inside._any(out, NOWHERE)

    def _asked_text(
        self, function: Callable[[str, Any], Any], value: str, where: Where, limit: int
    ) -> str:
        out = self._asked(function, value, where)
        if type(out) is not str or len(out) > limit:
            return self._failed_at(where, TypeError("no text, or too long a one"))
        return out

    def _failed_at(self, where: Where, error: BaseException) -> str:
        self._failed(where.place, error)
        return BY_ERROR

    def _hid(self) -> str:
        self._redacted()
        return BY_PATH
