"""Strategies for what is almost an event: valid ones, damaged in every way that came up so far."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import strategies as st
from tests.support.strategies import Document, event_bytes, event_documents, json_values

from ropewalk_schemas.encoding import to_json

Place = tuple[Any, Any]  # a dict or list, and a key or position in it

INSTANTS = (
    "2026-01-31T12:00:00",
    "2026-01-31",
    "2026-01-31T12:00Z",
    "2026-01-31T12:00:00.Z",
    "2026-01-31T12:00:00.123456789Z",
    "2026-01-31T12:00:00.9999994Z",
    "2026-01-31T12:00:00.9999995Z",
    "2026-01-31T12:00:00.99999949999Z",
    "2026-01-31T12:00:00,5Z",
    "2026-01-31t12:00:00z",
    "2026-01-31 12:00:00+0100",
    "2026-01-31 12:00:00 +01:00",
    "2026-01-31T12:00:00+01",
    "2026-01-31T12:00:00-00:00",
    "2026-01-31T12:00:00+23:59",
    "2026-01-31T12:00:00+24:00",
    "2026-01-31T12:00:00+14:60",
    "2026-01-31T12:00:00+01:00:30",
    "2026-06-30T23:59:60Z",
    "2026-01-31T24:00:00Z",
    "2026-02-30T12:00:00Z",
    "2026-02-29T12:00:00Z",
    "2024-02-29T12:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "0001-01-01T00:00:00-00:01",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-00:01",
    "10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "2026-W05-6T12:00:00Z",
    "20260131T120000Z",
    "1769860800",
    "٢٠٢٦-01-31T12:00:00Z",
    " 2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00Z\n",
    "2026-01-31x12:00:00Z",
    "",
)

TOKENS: tuple[bytes, ...] = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e308", b"5e-324", b"1e-999",
    b"-0.0", b"-0", b"1.0", b"1e2", b"0.1e1", b"01", b"1.", b".5", b"+1", b"-", b"0x10",
    b"9007199254740991", b"9007199254740992", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"2147483648",
    b"1" * 308, b"1" * 309, b"1" * 310, b"-" + b"9" * 400, b"1" * 4299, b"1" * 4300, b"1" * 4301,
    b"1" * 5000, b"-" + b"1" * 4300, b"0." + b"1" * 5000, b"1" * 5000 + b".5", b"1e" + b"1" * 50,
    b"1" * 300 + b".5e-10", b"1" * 400 + b"e-200",
    b"true", b"false", b"null", b"True", b"nul", b"''", b"[]", b"{}", b"[null]", b'{"a":1}',
    rb'"\u0000"', rb'"\\u0000"', rb'"\\\u0000"', rb'"a\\\\u0000"', b'"a\0"', b"\0",
    rb'"\ud800"', rb'"\udc00"', rb'"\udc00\ud800"', rb'"\ud83d\ude00"', rb'"\ud83d\u0041"',
    rb'"\ud83dA"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"',
    b'"\xe2\x82"',
    rb'"\x41"', rb'"\u12"', rb'"\/"', b'"\t"', b'"\x7f"', b'"NaN"', b'"1e999"', b'"out of range"',
    b'{"a":1,"a":2}', b'{"a":NaN,"a":2}', b'{"a":"\xff","a":2}', b'{"":0}', b"[1,]", b'{"a":1,}',
    b'{"NaN":1}', b'{"a" 1}', b"{1:2}", b'["]"]',
    b'"' + b"a" * 201 + b'"', b'"' + b"a" * 200 + b'"',
)  # fmt: skip

NEW_NAMES = ("new", "new", "neu", "", "type", "action", "tool_calls", "messages")
_MARK = '"\ue000%d"'  # stands for a token in a document until it is JSON


def places(document: object) -> Iterator[Place]:
    """Every place in a document that holds a value."""
    keys = document if isinstance(document, dict) else range(len(document))  # type: ignore[arg-type]
    for key in list(keys):
        yield document, key
        inner = document[key]  # type: ignore[index]
        if isinstance(inner, dict | list):
            yield from places(inner)


def nested(depth: int, *, around: bytes = b'"]}[{"') -> bytes:
    """Lists in objects, `depth` of them in all, around a text that holds brackets."""
    opened = [b"[" if level % 2 else b'{"[":' for level in range(depth)]
    closed = [b"]" if level % 2 else b"}" for level in reversed(range(depth))]
    return b"".join([*opened, around, *closed])


@cache
def _tokens() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.sampled_from(TOKENS),
        st.sampled_from(INSTANTS).map(to_json),
        st.integers(60, 67).map(nested),
        json_values().map(to_json),
    )


@st.composite
def damaged_documents(draw: st.DrawFn) -> bytes:
    """An event with one to three places changed, removed or added; often still valid."""
    document: Document = draw(event_documents())
    tokens: list[bytes] = []
    for _ in range(draw(st.integers(1, 3))):
        at_top = [(document, key) for key in document]
        holder, key = draw(st.sampled_from(at_top + list(places(document))))
        change = draw(st.sampled_from(["change", "change", "remove", "add"]))
        if change == "remove" and len(document) > 1:
            holder.pop(key)
            continue
        if change == "add" and isinstance(holder, dict):
            key = draw(st.sampled_from(NEW_NAMES))
        holder[key] = _MARK[1:-1] % len(tokens)
        tokens.append(draw(_tokens()))
    value = to_json(document)
    for index, token in enumerate(tokens):
        value = value.replace((_MARK % index).encode(), token)
    return value


@st.composite
def damaged_bytes(draw: st.DrawFn) -> bytes:
    """An event's bytes, cut, spliced, repeated or wrapped."""
    value: bytes = draw(event_bytes())
    at = draw(st.integers(0, len(value)))
    splice = draw(st.binary(max_size=3) | st.sampled_from(TOKENS))
    again = draw(st.sampled_from([b'"type":"reward",', b'"seq":"no",', b'"schema_version":"2.0",']))
    return draw(
        st.sampled_from(
            [
                value[:at],
                value[:at] + splice + value[at:],
                value[:at] + splice + value[at + 1 :],
                b"\xef\xbb\xbf" + value,
                b" \t\r\n" + value + b"\n ",
                b"\x0b" + value,
                value + splice,
                b"{" + again + value[1:],
                value[:-1] + b"," + again[:-1] + b"}",
                b"[" + value + b"]",
                value.decode().encode("utf-16"),
            ]
        )
    )


def almost_events() -> st.SearchStrategy[bytes]:
    """Valid and damaged events, and noise."""
    return st.one_of(
        event_bytes(),
        damaged_documents(),
        damaged_documents(),
        damaged_documents(),
        damaged_bytes(),
        st.binary(max_size=40),
        st.sampled_from(TOKENS),
    )
