"""The derived decoder and the models are one contract: same refusals, same values."""

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from pydantic import BaseModel
from tests.support.broken import INSTANTS, TOKENS, almost_events, nested
from tests.support.strategies import event_bytes

from ropewalk_schemas.codec import (
    Decoded,
    decode_event,
    decode_event_with_models,
    decode_for_assembly,
    encode_event,
    unknown_fields,
)
from ropewalk_schemas.encoding import parse_json, to_json
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.events import TrajectoryStarted
from ropewalk_schemas.published import raw_json

STARTED = (
    b'{"type":"trajectory_started","event_id":"e","occurred_at":"2026-01-31T12:00:00Z",'
    b'"started_at":"2026-01-31T12:00:00Z","project":"p","agent_id":"a","trajectory_id":"t",'
    b'"writer":"w","seq":0%s}'
)


def outcome(decode: Any, value: bytes) -> Any:
    """What a decoder makes of a value: an event, or the reason for refusing it."""
    try:
        return decode(value)
    except DecodeError as refusal:
        return refusal.reason if refusal.detail else "a refusal that does not say why"


def assert_same(struct: object, model: object) -> None:
    """Field by field; numbers and instants also in type, sign and zone."""
    if isinstance(model, BaseModel):
        for name in type(model).model_fields:
            assert_same(getattr(struct, name), getattr(model, name))
    elif isinstance(model, list | tuple):
        assert isinstance(struct, type(model))
        assert len(struct) == len(model)
        for left, right in zip(struct, model, strict=True):
            assert_same(left, right)
    elif isinstance(model, dict):
        assert isinstance(struct, dict)
        assert list(struct) == list(model)
        for key in model:
            assert_same(struct[key], model[key])
    elif isinstance(model, datetime):
        assert struct == model
        assert struct.utcoffset() == model.utcoffset()  # type: ignore[attr-defined]
    else:
        assert repr(struct) == repr(model)


def assert_agree(value: bytes) -> Any:
    hot, slow = outcome(decode_event, value), outcome(decode_event_with_models, value)
    if isinstance(slow, str) or isinstance(hot, str):
        assert hot == slow
        return hot
    assert isinstance(hot, Decoded)
    assert hot.type == slow.type
    assert_same(hot.event, slow)
    extra = unknown_fields(type(slow), parse_json(value))
    assert hot.has_extra is bool(extra) or (hot.has_extra and repeats_a_key(value))
    assert_same_for_assembly(decode_for_assembly(value), slow)
    return extra


def repeats_a_key(value: bytes) -> bool:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.append(len(dict(pairs)) < len(pairs))
        return dict(pairs)

    repeated: list[bool] = []
    json.loads(value, object_pairs_hook=once)
    return any(repeated)


def assert_same_for_assembly(struct: object, model: object) -> None:
    """As `assert_same`, with free-form JSON compared as parsed."""
    if isinstance(struct, msgspec.Raw):
        assert_same(parse_json(struct), model)
    elif isinstance(model, BaseModel):
        for name in type(model).model_fields:
            assert_same_for_assembly(getattr(struct, name), getattr(model, name))
    elif isinstance(model, list):
        for left, right in zip(struct, model, strict=True):  # type: ignore[call-overload]
            assert_same_for_assembly(left, right)
    elif model is not None or struct is not None:
        assert_same(struct, model)


@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
@given(almost_events())
@example(b'{"type":[]}')
@example(b"[" * 5000)
@example(b"[" * 5000 + b"]" * 5000)
@example(STARTED % (b',"new":' + nested(63)))
@example(STARTED % (b',"new":' + nested(64)))
def test_both_decoders_accept_and_refuse_the_same_and_yield_the_same_values(value: bytes) -> None:
    assert_agree(value)


@pytest.mark.parametrize("field", ["occurred_at", "seq", "goal", "metadata", "agent_id", "new"])
def test_both_decoders_agree_on_every_odd_token_in_every_kind_of_field(field: str) -> None:
    event = json.loads(STARTED % b"")
    for token in (*TOKENS, *map(to_json, INSTANTS)):
        value = to_json(event | {field: "TOKEN"}).replace(b'"TOKEN"', token)
        assert_agree(value)


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("2026-01-31T12:00:00.9999995Z", "2026-01-31T12:00:01+00:00"),
        ("2026-01-31T12:00:00.9999994Z", "2026-01-31T12:00:00.999999+00:00"),
        ("2026-01-31t13:00:00+01:00", "2026-01-31T12:00:00+00:00"),
        ("1900-01-01T00:00:00+23:59", "1899-12-31T00:01:00+00:00"),
        ("2026-06-30T23:59:60Z", None),
        ("1899-12-31T23:59:59Z", None),
        ("9999-01-01T00:00:00Z", None),
        ("2026-01-31T12:00:00", None),
        ("2026-01-31", None),
    ],
)
def test_instants_are_read_to_the_microsecond_and_only_with_a_zone(
    text: str, read_as: str | None
) -> None:
    value = (STARTED % b"").replace(b"2026-01-31T12:00:00Z", text.encode())
    assert_agree(value)
    decoded = outcome(decode_event, value)
    if read_as is None:
        assert decoded == "invalid"
    else:
        assert decoded.event.occurred_at == datetime.fromisoformat(read_as)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rb'"\u0000"', "nul"),
        (rb'"\\\u0000"', "nul"),
        (rb'"\\u0000"', "ok"),
        (b"NaN", "not_finite"),
        (b"1e999", "not_finite"),
        (b"1" * 5000, "not_finite"),
        (b'["NaN"}', "not_json"),
        (b'"\xff"', "invalid_utf8"),
        (rb'"\ud800"', "not_json"),
        (nested(62), "ok"),
        (nested(63), "ok"),
        (nested(64), "too_deep"),
    ],
)
def test_what_json_decoders_disagree_on_is_refused_with_its_own_reason(
    text: bytes, reason: str
) -> None:
    value = STARTED % (b',"new":' + text)
    assert_agree(value)
    decoded = outcome(decode_event, value)
    assert (decoded if isinstance(decoded, str) else "ok") == reason


@settings(max_examples=200, deadline=None)
@given(event_bytes())
def test_an_encoded_event_reads_back_as_the_same_event(value: bytes) -> None:
    event = decode_event_with_models(value)
    encoded = encode_event(event)
    decoded = decode_event(encoded)
    assert decoded.type == event.type
    assert_same_instant_apart(decoded.event, event)


def assert_same_instant_apart(struct: object, model: BaseModel) -> None:
    """As `assert_same`, but the wire form gives instants in UTC."""
    instants = {"occurred_at", "started_at"} & set(type(model).model_fields)
    for name in set(type(model).model_fields) - instants:
        assert_same(getattr(struct, name), getattr(model, name))
    for name in instants:
        assert getattr(struct, name) == getattr(model, name)


def test_unknown_fields_are_kept_with_their_place() -> None:
    event = json.loads(STARTED % b"")
    message = {"role": "user", "content": "hi", "new": 1}
    event |= {"messages": [{"role": "user"}, message], "source": {"service": "s", "new": [2]}}
    value = to_json(event | {"new": {"a": None}})
    decoded = decode_event(value)
    assert decoded.has_extra
    assert unknown_fields(TrajectoryStarted, parse_json(value)) == {
        "new": {"a": None},
        "source": {"new": [2]},
        "messages": {"1": {"new": 1}},
    }


def test_of_a_repeated_key_the_last_counts_for_every_decoder() -> None:
    value = (STARTED % b',"type":"reward","type":"trajectory_started"').replace(
        b'{"type":', b'{"seq":"no","type":'
    )
    assert assert_agree(value) == {}
    assert decode_for_assembly(value).type == "trajectory_started"


def test_free_form_json_is_passed_on_as_it_was_written() -> None:
    value = STARTED % b',"metadata":{"price": 1.50, "big": 1e2}'
    event = decode_for_assembly(value)
    assert raw_json(event.metadata) == '{"price": 1.50, "big": 1e2}'  # type: ignore[union-attr]
