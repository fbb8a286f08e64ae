"""What an agent gave, as plain JSON data of our own: a copy that its later changes do not reach."""

from collections.abc import Mapping
from enum import Enum
from math import isfinite
from typing import Any

import msgspec

from ropewalk_producers.errors import UnrecordableError
from ropewalk_schemas.prechecks import MAX_DEPTH

_AS_IS = frozenset({str, int, bool, type(None)})


def plain(value: object, depth: int = 0) -> Any:
    """A copy of `value` made of dict, list, str, int, float, bool and None only.

    Beyond JSON types it takes pydantic models, dataclasses, enums, instants, UUIDs and arrays.

    Raises:
        UnrecordableError: For a number that is not finite, nesting deeper than an event may have,
            or keys that collide as text.
        TypeError: For a type without a JSON form.
    """
    kind = type(value)
    if kind in _AS_IS:
        return value
    if depth > MAX_DEPTH:
        message = f"it is nested more than {MAX_DEPTH} deep"
        raise UnrecordableError(message)
    if kind is float:
        return _finite(value)  # type: ignore[arg-type] # kind is float
    if kind is dict:
        return _plain_mapping(value, depth)  # type: ignore[arg-type] # kind is dict
    if kind is list or kind is tuple:
        return [plain(item, depth + 1) for item in value]  # type: ignore[attr-defined] # a list
    return _plain_foreign(value, depth + 1)


def _finite(value: float) -> float:
    if not isfinite(value):
        message = f"{value} is not a JSON number"
        raise UnrecordableError(message)
    return value


def _plain_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    out = {
        key if type(key) is str else _plain_key(key): plain(item, depth + 1)
        for key, item in value.items()
    }
    if len(out) != len(value):
        message = "two of its keys are the same as text"
        raise UnrecordableError(message)
    return out


def _plain_key(key: object) -> str:
    if isinstance(key, Enum):
        return _plain_key(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    message = f"a key is a {type(key).__name__}, not text"
    raise UnrecordableError(message)


def _plain_foreign(value: Any, depth: int) -> Any:
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return _finite(float(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if isinstance(value, list | tuple):
        return plain(list(value), depth)
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"), depth)
    if hasattr(value, "tolist"):
        return plain(value.tolist(), depth)
    return plain(msgspec.to_builtins(value, str_keys=True), depth)
