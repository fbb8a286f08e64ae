"""What becomes of a value: in the recorder, with a user's function, and when that fails."""

import json
import logging
import os
from collections.abc import Callable
from typing import Any

import pytest

from ropewalk_producers import Delivery, RecorderSettings, SettingsError
from ropewalk_producers.redaction.redactor import BY_ERROR
from ropewalk_producers.testing import MemoryPublisher, MemoryRecorder
from ropewalk_schemas.messages import message_digest

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
REDACTED = "[redacted:api_key]"


def sent(recorder: MemoryRecorder) -> list[dict[str, Any]]:
    return [json.loads(value) for _, value in recorder.records]


def of_type(recorder: MemoryRecorder, kind: str) -> list[dict[str, Any]]:
    return [event for event in sent(recorder) if event["type"] == kind]


def recorder(function: Callable[[str, Any], Any] | None = None, **settings: Any) -> MemoryRecorder:
    settings = {"project": "p", "service": "s", **settings}
    return MemoryRecorder(RecorderSettings(**settings), redact_value=function)


def test_secrets_are_replaced_unless_that_is_turned_off() -> None:
    for redact, out in (("secrets", f"use {REDACTED}!"), ("none", f"use {KEY}!")):
        given = recorder(redact=redact)
        with given.trajectory(agent_id="a", goal=f"use {KEY}!"):
            pass
        assert sent(given)[0]["goal"] == out
        assert given.counters.redacted == (redact == "secrets")


def test_keys_are_redacted_and_kept_apart() -> None:
    given = recorder(redact="email")
    metadata = {"a@b.co": 1, "c@d.co": 2, "x": 3}
    with given.trajectory(agent_id="a", metadata=metadata) as t, t.step() as step:
        step.reward_component("for a@b.co", 1.0)
        step.reward_component("for c@d.co", 2.0)
    start, decision, _ = sent(given)
    assert start["metadata"] == {"[redacted:email]": 1, "[redacted:email]#2": 2, "x": 3}
    assert decision["reward_components"] == {
        "for [redacted:email]": 1.0,
        "for [redacted:email]#2": 2.0,
    }


def test_a_name_that_grows_too_long_is_replaced_as_a_whole() -> None:
    given = recorder(redact="email")
    with given.trajectory(agent_id="a") as t, t.step() as step:
        step.action(" ".join(["a@b.co"] * 28))
    assert of_type(given, "decision")[0]["action"]["type"] == "[redacted:email]"


def test_digests_and_deltas_see_what_is_sent() -> None:
    given = recorder()
    chat = [{"role": "user", "content": f"key {KEY}1"}]
    with given.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=chat, output=f"thanks, {KEY}2")
        chat += [
            {"role": "assistant", "content": f"thanks, {KEY}3"},
            {"role": "user", "content": "x"},
        ]
        t.llm_call(model="m", messages=chat)
    first, second = of_type(given, "llm_call")
    assert first["messages"] == [{"role": "user", "content": f"key {REDACTED}"}]
    assert (second["base_call"], second["base_messages"]) == (first["call_id"], 2)
    assert second["messages"] == [{"role": "user", "content": "x"}]
    assert message_digest(first["output"][0]) == message_digest(
        {"role": "assistant", "content": f"thanks, {REDACTED}"}
    )


def test_a_message_is_redacted_once_though_each_prompt_repeats_it() -> None:
    seen: list[str] = []

    def watched(path: str, value: Any) -> Any:
        if path == "messages[*].content":
            seen.append(value)
        return value

    given = recorder(watched)
    chat: list[dict[str, str]] = []
    with given.trajectory(agent_id="a") as t:
        for n in range(20):
            chat.append({"role": "user", "content": f"question {n}"})
            t.llm_call(model="m", messages=list(chat), output=f"answer {n}")
            chat.append({"role": "assistant", "content": f"answer {n}"})
    assert sorted(seen) == sorted({m["content"] for m in chat})


def test_json_inside_of_texts_is_looked_into() -> None:
    escaped = json.dumps({"token": KEY, "n": 1}).replace("sk-", "s\\u006b-")
    nested = json.dumps({"inner": escaped})
    given = recorder()
    with given.trajectory(agent_id="a") as t, t.step(observation=[escaped, nested]):
        call = {"function": {"name": "f", "arguments": escaped}}
        t.llm_call(model="m", messages=[], output={"role": "assistant", "tool_calls": [call]})
    out = {"token": REDACTED, "n": 1}
    call_, decision = of_type(given, "llm_call")[0], of_type(given, "decision")[0]
    arguments = call_["output"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == out
    assert json.loads(decision["observation"][0]) == out
    assert json.loads(json.loads(decision["observation"][1])["inner"]) == out


def test_what_is_written_stays_byte_for_byte_when_nothing_is_found() -> None:
    arguments = '{ "text" : "two\\nlines, \\u00e9", "n":1.0 }'
    given = recorder()
    with given.trajectory(agent_id="a", goal=arguments):
        pass
    assert sent(given)[0]["goal"] == arguments


def test_exceptions_are_redacted_while_they_are_whole() -> None:
    given = recorder()
    cut = "x" * 1970 + " " + KEY  # the end of a long text would cut the key in half
    with pytest.raises(ValueError, match="xxx"), given.trajectory(agent_id="a") as t, t.step():
        raise ValueError(cut)
    for event in sent(given)[1:]:
        assert "sk-proj" not in event["error"]
        assert len(event["error"]) <= 2000


# -- ids


def test_a_secret_in_an_id_refuses_the_event_and_shows_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = recorder(redact="email")
    with given.trajectory(agent_id="jane@example.com", trajectory_id="of-joe@example.com") as t:
        t.llm_call(model="m", messages=[{"role": "user", "content": "hi"}])
    given.reward("t", "r", 1.0, source="human", outcome_key="jane@example.com")
    assert sent(given) == []
    assert given.counters.rejected == 6
    assert given.last_error is not None
    assert "its outcome_key holds what redaction replaces (email)" in given.last_error
    for text in (caplog.text, given.last_error):
        assert "@example" not in text


def test_a_start_that_may_not_be_sent_as_given_is_sent_bare() -> None:
    given = recorder(redact="email")
    with given.trajectory(agent_id="a", group_key="jane@example.com"):
        pass
    assert [event["type"] for event in sent(given)] == ["trajectory_started", "trajectory_ended"]
    assert "group_key" not in sent(given)[0]


def test_ids_are_not_asked_about() -> None:
    paths: set[str] = set()
    given = recorder(lambda path, value: paths.add(path) or value)  # type: ignore[func-returns-value] # a set's
    with (
        given.trajectory(agent_id="a", scenario="x", policy="m", metadata={"k": 1}) as t,
        t.step(state={"user": {"phone": "1"}}) as step,
    ):
        t.llm_call(model="m", messages=[{"role": "user", "content": "hi"}], cost_usd=1.0)
        step.claim("prediction:x", {"side": "yes"})
        step.reward_component("pnl", 1.0)
    assert paths == {
        *("trajectory_started.metadata.k", "trajectory_started.metadata.{key}"),
        *("llm_call.model", "messages[*].role", "messages[*].content"),
        *("decision.action.type", "decision.state.user.phone", "decision.reward_components.{key}"),
        *("decision.state.{key}", "decision.state.user.{key}"),
        *("decision.claims[*].terms.side", "decision.claims[*].terms.{key}"),
    }


# -- the user's function


def test_a_function_has_the_last_word_but_not_over_patterns() -> None:
    def loud(path: str, value: Any) -> Any:
        return f"{value} {KEY}" if path == "decision.state.a" else value

    given = recorder(loud)
    with given.trajectory(agent_id="a") as t, t.step(state={"a": KEY, "b": 1}):
        pass
    assert of_type(given, "decision")[0]["state"] == {"a": f"{REDACTED} {REDACTED}", "b": 1}


def raising(error: BaseException) -> Any:
    def function(_: str, __: Any) -> Any:
        raise error

    return function


async def late(_: str, value: Any) -> Any:
    return value


def deep(n: int) -> Any:
    return [deep(n - 1)] if n else 1


FAILING: list[Any] = [
    raising(ValueError("Jane Doe")),
    raising(RecursionError()),
    raising(SystemExit(1)),
    raising(MemoryError()),
    *(
        lambda _, __, bad=bad: bad
        for bad in (object(), float("nan"), "\ud800", "\0", {1: 1, "1": 2})
    ),
    lambda _, __: deep(70),
    lambda _, __: {"a": "\udc00"},
    lambda: None,
    lambda _, __, ___: None,
]


@pytest.mark.parametrize("failing", FAILING)
def test_a_function_that_fails_costs_the_value_and_nothing_else(
    failing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    given = recorder(failing)
    with caplog.at_level(logging.WARNING), given.trajectory(agent_id="a") as t:
        with t.step(state={"n": 5}, reasoning="Jane Doe"):
            t.llm_call(model="m", messages=[{"role": "user", "content": "Jane Doe"}])
        t.llm_call(model="m", messages=[{"role": "user", "content": "Jane Doe"}])
    assert [event["type"] for event in sent(given)] == [
        *("trajectory_started", "llm_call", "decision", "llm_call", "trajectory_ended"),
    ]
    assert of_type(given, "decision")[0]["state"] == {BY_ERROR: BY_ERROR}
    assert of_type(given, "decision")[0]["reasoning"] == BY_ERROR
    assert of_type(given, "llm_call")[0]["messages"] == [{"role": BY_ERROR, "content": BY_ERROR}]
    counters = given.counters
    assert (counters.rejected, counters.accepted) == (0, 5)
    assert counters.redaction_errors >= 6
    assert "redaction failed at decision.reasoning" in caplog.text
    assert caplog.text.count("redaction failed at decision.reasoning") == 1
    assert "Jane" not in caplog.text + str(given.last_error)


def test_a_text_stays_a_text() -> None:
    given = recorder(lambda path, value: {"a": 1} if path.endswith("reasoning") else value)
    with given.trajectory(agent_id="a") as t, t.step(reasoning="x", state="y"):
        pass
    assert of_type(given, "decision")[0]["reasoning"] == BY_ERROR


def test_a_number_may_become_any_json() -> None:
    given = recorder(lambda _, value: {"about": [KEY]} if value == 5 else value)
    with given.trajectory(agent_id="a") as t, t.step(state={"n": 5}):
        pass
    assert of_type(given, "decision")[0]["state"] == {"n": {"about": [REDACTED]}}


def test_an_interrupt_by_a_person_goes_on_and_nothing_is_sent() -> None:
    given = recorder(raising(KeyboardInterrupt()))
    t = given.trajectory(agent_id="a")
    with pytest.raises(KeyboardInterrupt):
        t.step(reasoning="x").send()
    assert [event["type"] for event in sent(given)] == ["trajectory_started"]


@pytest.mark.parametrize("function", [late, "text", 5])
def test_what_is_no_function_is_told_at_the_start(function: Any) -> None:
    with pytest.raises(SettingsError, match=r"^redact_value must be a plain function"):
        recorder(function)


# -- what else could show a value


def test_errors_of_others_are_told_by_kind_when_any_value_may_be_hidden() -> None:
    class Odd:
        def model_dump(self, **_: Any) -> Any:
            raise ValueError("Jane Doe")

    for paths, shown in (
        ([], "ValueError: Jane Doe"),
        (["decision.state"], "rejected: ValueError"),
    ):
        given = recorder(redact_paths=paths)
        with given.trajectory(agent_id="a") as t, t.step(state=Odd()):
            pass
        assert given.last_error is not None
        assert shown in given.last_error
        assert ("Jane" in given.last_error) == (not paths)


def test_who_hears_of_deliveries_hears_what_was_sent() -> None:
    heard: list[Delivery] = []
    publisher = MemoryPublisher()
    given = MemoryRecorder(
        RecorderSettings(project="p", service="s"), publisher=publisher, on_delivery=heard.append
    )
    with given.trajectory(agent_id="a", goal=KEY):
        publisher.reachable = False
    publisher.fail("too late")
    assert len(heard) == 2
    assert not [delivery for delivery in heard if KEY.encode() in delivery.value]


def test_a_forked_child_redacts_and_counts_for_itself() -> None:
    given = recorder()
    with given.trajectory(agent_id="a", goal=KEY):
        pass
    reads, writes = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - in the child
        with given.trajectory(agent_id="a", goal=KEY):
            pass
        told = [given.counters.redacted, KEY in str(given.records[-2:])]
        os.write(writes, json.dumps(told).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert json.loads(os.read(reads, 100)) == [1, False]
    assert given.counters.redacted == 1
