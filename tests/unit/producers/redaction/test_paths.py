import json
from typing import Any

import pytest

from ropewalk_producers import RecorderSettings, SettingsError
from ropewalk_producers.redaction.policy import policy_of
from ropewalk_producers.redaction.redactor import Redactor
from ropewalk_producers.testing import MemoryRecorder

HID = "[redacted:path]"


def redactor(*paths: str) -> Redactor:
    return Redactor(policy_of("none", {}, paths), redacted=lambda: None, failed=lambda *_: None)


def decision(*paths: str, **fields: Any) -> dict[str, Any]:
    out = redactor(*paths).event({"type": "decision", **fields})
    return {name: value for name, value in out.items() if name != "type"}


def message(*paths: str, **fields: Any) -> dict[str, Any]:
    return redactor(*paths).message(fields)


@pytest.mark.parametrize(
    ("path", "state", "out"),
    [
        ("decision.state", {"a": 1}, HID),
        ("decision.state.a", {"a": {"x": 1}, "b": 2}, {"a": HID, "b": 2}),
        ("decision.state.*", {"a": 1, "b": 2}, {"a": HID, "b": HID}),
        ("decision.state[*]", [1, {"a": 2}], [HID, HID]),
        ("decision.state[*].a", [1, {"a": 2}], [1, {"a": HID}]),
        ("decision.state.a[*].b", {"a": [{"b": 1}, {"c": 1}]}, {"a": [{"b": HID}, {"c": 1}]}),
        ("decision.state.**.p", {"p": 1, "a": [{"p": 2}]}, {"p": HID, "a": [{"p": HID}]}),
        ("decision.**.p", {"p": 1, "q": {"r": {"p": 2}}}, {"p": HID, "q": {"r": {"p": HID}}}),
        ('decision.state["a.b *"]', {"a.b *": 1, "a": 1}, {"a.b *": HID, "a": 1}),
        ('decision.state["*"]', {"*": 1, "a": 1}, {"*": HID, "a": 1}),
        ("decision.state.a", '{"a": 1, "b": "x"}', f'{{"a":"{HID}","b":"x"}}'),
        ("decision.state.a", '{ "b": 1 }', '{ "b": 1 }'),
        ("decision.state.a", "no JSON, a", "no JSON, a"),
        ("decision.state.a", '{"a": 1, "a": "[redacted:path]"}', f'{{"a":"{HID}"}}'),
        ("*.state.a", {"a": 1}, {"a": HID}),
        ("decision.state.a.b", {"a": 1}, {"a": 1}),
        ("decision.result.a", {"a": 1}, {"a": 1}),
    ],
)
def test_a_path_hides_what_it_leads_to(path: str, state: Any, out: Any) -> None:
    assert decision(path, state=state) == {"state": out}


def test_an_object_of_the_contract_stays_an_object() -> None:
    action = {"type": "BUY", "parameters": {"size": 1}}
    hid = {"action": {"type": "BUY", "parameters": {"redacted": HID}}}
    assert decision("decision.action.parameters", action=action) == hid
    tools = redactor("llm_call.tools[*]").event({"type": "llm_call", "tools": [{"a": 1}]})
    assert tools["tools"] == [{"redacted": HID}]


def test_texts_of_the_contract() -> None:
    assert decision("decision.reasoning", reasoning="because") == {"reasoning": HID}
    reads = [{"name": "crm", "data": {"phone": 1}, "query": "q"}]
    out = [{"name": "crm", "data": {"phone": HID}, "query": "q"}]
    assert decision("decision.reads[*].data.phone", reads=reads) == {"reads": out}


@pytest.mark.parametrize(
    "path",
    ["llm_call.messages[*].content", "llm_call.output[*].content", "*.messages[*].content"],
)
def test_a_message_is_one_place_wherever_it_stands(path: str) -> None:
    said = {"role": "user", "content": "secret"}
    settings = RecorderSettings(project="p", service="s", redact_paths=[path])
    recorder = MemoryRecorder(settings)
    with recorder.trajectory(agent_id="a", messages=[said]) as t:
        t.llm_call(model="m", messages=[said], output="secret")
        t.llm_call(model="m", messages=[said, {"role": "assistant", "content": "secret"}])
        t.end(messages=[said])
    assert not [value for _, value in recorder.records if b"secret" in value]
    start, first, second, end = (json.loads(value) for _, value in recorder.records)
    assert start["messages"] == end["messages"] == [{"role": "user", "content": HID}]
    assert (second["base_call"], second["messages"]) == (first["call_id"], [])


def test_a_content_is_hidden_in_each_of_its_forms() -> None:
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": "u"}]
    for path in ("*.messages[*].content", "*.messages[*].parts", "*.**.content"):
        assert message(path, role="user", parts=parts) == {"role": "user", "parts": HID}
    for path in ("*.messages[*].content", "*.messages[*].content[*].text", "*.**.content"):
        assert message(path, role="user", content="x") == {"role": "user", "content": HID}
    texts = message("*.messages[*].content[*].text", role="user", parts=parts)
    assert texts["parts"] == [{"type": "text", "text": HID}, parts[1]]
    think = message("*.messages[*].reasoning_content", role="assistant", reasoning="x")
    assert think == {"role": "assistant", "reasoning": HID}


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ('{"password": "hunter2", "n": 1}', f'{{"password":"{HID}","n":1}}'),
        ('{"n": 1}', '{"n": 1}'),
        ('{"password": "hunter2"', "[redacted:error]"),
        ("password=hunter2", "[redacted:error]"),
        ("", ""),
    ],
)
def test_a_path_leads_into_a_tool_calls_arguments(arguments: str, out: str) -> None:
    call = {"id": "1", "function": {"name": "login", "arguments": arguments}}
    path = "llm_call.output[*].tool_calls[*].function.arguments.password"
    sent = message(path, role="assistant", tool_calls=[call])
    assert sent["tool_calls"][0]["function"] == {"name": "login", "arguments": out}


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "begins with an event type"),
        ("decision", "names no field"),
        ("decision.", "is no .name"),
        ("decision..state", "is no .name"),
        ("decision.state[0]", "is no .name"),
        ("decision.state.a b", "is no .name"),
        ("decision.state.**", r"after \*\* comes"),
        ("decision.**.**.a", r"after \*\* comes"),
        ("decisions.state", "event types are trajectory_started, decision"),
        ("decision.goal", "no such event has such a field"),
        ("*.stat", "no such event has such a field"),
        ("decision.trajectory_id", "never changed"),
        ("decision.claims[*].outcome_key", "never changed"),
        ("llm_call.cost_usd", "never changed"),
        ("decision.action_status", "ends at an enumeration"),
        ("decision.action", "go on with one of type, parameters"),
        ("decision.reads", r"a list; go on with \[\*\]"),
        ("decision.reads.data", "no such event has such a field"),
        ("llm_call.messages", r"a list; go on with \[\*\]"),
        ("llm_call.messages[*]", "go on with one of role, content"),
        ("decision.reward_components", "numbers by name"),
        (5, "begins with an event type"),
    ],
)
def test_a_wrong_path_is_told_at_the_start(path: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=f"^redact_paths has .*{problem}"):
        RecorderSettings(project="p", service="s", redact_paths=[path])


@pytest.mark.parametrize(
    "path",
    [
        *("*.metadata.session", "decision.state.user.phone", "*.**.password", "decision.*"),
        *("llm_call.messages[*].content", "llm_call.messages[*].vendor_field", "reward.reason"),
        *(
            "llm_call.messages[*].tool_calls[*].function.arguments.a.b",
            "decision.claims[*].terms.x",
        ),
        *("trajectory_ended.error", "llm_call.finish_reasons[*]", "decision.action.type"),
    ],
)
def test_a_path_that_some_event_could_have_is_taken(path: str) -> None:
    RecorderSettings(project="p", service="s", redact_paths=[path])


def test_paths_and_patterns_come_from_the_environment_as_json() -> None:
    needed = {
        "ROPEWALK_BOOTSTRAP_SERVERS": "k:1",
        "ROPEWALK_PROJECT": "p",
        "ROPEWALK_SERVICE": "s",
    }
    given = {
        "ROPEWALK_REDACT": "secrets, email",
        "ROPEWALK_REDACT_PATHS": '["decision.state.a"]',
        "ROPEWALK_REDACT_PATTERNS": '{"customer": "C-[0-9]+"}',
    }
    settings = RecorderSettings.from_environment(needed | given)
    assert (settings.redact, settings.redact_paths) == ("secrets, email", ["decision.state.a"])
    assert settings.redact_patterns == {"customer": "C-[0-9]+"}
    for name, text in {
        "ROPEWALK_REDACT": "mail",
        "ROPEWALK_REDACT_PATHS": "decision.state",
        "ROPEWALK_REDACT_PATTERNS": '["x"]',
    }.items():
        with pytest.raises(SettingsError, match=f"^{name} "):
            RecorderSettings.from_environment(needed | {name: text})
