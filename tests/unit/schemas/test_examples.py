"""Every file under schemas/examples is a test: adding a file adds one."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter

from ropewalk_schemas.codec import decode_event, decode_event_with_models
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.events import EVENT_MODELS
from ropewalk_schemas.export import CONTRACTS, SUFFIX
from ropewalk_schemas.published import decode_published, encode_published

SCHEMAS = Path(__file__).parents[3] / "schemas"
EVENT_TYPES = {model.model_fields["type"].default for model in EVENT_MODELS}
REFUSED = sorted((SCHEMAS / "examples" / "refused").iterdir())
ACCEPTED = sorted(set(SCHEMAS.glob("examples/*/*.json")) - set(REFUSED))
EVENTS = [path for path in ACCEPTED if path.parent.name in EVENT_TYPES]
PUBLISHED = [path for path in ACCEPTED if path.parent.name in {"trajectory", "ledger_entry"}]
DECODE_REASONS = {
    "not_json",
    "invalid_utf8",
    "nul",
    "not_finite",
    "too_deep",
    "unknown_type",
    "unknown_version",
    "invalid",
}


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def validate(document: Any, contract: str) -> None:
    schema = json.loads((SCHEMAS / "json" / (contract + SUFFIX)).read_bytes())
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    validator(schema, format_checker=validator.FORMAT_CHECKER).validate(document)


@pytest.mark.parametrize("path", ACCEPTED, ids=name)
def test_example_satisfies_the_exported_schema_and_the_model(path: Path) -> None:
    contract = path.parent.name
    validate(json.loads(path.read_bytes()), contract)
    TypeAdapter(CONTRACTS[contract]).validate_json(path.read_bytes())


@pytest.mark.parametrize("path", EVENTS, ids=name)
def test_example_event_is_read_by_every_decoder(path: Path) -> None:
    value = path.read_bytes()
    validate(json.loads(value), "agent_event")
    decoded = decode_event(value)
    assert decoded.type == decode_event_with_models(value).type == path.parent.name
    newer = "newer_minor_version" in path.stem or "fields_of_a_life_event" in path.stem
    assert decoded.has_extra is newer


@pytest.mark.parametrize("path", PUBLISHED, ids=name)
def test_example_of_what_is_published_survives_its_decoder(path: Path) -> None:
    model = TypeAdapter(CONTRACTS[path.parent.name])
    again = encode_published(decode_published(path.read_bytes()))
    assert model.validate_json(again) == model.validate_json(path.read_bytes())


def test_every_contract_has_an_example() -> None:
    assert {path.parent.name for path in ACCEPTED} == set(CONTRACTS) - {"agent_event"}


@pytest.mark.parametrize("path", REFUSED, ids=name)
@pytest.mark.parametrize("decode", [decode_event, decode_event_with_models])
def test_refused_example_is_refused_for_the_reason_in_its_name(path: Path, decode: Any) -> None:
    with pytest.raises(DecodeError) as refusal:
        decode(path.read_bytes())
    assert refusal.value.reason == path.name.split(".")[0]
    assert refusal.value.detail


def test_every_reason_of_the_decoder_has_a_refused_example() -> None:
    assert {path.name.split(".")[0] for path in REFUSED} == DECODE_REASONS
