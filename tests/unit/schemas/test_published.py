"""What the engine's fast rows write is what the models read."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from tests.support.strategies import documents

from ropewalk_schemas.encoding import parse_json, to_json
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.published import (
    LedgerEntryRow,
    TrajectoryRow,
    decode_published,
    encode_published,
    raw_json,
)
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory

ROWS = {Trajectory: TrajectoryRow, LedgerEntry: LedgerEntryRow}
BARE = {
    "type": "reward",
    "reward_id": "r",
    "trajectory_id": "t",
    "project": "p",
    "name": "n",
    "value": 1.0,
    "source": "human",
    "occurred_at": "2026-01-31T12:00:00Z",
    "recorded_at": "2026-01-31T12:00:00Z",
    "source_partition": 0,
    "source_offset": 0,
}


def published(model: type[BaseModel]) -> st.SearchStrategy[bytes]:
    tag = model.model_fields["type"].default
    return documents(model).map(lambda document: to_json(document | {"type": tag}))


@pytest.mark.parametrize("model", ROWS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_row_round_trips_and_satisfies_its_model(
    model: type[BaseModel], data: st.DataObject
) -> None:
    value = data.draw(published(model))
    row = decode_published(value)
    assert isinstance(row, ROWS[model])
    encoded = encode_published(row)
    assert model.model_validate_json(encoded) == model.model_validate_json(value)
    assert encode_published(decode_published(encoded)) == encoded


def test_a_row_built_from_keywords_leaves_out_what_is_at_its_default() -> None:
    model = LedgerEntry.model_validate_json(to_json(BARE))
    fields: dict[str, Any] = {name: getattr(model, name) for name in BARE if name != "type"}
    assert parse_json(encode_published(LedgerEntryRow(**fields))) == BARE


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        to_json(BARE | {"type": "decision"}),
        to_json(BARE | {"value": "1"}),
        to_json(BARE | {"recorded_at": "2026-01-31T12:00:00"}),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_we_did_not_publish_is_refused(value: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_published(value)


@pytest.mark.parametrize(
    ("text", "expected"), [(b"null", None), (b" 1.50", "1.50"), (b'{"a": 1}', '{"a": 1}')]
)
def test_free_form_json_is_its_own_text_and_null_is_nothing(
    text: bytes, expected: str | None
) -> None:
    value = to_json(BARE)[:-1] + b',"metadata":' + text + b"}"
    assert raw_json(decode_published(value).metadata) == expected


def test_free_form_json_that_is_no_raw_bytes_is_encoded() -> None:
    assert raw_json({"a": [1]}) == '{"a":[1]}'
    assert raw_json(None) is None
