import json
from collections.abc import Sequence

import pytest
from tests.support.published import a_part, an_entry, value_of

from ropewalk_schemas.limits import Settings
from ropewalk_schemas.outcomes import Outcome
from ropewalk_schemas.progress import Counts, Progress
from ropewalk_schemas.quarantine import Headers, Quarantined
from ropewalk_sinks.config import Topics
from ropewalk_sinks.incoming import (
    Refusal,
    headers_json,
    is_entry,
    is_part,
    quarantined,
    read_record,
)
from ropewalk_sinks.sink import SourceRecord, TopicPartition

TOPICS = Topics()


def record(
    topic: str, value: bytes | None, key: bytes | None = b"k", headers: Headers = ()
) -> SourceRecord:
    return SourceRecord(TopicPartition(topic, 2), 7, 1_700_000_000_000, key, value, headers)


def account(**changes: object) -> Progress:
    given: dict[str, object] = {
        "engine_version": "e",
        "worker": "w",
        "partition": 2,
        "replay_offset": 1,
        "next_offset": 9,
        "clock_ms": 0,
        "broker_ms": 0,
        "settings": Settings(),
        "skip": {},
        "headers": [],
        "counts": Counts(received=9, assembled=8),
        "open_events": 1,
        "open_trajectories": 1,
        "clock_at_next_ms": 5,
        "watermark_ms": 4,
    }
    return Progress.model_validate(given | changes)


def test_the_two_kinds_of_published_records_are_told_apart() -> None:
    assert is_part(read_record(record("trajectories", value_of(a_part())), TOPICS).content)
    assert is_entry(read_record(record("trajectories", value_of(an_entry())), TOPICS).content)


@pytest.mark.parametrize(
    ("topic", "value", "reason"),
    [
        ("trajectories", None, "empty"),
        ("trajectories", b"", "empty"),
        ("trajectories", b"{", "invalid"),
        ("trajectories", b'{"type":"tick"}', "invalid"),
        ("trajectories", value_of(a_part(goal="a\0b")), "nul"),
        ("trajectories", value_of(a_part(schema_version="2.0")), "unknown_version"),
        ("progress", b"{}", "invalid"),
        ("outcomes", b"nonsense", "invalid"),
        ("outcomes", None, "empty"),
    ],
)
def test_what_cannot_be_decoded_becomes_a_refusal_with_its_reason(
    topic: str, value: bytes | None, reason: str
) -> None:
    content = read_record(record(topic, value), TOPICS).content
    assert isinstance(content, Refusal)
    assert content.reason == reason
    assert content.detail


def test_an_account_is_read_and_crashes_skips_and_deletions_are_ignored() -> None:
    value = account().model_dump_json().encode()
    assert read_record(record("progress", value, b"2"), TOPICS).content == account()
    for key, given in ((b"2/crash", b"{}"), (b"2/skip/7", b"{}"), (b"2", None)):
        assert read_record(record("progress", given, key), TOPICS).content is None


def test_an_outcome_is_read() -> None:
    value = b'{"type":"outcome","outcome_key":"m","version":1,"occurred_at":"2026-03-01T00:00:00Z"}'
    content = read_record(record("outcomes", value), TOPICS).content
    assert isinstance(content, Outcome)
    assert (content.outcome_key, content.version) == ("m", 1)


def test_a_quarantine_record_gives_back_what_was_refused() -> None:
    original = record("agent-events", b"\xff\x00", key=None, headers=[("h", b"\x01"), ("n", None)])
    refused = quarantined(
        original, Refusal("not_json", "why", "t"), stage="sink postgres", by="postgres"
    )
    again = record("quarantine", refused.value, refused.key, refused.to_headers())
    assert read_record(again, TOPICS).content == refused


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("account", b"\xff")],
        [("account", b"[]")],
        [("account", b'{"reason":"invalid"}')],
        [("account", b'{"reason":"invalid","headers":[["k","%"]]}')],
        [("account", b'{"reason":"invalid","headers":5}')],
        [("account", b'{"reason":"invalid","headers":[],"surprise":1}')],
    ],
)
def test_an_unreadable_quarantine_record_becomes_an_account_of_itself_and_no_refusal(
    headers: Sequence[tuple[str, bytes]],
) -> None:
    content = read_record(record("quarantine", b"value", b"key", headers), TOPICS).content
    assert isinstance(content, Quarantined)
    assert (content.topic, content.partition, content.offset) == ("quarantine", 2, 7)
    assert (content.reason, content.value, content.key) == ("invalid", b"value", b"key")


def test_headers_are_shown_as_pairs_with_base64_values() -> None:
    assert json.loads(headers_json([("a", b"\x00"), ("a", None)])) == [["a", "AA=="], ["a", None]]
