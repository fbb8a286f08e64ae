"""The events of a tau-bench replay say exactly what somebody else counted in its file."""

import gzip
import json
from collections import Counter
from functools import cache
from typing import Any

from tests.support.replayed import Life, lives, plain, prompts, replayed
from tests.support.shared_data import logs_of, shared_data, truth_of

from ropewalk_schemas.messages import canonical_message

RUN = "gpt-4o-airline"


@cache
def all_lives() -> dict[str, Life]:
    return lives(replayed(logs_of(shared_data("tau_bench")), "tau-bench"))


def truth() -> dict[str, Any]:
    return truth_of(shared_data("tau_bench"))


def runs() -> list[dict[str, Any]]:
    (path,) = logs_of(shared_data("tau_bench"))
    found: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return found


def conversation(life: Life) -> list[dict[str, Any]]:
    """The last call's prompt and output, and what was said after it."""
    calls = life.calls()
    prompt = prompts(calls)[-1]
    assert prompt is not None
    return [*prompt, *map(plain, calls[-1].output), *map(plain, life.ended.messages)]


def test_every_trajectory_says_what_was_counted_in_the_file() -> None:
    counted = {
        f"{RUN}/{row['trajectory_id']}": {
            "messages": row["messages"],
            "agent_llm_calls": row["agent_llm_calls"],
            "user_messages": row["user_messages"],
            "tool_calls": row["tool_calls"],
            "tool_results": row["tool_results"],
            "tool_names": row["tool_names"],
            "rewards": [row["reward"]],
            "last_role": row["last_role"],
        }
        for row in truth()["per_trajectory"]
    }
    said = {}
    for trajectory_id, life in all_lives().items():
        messages = conversation(life)
        said[trajectory_id] = {
            "messages": len(messages),
            "agent_llm_calls": len(life.calls("main")),
            "user_messages": sum(message["role"] == "user" for message in messages),
            "tool_calls": len(life.decisions),
            "tool_results": sum(decision.error is None for decision in life.decisions),
            "tool_names": sorted({decision.action.type for decision in life.decisions}),
            "rewards": [reward.value for reward in life.rewards],
            "last_role": messages[-1]["role"],
        }
    assert said == counted


def test_the_whole_file_says_what_was_counted_in_it() -> None:
    totals = truth()["totals"]
    every = list(all_lives().values())
    assert len(every) == totals["trajectories"]
    assert len({life.started.group_key for life in every}) == totals["tasks"]
    assert sum(len(conversation(life)) for life in every) == totals["messages"]
    assert sum(len(life.calls()) for life in every) == totals["agent_llm_calls"]
    assert sum(len(life.decisions) for life in every) == totals["tool_calls"]
    by_trial: Counter[str] = Counter()
    for life in every:
        by_trial[str(life.started.metadata["trial"])] += life.rewards[0].value  # type: ignore[assignment] # a float
    assert by_trial == truth()["reward_by_trial"]


def test_each_prompt_put_together_from_deltas_is_the_file_s_messages() -> None:
    for record in runs():
        life = all_lives()[f"{RUN}/{record['task_id']}/{record['trial']}"]
        given = [canonical_message(message) for message in record["traj"]]
        asked = [i for i, message in enumerate(given) if message["role"] == "assistant"]
        assert prompts(life.calls()) == [given[:position] for position in asked]
        assert conversation(life) == given


def test_prompts_travel_as_deltas() -> None:
    calls = [call for life in all_lives().values() for call in life.calls()]
    whole = sum(call.base_call is None for call in calls)
    assert whole < 0.1 * len(calls)


def test_the_missing_clock_is_counted_in_milliseconds_and_marked() -> None:
    for life in all_lives().values():
        assert life.started.metadata["synthetic"] == ["clock", "model"]
        begin = life.started.occurred_at
        steps = [(event.occurred_at - begin).total_seconds() * 1000 for event in life.events]
        assert steps == list(range(len(steps)))
        assert all(call.usage is None and call.cost_usd is None for call in life.calls())
        assert life.started.policy is None


def test_a_conversation_that_was_cut_is_truncated() -> None:
    statuses = Counter(life.ended.status for life in all_lives().values())
    cut = sum(record["info"]["reward_info"] is None for record in runs())
    assert statuses == {"completed": len(runs()) - cut, "truncated": cut}


def test_replaying_the_file_twice_gives_the_same_bytes() -> None:
    files = logs_of(shared_data("tau_bench"))
    assert replayed(files, "tau-bench") == replayed(files, "tau-bench")
