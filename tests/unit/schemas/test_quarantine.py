"""A refused record comes back from its quarantine record exactly as it was."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import texts

from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.quarantine import Quarantined, from_record
from ropewalk_schemas.reasons import MEANING, Reason

OFFSETS = st.integers(0, 2**53 - 1)
BYTES = st.none() | st.binary(max_size=20)
REFUSED = st.builds(
    Quarantined,
    topic=texts(1),
    partition=st.integers(0, 1000),
    offset=OFFSETS,
    key=BYTES,
    value=BYTES,
    headers=st.lists(st.tuples(texts(), BYTES), max_size=3),
    reason=st.sampled_from(get_args(Reason)),
    detail=texts(),
    stage=st.sampled_from(["assembler", "sink postgres", "sink parquet"]),
    quarantined_by=texts(1),
    trajectory_id=st.none() | texts(1),
    broker_ms=st.integers(-1, 2**53 - 1),
    quarantined_ms=OFFSETS,
)
RECORD = {
    "topic": "agent-events",
    "partition": 0,
    "offset": 1,
    "reason": "nul",
    "detail": "",
    "stage": "assembler",
    "quarantined_by": "0.1.0",
    "broker_ms": 1,
    "quarantined_ms": 2,
    "headers": [],
}


def headers(account: Any) -> list[tuple[str, bytes | None]]:
    return [("ropewalk", b"quarantined"), ("account", json.dumps(account).encode())]


@given(REFUSED)
def test_a_refused_record_comes_back_as_it_was(refused: Quarantined) -> None:
    assert from_record(refused.key, refused.value, refused.to_headers()) == refused


def test_an_account_of_a_newer_version_is_still_read() -> None:
    refused = from_record(None, b"x", headers(RECORD | {"severity": "high"}))
    assert (refused.key, refused.value, refused.reason) == (None, b"x", "nul")


@pytest.mark.parametrize(
    "given_headers",
    [
        [],
        [("account", None)],
        [("account", b"not json")],
        headers([]),
        headers(RECORD | {"reason": "no such reason"}),
        headers({name: value for name, value in RECORD.items() if name != "headers"}),
        headers(RECORD | {"offset": "1"}),
        headers(RECORD | {"headers": [["name", "no base64!"]]}),
        headers(RECORD | {"headers": [["name"]]}),
    ],
)
def test_a_record_we_did_not_write_is_refused_and_never_raises_anything_else(
    given_headers: list[tuple[str, bytes | None]],
) -> None:
    with pytest.raises(DecodeError, match="account"):
        from_record(b"k", b"v", given_headers)


def test_every_reason_has_a_meaning_for_a_person() -> None:
    assert set(MEANING) == set(get_args(Reason))
    assert all(len(meaning.split()) > 3 for meaning in MEANING.values())
