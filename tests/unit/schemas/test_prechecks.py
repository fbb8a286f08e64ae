"""The pre-check against a parser that is too simple to be wrong, and against slow inputs."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.broken import nested
from tests.support.strategies import json_values

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.prechecks import MAX_DEPTH, _depth, check_nul_and_depth, is_too_deep


def depth_letter_by_letter(value: bytes) -> int:
    deepest = depth = 0
    in_text = escaped = False
    for letter in value.decode():
        if escaped:
            escaped = False
        elif in_text:
            escaped, in_text = letter == "\\", letter != '"'
        elif letter == '"':
            in_text = True
        else:
            depth += (letter in "[{") - (letter in "]}")
            deepest = max(deepest, depth)
    return deepest


@settings(max_examples=300)
@given(json_values())
def test_depth_of_json_is_what_a_naive_parser_counts(value: object) -> None:
    for text in (to_json(value), json.dumps(value, indent=1).encode()):
        assert _depth(text) == depth_letter_by_letter(text)


@settings(max_examples=500)
@given(st.text(st.sampled_from('[]{}"\\ax')))
def test_depth_of_anything_is_what_a_naive_parser_counts(text: str) -> None:
    assert _depth(text.encode()) == depth_letter_by_letter(text.encode())


@pytest.mark.parametrize("around", [b"1", b'"]}[{"', rb'"\"]"', rb'"\\"', b'"' + b"[" * 99 + b'"'])
@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1])
def test_64_levels_are_taken_and_65_refused(depth: int, around: bytes) -> None:
    for value in (nested(depth, around=around), b"[" * depth + around + b"]" * depth):
        assert is_too_deep(value) is (depth > MAX_DEPTH)


@pytest.mark.parametrize("n_backslashes", range(1, 8))
def test_nul_is_an_odd_number_of_backslashes_before_u0000(n_backslashes: int) -> None:
    value = b'["a' + b"\\" * n_backslashes + b'u0000"]'
    holds_nul = "\0" in json.loads(value)[0]
    try:
        check_nul_and_depth(value)
        refused = False
    except DecodeError as error:
        refused = error.reason == "nul"
    assert refused is holds_nul


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 65 + b'"' + b'\\"' * 2_000_000,
        b"[" * 65 + b'"' * 4_000_000,
        b"[" * 65 + b"\\" * 4_000_000,
        b"\\" * 4_000_000 + b"u0000",
        b'"' + b"\\\\" * 2_000_000 + b'u0000"',
        b'["' + b"\\u000" * 700_000 + b'0"]',
        b"[" * 4_000_000,
        b"{" * 2_000_000 + b"}" * 2_000_000,
    ],
    ids=lambda value: repr(value[60:70]),
)
def test_no_4_mb_value_takes_long_to_check(value: bytes) -> None:
    began = time.process_time()
    with suppress(DecodeError):
        check_nul_and_depth(value)
    assert time.process_time() - began < 5.0  # quadratic behaviour takes hours
