"""No planted secret leaves, whatever field it is planted in: the fields are the contract's."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.planted_secrets import all_secrets, core_of
from tests.support.strategies import event_documents

from ropewalk_producers import RecorderSettings
from ropewalk_producers.redaction.places import IDENTITIES
from ropewalk_producers.testing import MemoryRecorder
from ropewalk_schemas.encoding import to_json

Spot = tuple[str | int, ...]
KEY = "<key>"
_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")
FIXED = {
    *("type", "schema_version", "occurred_at", "started_at", "source"),
    *("mode", "action_status", "status"),
}
SHORT = [text for _, text in all_secrets() if len(text) <= 120]


def spots(value: Any, at: Spot = ()) -> Iterator[Spot]:
    """Every text inside of an event, and every object, which takes another key."""
    if isinstance(value, str):
        yield at
    elif isinstance(value, dict):
        yield (*at, KEY)
        for name, item in value.items():
            yield from spots(item, (*at, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from spots(item, (*at, i))


def planted(value: Any, spot: Spot, text: str) -> Any:
    if not spot:
        return text
    first, rest = spot[0], spot[1:]
    if first == KEY:
        return value | {text: 1.0}
    if isinstance(value, list):
        return [planted(item, rest, text) if i == first else item for i, item in enumerate(value)]
    return value | {first: planted(value[first], rest, text)}


def escaped(text: str) -> str:
    """A text inside of a JSON text, as that may be written."""
    letter = next(c for c in text if c.isalnum())
    return json.dumps({"0": [text]}, ensure_ascii=False).replace(letter, f"\\u{ord(letter):04x}")


def every_reading(value: bytes) -> str:
    """What may be read in some bytes, escapes resolved however deep they are."""
    text = value.decode()
    return text + _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def send(recorder: MemoryRecorder, wire: Any) -> Exception | None:
    try:
        recorder._outlet.send(b"key", "id", wire)
    except Exception as cause:
        recorder._outlet.refuse("t", "event", cause)
        return cause
    return None


def contract_name(spot: Spot) -> str:
    """The field that a spot is in, as `IDENTITIES` has it."""
    return ".".join(str(part) for part in spot).replace(".0", "[*]")


@settings(max_examples=300, deadline=None)
@given(event_documents(), st.sampled_from(SHORT), st.sampled_from([str, escaped]), st.data())
def test_no_planted_secret_is_in_the_bytes_of_any_event(
    document: Any, secret: str, written: Any, data: st.DataObject
) -> None:
    spot = data.draw(st.sampled_from(list(spots(document))))
    recorder = MemoryRecorder(RecorderSettings(project="p", service="s", redact="secrets,email"))
    send(recorder, planted(document, spot, written(secret)))
    for _, value in recorder.records:
        assert core_of(secret) not in every_reading(value)
    assert core_of(secret) not in (recorder.last_error or "")
    if recorder.counters.rejected:
        return
    assert recorder.counters.redacted
    if not {"messages", "output"} & set(spot[:1]):
        assert contract_name(spot) not in IDENTITIES


@settings(max_examples=100, deadline=None)
@given(event_documents(), st.sampled_from(SHORT), st.data())
def test_an_event_is_lost_only_for_what_must_not_change(
    document: Any, secret: str, data: st.DataObject
) -> None:
    spot = data.draw(st.sampled_from(list(spots(document))))
    recorder = MemoryRecorder(RecorderSettings(project="p", service="s", redact="secrets,email"))
    cause = send(recorder, planted(document, spot, secret))
    assert cause is None or spot[0] in FIXED or "an id is never changed" in str(cause), spot


@settings(max_examples=100, deadline=None)
@given(event_documents())
def test_an_event_without_secrets_is_sent_byte_for_byte_as_it_is(document: Any) -> None:
    plain = MemoryRecorder(RecorderSettings(project="p", service="s", redact="none"))
    walked = MemoryRecorder(
        RecorderSettings(project="p", service="s", redact_patterns={"never": "\\ue000{99}"}),
        redact_value=lambda _, value: value,
    )
    for recorder in (plain, walked):
        recorder._outlet.send(b"key", "id", document)
    assert plain.records == walked.records
    assert plain.records[0].value == to_json(document)
    assert walked.counters.redacted == 0
