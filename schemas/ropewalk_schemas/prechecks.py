"""What JSON decoders disagree on, refused before any of them: NUL, depth, text, finite numbers."""

import re

import msgspec

from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.reasons import Reason

MAX_DEPTH = 64

_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# Possessive, and content with a string that never ends: linear whatever it is given.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_CONSTANT = re.compile(rb"NaN|Infinity")


def check_nul_and_depth(value: bytes) -> None:
    """Refuse NUL characters and more than 64 nested objects and lists; cheap for most values.

    Raises:
        DecodeError: With the reason.
    """
    if b"\\u0000" in value and _NUL_ESCAPE.search(value):
        detail = "a text holds the NUL character (\\u0000)"
        raise DecodeError("nul", detail)
    if is_too_deep(value):
        detail = f"objects and lists are nested more than {MAX_DEPTH} deep"
        raise DecodeError("too_deep", detail)


def is_too_deep(value: bytes) -> bool:
    """Whether objects and lists are nested more than 64 deep."""
    return value.count(b"{") + value.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH


def _depth(value: bytes) -> int:
    deepest = depth = 0
    for bracket in _STRING.sub(b"", value).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def parse_strictly(value: bytes) -> object:
    """The value as plain data: valid UTF-8, strict JSON, every number finite, nothing skipped.

    Raises:
        DecodeError: With the reason.
    """
    try:
        value.decode()
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} is not UTF-8"
        raise DecodeError("invalid_utf8", detail) from error
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise DecodeError(*_why_not_json(value, error)) from error


def _why_not_json(value: bytes, error: Exception) -> tuple[Reason, str]:
    if "out of range" in str(error):
        return "not_finite", f"a number is too large: {error}"
    constant = _CONSTANT.search(_STRING.sub(b"", value))
    if constant:
        return "not_finite", f"{constant.group().decode()} is not a JSON number"
    return "not_json", str(error)
