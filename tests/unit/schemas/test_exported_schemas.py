"""The JSON Schema files are what the models say, and the checks that guard them work."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.broken import places
from tests.support.strategies import Document, event_documents

from ropewalk_schemas import export
from ropewalk_schemas.changes import Reader, breaking_changes
from ropewalk_schemas.topics import TOPICS

CURRENT = export.schemas()
FOLDER = Path(__file__).parents[3] / "schemas" / "json"

ORDER: Document = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 20},
        "n": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": None},
        "side": {"type": "string", "enum": ["yes", "no"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "any": {},
        "tags": {"type": "object", "additionalProperties": {"type": "number"}},
        "mode": {"type": "string", "default": "fast"},
    },
    "required": ["id"],
    "$defs": {"Line": {"type": "object", "properties": {"at": {"type": "string"}}}},
}


def changed(path: str, value: Any) -> Document:
    """ORDER with the place at `path` replaced, or removed by None."""
    copy = json.loads(json.dumps(ORDER))
    *steps, last = path.split("/")
    place = copy
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copy  # type: ignore[no-any-return]


def test_files_are_what_the_models_say() -> None:
    assert export.differences(FOLDER) == []


def test_export_check_names_the_file_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main([str(tmp_path)]) == 0
    assert export.main([str(tmp_path), "--check"]) == 0
    (tmp_path / "reward.v1.schema.json").write_text("{}")
    (tmp_path / "skip.v1.schema.json").unlink()
    (tmp_path / "stray.json").write_text("{}")
    assert export.main([str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in ("reward.v1", "skip.v1", "stray.json"))
    assert "decision" not in told


def test_the_topic_table_satisfies_its_own_schema() -> None:
    table = {topic.name: asdict(topic) for topic in TOPICS}
    jsonschema.Draft202012Validator(export.schemas()["topics"]).validate(table)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(event_documents())
def test_every_valid_event_satisfies_its_exported_schema(document: Document) -> None:
    for name in ("agent_event", document["type"]):
        jsonschema.Draft202012Validator(CURRENT[name]).validate(document)


@pytest.mark.parametrize("name", sorted(CURRENT))
@pytest.mark.parametrize("reader", ["new", "old"])
def test_a_contract_breaks_nothing_against_itself(name: str, reader: Reader) -> None:
    schema = CURRENT[name]
    assert breaking_changes(schema, schema, reader=reader) == []


@pytest.mark.parametrize(
    ("path", "value", "reader", "expected"),
    [
        ("properties/n", None, "new", ["$: field 'n' was removed"]),
        ("properties/n", None, "old", ["$: field 'n' was removed"]),
        ("properties/new", {"type": "string"}, "new", []),
        ("properties/new", {"type": "string"}, "old", []),
        ("required", ["id", "side"], "new", ["'side' is now required"]),
        ("required", ["id", "side"], "old", []),
        ("required", [], "new", []),
        ("required", [], "old", ["'id' is no longer required"]),
        ("properties/id/type", "integer", "new", ["$.id: string is no longer accepted"]),
        ("properties/id/type", "integer", "old", ["$.id: integer is new to old readers"]),
        ("properties/n", {"type": "integer", "default": None}, "new", ["$.n: null is no longer"]),
        ("properties/n/anyOf/0/type", "number", "new", []),
        ("properties/n/anyOf/0/type", "number", "old", ["$.n: number is new to old readers"]),
        ("properties/n/anyOf/0/minimum", 1, "new", ["$.n: minimum tightened: from 0 to 1"]),
        ("properties/n/anyOf/0/minimum", -1, "new", []),
        ("properties/n/anyOf/0/minimum", -1, "old", ["$.n: minimum loosened"]),
        ("properties/id/maxLength", 10, "new", ["$.id: maxLength tightened: from 20 to 10"]),
        ("properties/id/maxLength", None, "old", ["$.id: maxLength loosened"]),
        ("properties/id/maxLength", None, "new", []),
        ("properties/id/pattern", "^x", "new", ["$.id: pattern changed from free to ^x"]),
        ("properties/side/enum", ["yes"], "new", ["$.side: value 'no' was removed"]),
        ("properties/side/enum", ["yes"], "old", []),
        ("properties/side/enum", ["yes", "no", "draw"], "new", []),
        ("properties/side/enum", ["yes", "no", "draw"], "old", ["$.side: value 'draw' was added"]),
        ("properties/side/enum", None, "old", ["$.side: is one of yes, no for its readers only"]),
        ("properties/any", {"type": "string"}, "new", ["$.any: anything is no longer accepted"]),
        ("properties/any", {"type": "string"}, "old", []),
        ("properties/id", {}, "old", ["$.id: anything is new to old readers"]),
        ("$defs/Line/properties/at", None, "new", ["$.lines[]: field 'at' was removed"]),
        ("$defs/Line/required", ["at"], "new", ["$.lines[]: field 'at' is now required"]),
        ("properties/tags/additionalProperties/type", "integer", "new", ["$.tags.*: number is no"]),
        ("properties/mode/default", "slow", "new", ["default changed from 'fast' to 'slow'"]),
        ("additionalProperties", False, "new", ["$: unknown fields are refused"]),
    ],
)
def test_a_breaking_change_is_named_with_its_path(
    path: str, value: Any, reader: Reader, expected: list[str]
) -> None:
    found = breaking_changes(ORDER, changed(path, value), reader=reader)
    assert len(found) == len(expected), found
    for told, wanted in zip(found, expected, strict=True):
        assert wanted in told


def test_renaming_a_class_breaks_nothing() -> None:
    renamed = json.loads(json.dumps(ORDER).replace("Line", "Row"))
    assert breaking_changes(ORDER, renamed) == breaking_changes(ORDER, renamed, reader="old") == []


def test_changes_inside_an_event_union_name_the_event() -> None:
    old, new = export.schemas()["agent_event"], export.schemas()["agent_event"]
    new["$defs"]["Decision"]["properties"]["action_status"]["enum"].remove("held")
    del new["$defs"]["WriterClosed"]["properties"]["handed_to"]
    new["oneOf"] = [one for one in new["oneOf"] if not one["$ref"].endswith("Reward")]
    assert breaking_changes(old, new) == [
        "$: object reward is no longer accepted",
        "$<object decision>.action_status: value 'held' was removed",
        "$<object writer_closed>: field 'handed_to' was removed",
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(event_documents(), st.data())
def test_what_the_check_lets_pass_keeps_old_events_valid(
    document: Document, data: st.DataObject
) -> None:
    """The check against a validator: a change at random is named, or old documents stay valid."""
    old = CURRENT[document["type"]]
    new = json.loads(json.dumps(old))
    defs = new.get("$defs")
    changeable = [(h, k) for h, k in places(new) if k not in ("$ref", "$defs") and h is not defs]
    holder, key = data.draw(st.sampled_from(changeable))
    was = holder[key]
    if isinstance(was, int) and not isinstance(was, bool):
        holder[key] = was + data.draw(st.sampled_from([-10, -1, 1, 10]))
    elif key == "required":
        was.append(data.draw(st.sampled_from(sorted(new["properties"]))))
    elif key == "type" and isinstance(was, str):
        holder[key] = data.draw(st.sampled_from(["string", "integer", "number", "array"]))
    else:
        del holder[key]
    if not breaking_changes(old, new):
        jsonschema.Draft202012Validator(new).validate(document)
