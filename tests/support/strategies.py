"""Hypothesis strategies for every contract, read from the models' JSON Schemas.

They follow the models by themselves: a new field is generated as soon as it exists.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.events import EVENT_MODELS

Document = dict[str, Any]
Schema = Mapping[str, Any]

TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def texts(min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[str]:
    """Text without NUL and half surrogates."""
    return st.text(TEXT, min_size=min_size, max_size=max(min_size, min(max_size, 12)))


@cache
def json_values() -> st.SearchStrategy[Any]:
    """Free-form JSON with finite numbers and integers of any size a 64-bit float can hold."""
    leaves = st.none() | st.booleans() | st.integers(-(10**300), 10**300) | FINITE | texts()
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | json_objects(inner), max_leaves=5
    )


def json_objects(values: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Document]:
    """A free-form JSON object."""
    inner = json_values() if values is None else values
    return st.dictionaries(texts(), inner, max_size=3)


@st.composite
def instants(draw: st.DrawFn) -> str:
    """RFC 3339 text with any zone and any fraction."""
    start, end = datetime(1900, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - the zone is drawn next
    minutes = draw(st.sampled_from([0, 0, 0, 60, -300, 345, -721, 1439, -1439]))
    at = draw(st.datetimes(start, end, timezones=st.just(timezone(timedelta(minutes=minutes)))))
    day, clock = at.isoformat(timespec="seconds").split("T")
    clock, zone = clock[:8], clock[8:]
    fraction = draw(st.just("") | st.from_regex(r"\.[0-9]{1,12}", fullmatch=True))
    zone = draw(st.sampled_from(["Z", "z", "+00:00"])) if minutes == 0 else zone
    return f"{day}{draw(st.sampled_from('TTt '))}{clock}{fraction}{zone}"


def documents(contract: Any) -> st.SearchStrategy[Document]:
    """JSON documents a model (or any type pydantic knows) accepts; unknown fields never."""
    schema = TypeAdapter(contract).json_schema()
    return _values(schema, schema.get("$defs", {}))


@cache
def event_documents() -> st.SearchStrategy[Document]:
    """Valid events of every type as plain data."""
    return st.one_of([_event(model) for model in EVENT_MODELS])


@cache
def event_bytes() -> st.SearchStrategy[bytes]:
    """Valid events of every type as JSON."""
    return event_documents().map(to_json)


def _event(model: type[BaseModel]) -> st.SearchStrategy[Document]:
    tag = model.model_fields["type"].default
    return documents(model).map(lambda document: document | {"type": tag})


def _values(schema: Schema, defs: Schema) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _values(defs[schema["$ref"].rsplit("/", 1)[1]], defs)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return st.one_of([_values(branch, defs) for branch in schema[union]])
    if "type" not in schema:
        return json_values()
    of_type: st.SearchStrategy[Any] = _OF_TYPE[schema["type"]](schema, defs)
    return of_type


def _text(schema: Schema, _: Schema) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return instants()
    if "pattern" in schema:
        pattern: str = schema["pattern"]
        return st.from_regex(pattern, fullmatch=True)
    return texts(schema.get("minLength", 0), schema.get("maxLength", 12))


def _number(schema: Schema, _: Schema) -> st.SearchStrategy[float]:
    bounded = st.floats(
        schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False
    )
    return bounded | bounded.filter(lambda x: abs(x) < 2**53).map(int)


def _object(schema: Schema, defs: Schema) -> st.SearchStrategy[Document]:
    named = schema.get("properties")
    if named is None:
        values = schema.get("additionalProperties", True)
        if values is True:
            return json_objects()
        names = _values({"type": "string"} | schema.get("propertyNames", {}), defs)
        return st.dictionaries(names, _values(values, defs), max_size=3)
    required = set(schema.get("required", ()))
    fields = {name: _values(inner, defs) for name, inner in named.items()}
    return st.fixed_dictionaries(
        {name: value for name, value in fields.items() if name in required},
        optional={name: value for name, value in fields.items() if name not in required},
    )


def _list(schema: Schema, defs: Schema) -> st.SearchStrategy[list[Any]]:
    if "prefixItems" in schema:
        return st.tuples(*[_values(item, defs) for item in schema["prefixItems"]]).map(list)
    return st.lists(_values(schema["items"], defs), min_size=schema.get("minItems", 0), max_size=3)


_OF_TYPE: Mapping[str, Any] = {
    "null": lambda *_: st.none(),
    "boolean": lambda *_: st.booleans(),
    "integer": lambda schema, _: st.integers(schema.get("minimum"), schema.get("maximum")),
    "number": _number,
    "string": _text,
    "object": _object,
    "array": _list,
}
