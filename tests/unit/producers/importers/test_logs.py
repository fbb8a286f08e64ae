"""Cases that real logs have now and then, each as small as it can be."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.replayed import SETTINGS, lives, replayed

from ropewalk_producers.importers import tau2, tau_bench
from ropewalk_producers.importers.logged import (
    NO_RESULT,
    LogError,
    LoggedDecision,
    LoggedTrajectory,
    parsed_arguments,
    parsed_result,
)
from ropewalk_producers.importers.replay import read_logs, recorder_for, send
from ropewalk_producers.testing import MemoryPublisher


def asking(*tool_calls: tuple[str, str, str]) -> dict[str, Any]:
    calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in tool_calls
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def answering(id_: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "name": "f", "content": content}


def bench_run(*messages: dict[str, Any], **info: Any) -> LoggedTrajectory:
    record = {
        "task_id": 7,
        "trial": 2,
        "reward": 1.0,
        "info": {"reward_info": {"reward": 1.0}, **info},
        "traj": list(messages),
    }
    (trajectory,) = tau_bench.parse([record], run="r")
    return trajectory


def decisions(trajectory: LoggedTrajectory) -> list[LoggedDecision]:
    return [event for event in trajectory.events if isinstance(event, LoggedDecision)]


def test_a_turn_with_twelve_tool_calls_is_twelve_decisions_on_one_call() -> None:
    asked = [(f"c{n}", "f", json.dumps({"n": n})) for n in range(12)]
    results = [answering(f"c{n}", json.dumps({"n": n})) for n in range(12)]
    found = decisions(bench_run(asking(*asked), *results))
    assert [decision.arguments for decision in found] == [{"n": n} for n in range(12)]
    assert [decision.result for decision in found] == [{"n": n} for n in range(12)]
    assert {decision.call for decision in found} == {0}


def test_results_go_to_calls_by_order_when_their_ids_repeat() -> None:
    trajectory = bench_run(
        asking(("same", "f", "{}")), answering("same", "first"),
        asking(("same", "g", "{}")), answering("same", "second"),
    )  # fmt: skip
    found = decisions(trajectory)
    assert [(d.name, d.result, d.call) for d in found] == [("f", "first", 0), ("g", "second", 1)]


def test_a_tool_call_without_result_failed_and_says_so() -> None:
    first, second = decisions(
        bench_run(asking(("a", "f", "{}"), ("b", "g", "{}")), answering("a", "1"))
    )
    assert (first.status, first.result, first.error) == ("executed", "1", None)
    assert (second.status, second.result, second.error) == ("failed", None, NO_RESULT)


def test_a_run_that_died_is_failed_with_its_error_and_has_no_conversation() -> None:
    trajectory = bench_run(reward_info=None, error="rate limit", traceback="...")
    assert (trajectory.end.status, trajectory.end.error) == ("failed", "rate limit")
    assert trajectory.end.metadata["traceback"] == "..."


def test_what_was_said_after_the_last_call_closes_the_conversation() -> None:
    said = {"role": "user", "content": "###STOP###"}
    trajectory = bench_run(asking(("a", "f", "{}")), answering("a", "1"), said)
    assert trajectory.end.messages == [answering("a", "1"), said]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("[1]", {"arguments": "[1]"}),
        ("{broken", {"arguments": "{broken"}),
        ("", {"arguments": ""}),
    ],
)
def test_arguments_that_are_no_object_are_kept_as_text(given: object, expected: object) -> None:
    assert parsed_arguments(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1, 2]", [1, 2]),
        ("12", "12"),
        ("true", "true"),
        ("NaN", "NaN"),
        ('{"a": NaN}', '{"a": NaN}'),
        ("Error: no", "Error: no"),
    ],
)
def test_results_are_parsed_only_when_they_are_objects_or_lists(
    given: str, expected: object
) -> None:
    assert parsed_result(given) == expected


def spoken(role: str, second: int, **said: Any) -> dict[str, Any]:
    at = f"2025-08-01T16:20:{second:02d}.5"
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return {"role": role, "content": None, "timestamp": at, "usage": usage, "cost": 0.1} | said


def tool_call(id_: str, requestor: str) -> dict[str, Any]:
    return {"id": id_, "name": "f", "arguments": {"x": id_}, "requestor": requestor}


def result(id_: str, requestor: str, second: int, **said: Any) -> dict[str, Any]:
    at = f"2025-08-01T16:20:{second:02d}.5"
    told = {"role": "tool", "id": id_, "content": "ok", "requestor": requestor, "error": False}
    return told | {"timestamp": at} | said


def simulated(*messages: dict[str, Any], reason: str = "user_stop") -> LoggedTrajectory:
    who = {"implementation": "llm_agent", "llm": "m", "llm_args": {"temperature": 0}}
    simulation = {
        "id": "s1",
        "task_id": "3",
        "trial": 0,
        "seed": 9,
        "start_time": "2025-08-01T16:20:00",
        "end_time": "2025-08-01T16:21:00",
        "termination_reason": reason,
        "reward_info": None,
        "messages": list(messages),
    }
    data = {
        "info": {
            "agent_info": who,
            "user_info": {**who, "llm": "u"},
            "environment_info": {"domain_name": "telecom", "tool_defs": None},
        },
        "tasks": [{"id": "3", "purpose": "p"}],
        "simulations": [simulation],
    }
    (trajectory,) = tau2.parse(data, run="r")
    return trajectory


def test_the_agent_never_sees_what_the_user_does_with_tools_of_its_own() -> None:
    trajectory = simulated(
        spoken("user", 1, content="wait"),
        spoken("user", 2, tool_calls=[tool_call("u1", "user")]),
        result("u1", "user", 3),
        spoken("assistant", 4, content="well?"),
    )
    *_, agent_call = [event for event in trajectory.events if not isinstance(event, LoggedDecision)]
    assert agent_call.prompt is not None
    assert [message["content"] for message in agent_call.prompt] == ["wait"]
    assert [(d.name, d.call) for d in decisions(trajectory)] == [("f", 1)]


def test_a_tool_error_of_the_log_is_a_failed_decision_that_keeps_its_text() -> None:
    trajectory = simulated(
        spoken("assistant", 1, tool_calls=[tool_call("a", "assistant")]),
        result("a", "assistant", 2, error=True, content="Error: no such user"),
    )
    (decision,) = decisions(trajectory)
    assert (decision.status, decision.error) == ("failed", "Error: no such user")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("user_stop", "completed"),
        ("agent_stop", "completed"),
        ("max_steps", "truncated"),
        ("too_many_errors", "failed"),
        ("cosmic_ray", "failed"),
    ],
)
def test_the_log_s_reason_decides_the_status(reason: str, status: str) -> None:
    end = simulated(spoken("assistant", 1, content="hi"), reason=reason).end
    assert (end.status, end.termination) == (status, reason)
    assert end.reward is None


def test_the_model_s_own_text_of_the_arguments_is_kept() -> None:
    raw = {"message": {"tool_calls": [{"function": {"name": "f", "arguments": '{ "x":"a"}'}}]}}
    trajectory = simulated(
        spoken("assistant", 1, tool_calls=[tool_call("a", "assistant")], raw_data=raw)
    )
    output = trajectory.events[0].output  # type: ignore[union-attr] # a call
    assert output["tool_calls"][0]["function"]["arguments"] == '{ "x":"a"}'


def a_file(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


RUN = {"task_id": 1, "trial": 0, "reward": 0.0, "info": {}, "traj": [asking(("a", "f", "{}"))]}


@pytest.mark.parametrize("name", ["my.run.json", "my.run.json.gz"])
def test_the_run_is_the_file_s_name_unless_it_is_given(tmp_path: Path, name: str) -> None:
    path = a_file(tmp_path, name, [RUN])
    assert lives(replayed([path], "tau-bench")).keys() == {"my.run/1/0"}
    assert lives(replayed([path], "tau-bench", run="other")).keys() == {"other/1/0"}


@pytest.mark.parametrize(
    ("log_format", "content", "says"),
    [
        ("tau-bench", {"simulations": []}, "a tau-bench file is a JSON list"),
        ("tau-bench", [RUN, {"task_id": 1}], "run 1 is not a tau-bench run: KeyError"),
        ("tau2", [RUN], "a tau2 file is a JSON object"),
        ("tau2", {"simulations": [{}]}, "simulation 0 is not a tau2 simulation: KeyError"),
        ("tau2", b"{", "is not JSON"),
        ("tau3", {}, "unknown log format 'tau3'; known are tau-bench, tau2"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(
    tmp_path: Path, log_format: str, content: object, says: str
) -> None:
    path = a_file(tmp_path, "log.json", content)
    with pytest.raises(LogError, match=says) as raised:
        read_logs([path], format=log_format, run=None)
    assert log_format == "tau3" or str(path) in str(raised.value)


def test_a_file_that_is_no_gzip_or_not_there_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "log.json.gz"
    broken.write_bytes(b"no gzip")
    for path in (broken, tmp_path / "absent.json"):
        with pytest.raises(LogError, match=f"{path.name} cannot be read"):
            read_logs([path], format="tau2", run=None)


def test_two_files_with_the_same_ids_are_refused(tmp_path: Path) -> None:
    paths = [a_file(tmp_path, name, [RUN]) for name in ("a.json", "b.json")]
    assert len(read_logs(paths, format="tau-bench", run=None)) == 2
    with pytest.raises(LogError, match="same/1/0 is there twice"):
        read_logs(paths, format="tau-bench", run="same")


def test_a_replay_stops_when_the_broker_gives_up_on_an_event(tmp_path: Path) -> None:
    trajectories = read_logs([a_file(tmp_path, "a.json", [RUN])], format="tau-bench", run=None)
    publisher = MemoryPublisher(reachable=False)
    recorder = recorder_for("tau-bench", SETTINGS, publisher)
    told: list[tuple[int, int]] = []

    def progress(sent: int, total: int) -> None:
        told.append((sent, total))
        if sent == 2:
            publisher.fail("the broker is away")

    assert send(recorder, trajectories, progress=progress) == 3
    assert told == [(0, 5), (1, 5), (2, 5), (3, 5)]
    report = recorder.close(0)
    assert (report.failed, report.complete) == (2, False)


def test_a_whole_replay_tells_how_far_it_is(tmp_path: Path) -> None:
    trajectories = read_logs([a_file(tmp_path, "a.json", [RUN])], format="tau-bench", run=None)
    told: list[tuple[int, int]] = []
    recorder = recorder_for("tau-bench", SETTINGS, MemoryPublisher())
    assert send(recorder, trajectories, progress=lambda *so_far: told.append(so_far)) == 5
    assert told[-1] == (5, 5)
