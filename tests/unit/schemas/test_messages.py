"""One canonical form of a message, and a digest that sees content and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.support.strategies import json_objects, json_values, texts

from ropewalk_schemas.messages import Message, canonical_message, message_digest, text_digest

MODEL = TypeAdapter(Message)


def given_messages() -> st.SearchStrategy[dict[str, Any]]:
    """Messages as client libraries give them."""
    part = st.fixed_dictionaries({"type": st.just("text"), "text": texts()}) | json_objects()
    content = st.none() | texts() | st.lists(part, max_size=2)
    function = st.fixed_dictionaries(
        {"name": texts()}, optional={"arguments": texts() | json_objects() | st.none()}
    )
    nested = st.fixed_dictionaries(
        {"function": function}, optional={"id": texts() | st.none(), "type": st.just("function")}
    )
    flat = st.fixed_dictionaries({"name": texts(), "arguments": json_objects()})
    calls = st.none() | st.lists(nested | flat, max_size=2)
    optional = {"tool_calls": calls, "name": st.none() | texts(), "new": json_values()}
    optional["reasoning_content"] = texts()
    return st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool"]), "content": content},
        optional=optional,
    )


def tool_call(arguments: Any, **more: Any) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [call | more]}


@settings(max_examples=200, deadline=None)
@given(given_messages())
def test_the_canonical_form_is_a_message_and_its_own_canonical_form(given: dict[str, Any]) -> None:
    canonical = canonical_message(given)
    MODEL.validate_json(json.dumps(canonical))
    assert canonical_message(canonical) == canonical
    assert None not in canonical.values()


@settings(max_examples=200, deadline=None)
@given(given_messages())
def test_nulls_and_key_order_do_not_change_the_digest(given: dict[str, Any]) -> None:
    canonical = canonical_message(given)
    turned = dict(reversed([*canonical.items(), ("unheard_of", None)]))
    turned["tool_calls"] = [
        dict(reversed([*call.items(), ("index", None)])) for call in canonical.get("tool_calls", [])
    ] or None
    assert message_digest(turned) == message_digest(canonical)
    assert len(message_digest(canonical)) == 16


@settings(max_examples=200, deadline=None)
@given(json_objects())
def test_the_layout_of_arguments_does_not_change_the_digest_and_is_kept(
    arguments: dict[str, Any],
) -> None:
    loose, tight = json.dumps(arguments, indent=3), json.dumps(arguments, separators=(",", ":"))
    written = canonical_message(tool_call(loose))
    assert written["tool_calls"][0]["function"]["arguments"] == loose
    assert message_digest(written) == message_digest(canonical_message(tool_call(tight)))
    assert message_digest(written) == message_digest(canonical_message(tool_call(arguments)))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": "b"}),
        ({"role": "user", "content": "a"}, {"role": "assistant", "content": "a"}),
        ({"role": "user", "content": ""}, {"role": "user"}),
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a", "new": 1}),
        (tool_call('{"a": 1}'), tool_call('{"a": 2}')),
        (tool_call('{"a": 1}'), tool_call('{"a": 1}', id="call_1")),
        (tool_call('"a"'), tool_call("a")),
        (tool_call("null"), tool_call("")),
        (tool_call('{"a": 1'), tool_call('{"a":1')),
        (tool_call("[" * 5000 + "]" * 5000), tool_call("[" * 5001 + "]" * 5001)),
    ],
)
def test_different_content_has_different_digests(left: Any, right: Any) -> None:
    assert message_digest(left) != message_digest(right)


def test_no_depth_of_arguments_breaks_the_digest() -> None:
    for depth in (*range(60, 1100), 100_000):  # the stack ends somewhere in between
        arguments = '{"a":' * depth + "1" + "}" * depth
        assert len(message_digest(tool_call(arguments))) == 16


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        (
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "user", "content": "Hi"},
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {}}]},
            {"role": "user", "parts": [{"type": "text", "text": "Hi", "cache_control": {}}]},
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]},
            {"role": "user", "parts": [{"type": "text", "text": t} for t in "ab"]},
        ),
        (
            {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": []},
            {"role": "assistant", "reasoning": "hm"},
        ),
        (
            {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"b": 1, "a": "é"}}]},
            tool_call('{"a":"é","b":1}'),
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": None}}]},
            tool_call(""),
        ),
        (
            {"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"input": "x"}}]},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "type": "custom",
                        "custom": {"input": "x"},
                        "function": {"name": "", "arguments": ""},
                    }
                ],
            },
        ),
    ],
)
def test_what_client_libraries_give_becomes_one_form(given: Any, canonical: Any) -> None:
    assert canonical_message(given) == canonical
    MODEL.validate_json(json.dumps(canonical))


@given(texts(), texts())
def test_the_fast_digest_of_plain_text_is_the_digest(role: str, content: str) -> None:
    assert text_digest(role, content) == message_digest({"role": role, "content": content})
