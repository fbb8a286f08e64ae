"""Bytes to events and back.

`decode_event` is the hot path: a decoder derived from the models. `decode_event_with_models` is
the same contract read by pydantic itself; a property test holds that they agree. The derived
structs have exactly the attributes of the models, so they are typed as those.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, Union, cast

import msgspec
from pydantic import BaseModel, ValidationError

from ropewalk_schemas.derive import Derivation
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.errors import DecodeError, invalid
from ropewalk_schemas.events import AGENT_EVENT, EVENT_MODELS, LifeEvent, Reward
from ropewalk_schemas.fields import MAX_YEAR, MIN_YEAR, SCHEMA_VERSION
from ropewalk_schemas.prechecks import check_nul_and_depth, parse_strictly

_VERSION = re.compile(r"1\.\d{1,9}", re.ASCII)
_CHECKED, _LOOSE, _PASSED_ON = (
    Derivation(),
    Derivation(strict=False),
    Derivation(free_form=msgspec.Raw, strict=False),
)


def _union(derivation: Derivation) -> Any:
    return Union[tuple(derivation.struct(model) for model in EVENT_MODELS)]  # noqa: UP007


_checked = msgspec.json.Decoder(_union(_CHECKED)).decode
_loose = msgspec.json.Decoder(_union(_LOOSE)).decode
_passed_on = msgspec.json.Decoder(_union(_PASSED_ON)).decode
_TYPES: dict[type, str] = {
    derivation.struct(model): model.model_fields["type"].default
    for derivation in (_CHECKED, _LOOSE, _PASSED_ON)
    for model in EVENT_MODELS
}


class Decoded(NamedTuple):
    """An event, its type, and whether it holds fields this version does not know.

    `event` is of the model that `type` names. `has_extra` is also true of a few values that repeat
    a key; see `unknown_fields`.
    """

    type: str
    event: Any
    has_extra: bool


def decode_event(value: bytes) -> Decoded:
    """Validate a value completely.

    Raises:
        DecodeError: With the quarantine reason and a sentence for a person.
    """
    check_nul_and_depth(value)
    try:
        event, has_extra = _checked(value), False
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        event, has_extra = _decode_loosely(value), True
    if event.schema_version != SCHEMA_VERSION:
        _check_version(event.schema_version)
    kind = _TYPES[type(event)]
    if not MIN_YEAR <= event.occurred_at.year <= MAX_YEAR or (
        kind != "reward" and not MIN_YEAR <= event.started_at.year <= MAX_YEAR
    ):
        detail = f"an instant must lie in the years {MIN_YEAR} to {MAX_YEAR}"
        raise DecodeError("invalid", detail)
    return Decoded(kind, event, has_extra)


def _decode_loosely(value: bytes) -> Any:
    """An event with unknown fields or repeated keys; all else is refused with the reason."""
    data = parse_strictly(value)
    _check_envelope(data)
    try:
        return _once(_loose, value)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError("invalid", str(error)) from error


def _once(decode: Callable[[bytes], Any], value: bytes) -> Any:
    """Decode; of a repeated key the last counts, as it does for the models.

    Derived decoders check every repetition, and refuse a second `type`.
    """
    try:
        return decode(value)
    except (msgspec.MsgspecError, ValueError):
        return decode(to_json(parse_strictly(value)))


def decode_event_with_models(value: bytes) -> LifeEvent | Reward:
    """The same contract as `decode_event`, read by the models themselves. Slow.

    Raises:
        DecodeError: As `decode_event`.
    """
    check_nul_and_depth(value)
    _check_envelope(parse_strictly(value))
    try:
        return AGENT_EVENT.validate_json(value)
    except ValidationError as error:
        raise invalid(error) from error


def decode_for_assembly(value: bytes) -> LifeEvent | Reward:
    """An event already accepted by `decode_event`, its free-form JSON left as raw bytes."""
    return cast("LifeEvent | Reward", _once(_passed_on, value))


def _check_envelope(data: object) -> None:
    if not isinstance(data, dict):
        detail = f"the value is a JSON {type(data).__name__}, not an object"
        raise DecodeError("not_json", detail)
    types = sorted(set(_TYPES.values()))
    if data.get("type") not in types:  # a list, because what is asked may not be hashable
        detail = f"type is {data.get('type')!r}; known are {', '.join(types)}"
        raise DecodeError("unknown_type", detail[:300])
    _check_version(data.get("schema_version", SCHEMA_VERSION))


def _check_version(version: object) -> None:
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        detail = f"schema_version is {version!r}; this code reads 1.x"[:300]
        raise DecodeError("unknown_version", detail)


def encode_event(event: LifeEvent | Reward) -> bytes:
    """The wire form of an event: compact JSON without fields at their default."""
    named = {"type": event.type, "schema_version": event.schema_version}
    return to_json(named | event.model_dump(mode="json", exclude_defaults=True))


def unknown_fields(model: type[BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """Fields of `data` that `model` does not name, also inside nested models; {} when none.

    Nested ones keep their place: ``{"action": {"new": 1}}``, and a list index as text.
    """
    parsed = model.model_validate_json(to_json(data))
    return _extra_of(parsed)


def _extra_of(value: object) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        found = dict(value.model_extra or {})
        inner = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, list):
        found, inner = {}, {str(i): item for i, item in enumerate(value)}
    else:
        return {}
    for name, item in inner.items():
        if extra := _extra_of(item):
            found[name] = extra
    return found
