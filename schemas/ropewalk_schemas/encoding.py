"""JSON bytes: compact for the wire, with sorted keys where equal content must be equal bytes."""

from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()


def to_json(value: object) -> bytes:
    """Compact JSON of plain data or of a decoded event.

    Raises:
        TypeError: If something inside has no JSON form.
        UnicodeEncodeError: If a text holds half a surrogate pair.
    """
    return _ENCODER.encode(value)


def canonical_json(value: object) -> bytes:
    """Compact JSON with sorted keys, so that equal content gives equal bytes."""
    return msgspec.json.encode(value, order="deterministic")


def parse_json(text: str | bytes, *, otherwise: object = None) -> Any:
    """The value of a JSON text, or `otherwise` when it is not strict JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return otherwise
