"""The events of a tau2 replay say exactly what somebody else counted in its files."""

import gzip
import json
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from tests.support.replayed import Life, lives, plain, prompts, replayed
from tests.support.shared_data import logs_of, shared_data, truth_of

from ropewalk_producers.importers.logged import parsed_arguments
from ropewalk_schemas.codec import decode_event
from ropewalk_schemas.events import LLMCall
from ropewalk_schemas.windows import to_micros, window_start

COST = 1e-9


@cache
def all_lives() -> dict[str, Life]:
    return lives(replayed(logs_of(shared_data("tau2_dev")), "tau2"))


def truth() -> dict[str, Any]:
    return truth_of(shared_data("tau2_dev"))


def rows() -> list[tuple[dict[str, Any], Life]]:
    counted = {f"{row['run']}/{row['trajectory_id']}": row for row in truth()["per_trajectory"]}
    assert counted.keys() == all_lives().keys()
    return [(counted[key], life) for key, life in all_lives().items()]


def n_messages(life: Life) -> int:
    results = sum(decision.result is not None for decision in life.decisions)
    opening, closing = len(life.started.messages), len(life.ended.messages)
    return opening + len(life.calls()) + results + closing


def tokens(calls: list[LLMCall]) -> tuple[int, int]:
    usages = [call.usage for call in calls if call.usage]
    assert len(usages) == len(calls)
    return sum(u.input_tokens or 0 for u in usages), sum(u.output_tokens or 0 for u in usages)


def cost(calls: list[LLMCall]) -> float:
    return sum(call.cost_usd or 0.0 for call in calls)


def test_every_trajectory_says_what_was_counted_in_the_file() -> None:
    for row, life in rows():
        agent, user = life.calls("main"), life.calls("user")
        threads = {call.call_id: call.thread for call in life.calls()}
        by_side = Counter(threads[decision.calls[0]] for decision in life.decisions)
        assert {
            "task_id": life.started.group_key,
            "trial": life.started.metadata["trial"],
            "reward": [reward.value for reward in life.rewards],
            "termination": life.ended.termination,
            "messages": n_messages(life),
            "llm_calls": (len(agent), len(user)),
            "tool_calls": (by_side["main"], by_side["user"]),
            "tool_errors": sum(d.action_status == "failed" for d in life.decisions),
            "agent_tokens": tokens(agent),
            "user_tokens": tokens(user),
        } == {
            "task_id": row["task_id"],
            "trial": row["trial"],
            "reward": [row["reward"]],
            "termination": row["termination"],
            "messages": row["messages"],
            "llm_calls": (row["llm_calls_agent"], row["llm_calls_user"]),
            "tool_calls": (row["tool_calls_agent"], row["tool_calls_user"]),
            "tool_errors": row["tool_errors"],
            "agent_tokens": (row["agent_prompt_tokens"], row["agent_completion_tokens"]),
            "user_tokens": (row["user_prompt_tokens"], row["user_completion_tokens"]),
        }
        assert cost(agent) == pytest.approx(row["message_cost_agent"], abs=COST)
        assert cost(user) == pytest.approx(row["message_cost_user"], abs=COST)


def test_all_files_together_say_what_was_counted_in_them() -> None:
    totals, every = truth()["totals"], list(all_lives().values())
    calls = [call for life in every for call in life.calls()]
    decisions = [decision for life in every for decision in life.decisions]
    assert {
        "trajectories": len(every),
        "messages": sum(map(n_messages, every)),
        "llm_calls_agent": sum(call.thread == "main" for call in calls),
        "llm_calls_user": sum(call.thread == "user" for call in calls),
        "tool_calls_agent": len(decisions),
        "tool_results": sum(decision.result is not None for decision in decisions),
        "tool_errors": sum(decision.action_status == "failed" for decision in decisions),
        "reward_sum": sum(reward.value for life in every for reward in life.rewards),
        "tokens": tokens(calls),
    } == {
        **{
            name: totals[name]
            for name in (
                "trajectories",
                "messages",
                "llm_calls_agent",
                "llm_calls_user",
                "tool_calls_agent",
                "tool_results",
                "tool_errors",
                "reward_sum",
            )
        },
        "tokens": (totals["prompt_tokens"], totals["completion_tokens"]),
    }
    assert cost(calls) == pytest.approx(totals["cost"], abs=COST)


def test_each_run_says_what_was_counted_in_it() -> None:
    for run, counted in truth()["by_run"].items():
        of_run = [life for key, life in all_lives().items() if key.startswith(f"{run}/")]
        assert counted == {
            "trajectories": len(of_run),
            "reward_sum": sum(life.rewards[0].value for life in of_run),
            "messages": sum(map(n_messages, of_run)),
            "llm_calls": sum(len(life.calls()) for life in of_run),
            "tool_calls": sum(len(life.decisions) for life in of_run),
        }


@pytest.mark.parametrize("length_s", [60, 300, 3600])
def test_calls_fall_into_the_windows_that_were_counted(length_s: int) -> None:
    windows: dict[int, list[LLMCall]] = defaultdict(list)
    for life in all_lives().values():
        for call in life.calls():
            start = window_start(to_micros(call.occurred_at), length_s) // 1_000_000
            windows[start].append(call)
    said = [
        [start, len(calls), *tokens(calls), len({call.trajectory_id for call in calls})]
        for start, calls in sorted(windows.items())
    ]
    counted = truth()["llm_call_windows_event_time"][str(length_s)]
    assert said == counted["rows_start_calls_prompt_completion_trajectories"]
    assert sum(row[-1] for row in said) == counted["trajectory_windows"]


def test_the_replay_keeps_the_order_in_which_the_conversations_interleaved() -> None:
    records = replayed(logs_of(shared_data("tau2_dev")), "tau2")
    sent = [decode_event(record.value).event for record in records]
    instants = [event.occurred_at for event in sent]
    assert instants == sorted(instants)
    switches = sum(a.trajectory_id != b.trajectory_id for a, b in pairwise(sent))
    assert switches > len(all_lives())


def test_the_agent_s_last_prompt_and_what_follows_is_the_file_s_conversation() -> None:
    for path in logs_of(shared_data("tau2_dev")):
        for simulation in json.loads(gzip.decompress(path.read_bytes()))["simulations"]:
            life = all_lives()[f"{path.name.removesuffix('.json.gz')}/{simulation['id']}"]
            *_, last = life.calls("main")
            *_, prompt = prompts(life.calls("main"))
            assert prompt is not None
            after = life.calls()[life.calls().index(last) :]
            heard = [*prompt, *(plain(message) for call in after for message in call.output)]
            assert [_comparable(m) for m in heard] == [
                _comparable(m) for m in simulation["messages"]
            ]


def _comparable(message: dict[str, Any]) -> tuple[Any, ...]:
    """A message of an event or of the file: tool arguments parsed."""
    calls = [
        (call["id"], named["name"], parsed_arguments(named["arguments"]))
        for call in message.get("tool_calls") or []
        for named in [call.get("function", call)]
    ]
    answered = message.get("tool_call_id") or message.get("id")
    return message["role"], message.get("content"), answered, calls


def test_the_greeting_opens_the_conversation_and_the_user_keeps_its_role() -> None:
    for life in all_lives().values():
        (greeting,) = life.started.messages
        assert (greeting.role, greeting.content) == ("assistant", "Hi! How can I help you today?")
        assert all(call.messages is None for call in life.calls("user"))
        assert {m.role for call in life.calls("user") for m in call.output} == {"user"}


def test_replaying_the_files_twice_gives_the_same_bytes() -> None:
    files = logs_of(shared_data("tau2_dev"))
    assert replayed(files, "tau2") == replayed(files, "tau2")
