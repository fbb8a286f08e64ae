"""What a part tells: order, pooled messages, prompts, tools, token sequences, steps and sums."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bench import IDLE_MS, Bench, some_settings
from tests.support.engine_logs import a_log
from tests.support.engine_runs import pure_run
from tests.support.events import (
    a_call,
    a_close,
    a_decision,
    a_reward,
    a_start,
    an_end,
    assistant,
    at,
    says,
    user,
)
from tests.support.strategies import json_objects

from ropewalk_schemas.events import LifeEvent, Policy, Usage
from ropewalk_schemas.messages import FunctionCall, Message, ToolCall
from ropewalk_schemas.trajectory import Trajectory


def assembled(*events: LifeEvent) -> Trajectory:
    """The part of a trajectory that holds `events` between its start and its end."""
    bench = Bench()
    bench.send(a_start(), *events, an_end(len(events) + 1))
    return bench.part()


def contents(part: Trajectory) -> list[str | None]:
    return [message.content for message in part.messages]


def inputs(part: Trajectory) -> list[list[int] | None]:
    return [call.input for call in part.llm_calls]


# -- order


def test_a_writers_events_are_told_by_seq_whatever_came_first() -> None:
    bench = Bench()
    bench.send(an_end(3), a_decision(2), a_start(), a_decision(1))
    assert [step.event_id for step in bench.part().steps] == ["w-a-1", "w-a-2"]


def test_writers_are_merged_by_lowest_offset() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(1), a_decision(0, w="w-b"), a_decision(2))
    bench.send(a_close(1, w="w-b"), a_decision(3), an_end(4))
    ids = [step.event_id for step in bench.part().steps]
    assert ids == ["w-a-1", "w-b-0", "w-a-2", "w-a-3"]


def test_a_late_seq_holds_up_what_its_writer_sent_after_it() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(2), a_decision(0, w="w-b"), a_decision(1))
    bench.send(a_close(1, w="w-b"), an_end(3))
    # w-a's seq 1 came after w-b's seq 0, and its seq 2 waits for it.
    assert [step.event_id for step in bench.part().steps] == ["w-b-0", "w-a-1", "w-a-2"]


def test_steps_are_numbered_per_part() -> None:
    bench = Bench(some_settings(max_bytes=600))
    bench.send(a_start(), a_decision(1), a_decision(2), a_decision(3), an_end(4))
    numbers = [[step.step for step in part.steps] for part in bench.parts()]
    assert len(numbers) > 1
    assert numbers == [list(range(len(part))) for part in numbers]


# -- messages


def test_a_prompt_that_repeats_the_history_is_stored_once() -> None:
    said = [user("a"), assistant("b"), user("c")]
    part = assembled(
        a_call(1, messages=said[:1], output=said[1:2]),
        a_call(2, messages=said, output=[assistant("d")]),
    )
    assert contents(part) == ["a", "b", "c", "d"]
    assert inputs(part) == [[0], [0, 1, 2]]
    assert [call.output for call in part.llm_calls] == [[1], [3]]
    assert part.linear


def test_the_same_text_twice_in_one_prompt_is_two_messages() -> None:
    part = assembled(a_call(1, messages=[user("go"), assistant("ok"), user("go")]))
    assert contents(part) == ["go", "ok", "go"]
    assert inputs(part) == [[0, 1, 2]]


def test_an_output_that_says_again_what_the_prompt_said_is_another_message() -> None:
    again = [user("hi"), assistant("ok"), user("more")]
    part = assembled(
        a_call(1, messages=again, output=[assistant("ok")]),
        a_call(2, messages=[*again, assistant("ok")]),
    )
    assert contents(part) == ["hi", "ok", "more", "ok"]
    assert inputs(part) == [[0, 1, 2], [0, 1, 2, 3]]
    assert part.llm_calls[0].output == [3]


def test_opening_messages_are_those_the_first_prompt_repeats() -> None:
    bench = Bench()
    hello = assistant("Hello")
    bench.send(
        a_start(messages=[hello]),
        a_call(1, messages=[hello, user("Hi")], output=[assistant("Yes?")]),
        an_end(2, messages=[user("Bye")]),
    )
    part = bench.part()
    assert contents(part) == ["Hello", "Hi", "Yes?", "Bye"]
    assert (inputs(part), part.linear) == ([[0, 1]], True)


def test_closing_messages_come_last_whichever_writer_ended() -> None:
    bench = Bench()
    bench.send(a_start(), an_end(1, handed_to=["w-b"], messages=[user("Bye")]))
    bench.send(a_call(0, w="w-b", messages=[user("Hi")]), a_close(1, w="w-b"))
    assert contents(bench.part()) == ["Hi", "Bye"]


def test_an_output_is_kept_where_the_prompt_is_not_known() -> None:
    part = assembled(
        a_call(1, messages=None, output=[assistant("ok")], thread="user"),
        a_call(2, messages=None, output=[assistant("ok")], thread="user"),
    )
    assert contents(part) == ["ok", "ok"]
    assert inputs(part) == [None, None]
    assert [call.output for call in part.llm_calls] == [[0], [1]]


def test_a_part_whose_only_unknown_prompts_are_a_users_stays_linear() -> None:
    part = assembled(
        a_call(1, messages=[user("Hi")], output=[assistant("Yes?")]),
        a_call(2, messages=None, output=[user("Buy")], thread="user"),
        a_call(3, messages=[user("Hi"), assistant("Yes?"), user("Buy")], output=[assistant("Ok")]),
    )
    assert contents(part) == ["Hi", "Yes?", "Buy", "Ok"]
    assert part.linear


def test_a_history_that_was_edited_is_not_linear() -> None:
    part = assembled(
        a_call(1, messages=[user("a")], output=[assistant("b")]),
        a_call(2, messages=[user("A"), assistant("b"), user("c")]),
    )
    assert contents(part) == ["a", "b", "A", "c"]
    assert inputs(part) == [[0], [2, 1, 3]]
    assert not part.linear


def test_a_history_that_was_cut_short_is_not_linear() -> None:
    part = assembled(
        a_call(1, messages=[user("a"), user("b")], output=[assistant("c")]),
        a_call(2, messages=[user("b"), assistant("c"), user("d")]),
    )
    assert not part.linear


def test_messages_of_another_threads_prompt_end_linear() -> None:
    judge = a_call(2, messages=[user("Judge this")], thread="judge")
    assert not assembled(a_call(1, messages=[user("Hi")]), judge).linear


def test_another_threads_prompt_that_brings_nothing_of_its_own_stays_linear() -> None:
    judge = a_call(2, messages=[user("Hi")], thread="judge")
    assert assembled(a_call(1, messages=[user("Hi")]), judge).linear


def buys(arguments: str) -> Message:
    call = ToolCall(id="c", function=FunctionCall(name="buy", arguments=arguments))
    return says("assistant", tool_calls=[call])


@pytest.mark.parametrize(
    ("first", "second", "n"),
    [
        ('{"a":1,"b":2}', '{ "b": 2, "a": 1 }', 1),
        ('{"a":1}', '{"a":2}', 2),
        ("not json", "not  json", 2),
    ],
)
def test_the_layout_of_tool_arguments_does_not_matter(first: str, second: str, n: int) -> None:
    part = assembled(a_call(1, messages=[buys(first)]), a_call(2, messages=[buys(second)]))
    assert len(part.messages) == n
    tool_calls = part.messages[0].tool_calls or []
    assert tool_calls[0].function.arguments == first  # the model's own text


# -- deltas


def test_a_delta_says_what_its_base_was_given_and_said() -> None:
    part = assembled(
        a_call(1, messages=[user("a")], output=[assistant("b")]),
        a_call(2, base_call="call-1", base_messages=2, messages=[user("c")]),
        a_call(3, base_call="call-1", base_messages=1, messages=[user("d")]),
    )
    assert inputs(part) == [[0], [0, 1, 2], [0, 3]]


def test_a_delta_without_its_base_keeps_its_place_and_its_output() -> None:
    delta = a_call(
        1, base_call="lost", base_messages=1, messages=[user("c")], output=[assistant("d")]
    )
    part = assembled(delta, a_call(2, base_call="call-1", base_messages=1))
    assert inputs(part) == [None, None]
    assert contents(part) == ["d"]
    assert part.llm_calls[0].output == [0]


def test_a_base_may_come_later_than_its_delta() -> None:
    bench = Bench()
    bench.send(a_start(), a_call(2, base_call="call-1", base_messages=1))
    bench.send(a_call(1, messages=[user("a")]), an_end(3))
    assert inputs(bench.part()) == [[0], [0]]


WORDS = st.sampled_from(["a", "b", "c"])
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["main", "main", "judge"]),
        st.integers(0, 99),  # how much of the thread's history stays
        st.lists(WORDS, max_size=3),
        st.lists(WORDS, max_size=2),
        st.sampled_from([None, [], [{"name": "buy"}], [{"name": "sell"}]]),
    ),
    max_size=8,
)


@given(TURNS)
def test_a_conversation_sent_as_deltas_reads_as_if_sent_whole(turns: list[Any]) -> None:
    def send(*, deltas: bool) -> Bench:
        bench = Bench()
        bench.send(a_start())
        said: dict[str, list[Message]] = {}
        last: dict[str, str] = {}
        tools: dict[str, Any] = {}
        for seq, (thread, keep, new, output, given_tools) in enumerate(turns, start=1):
            before = said.get(thread, [])
            kept = before[: keep % (len(before) + 1)] if keep % 5 == 0 else before
            asked, answered = [user(t) for t in new], [assistant(t) for t in output]
            changes: dict[str, Any] = {"messages": [*kept, *asked]}
            used = given_tools if given_tools is not None else tools.get(thread)
            if not deltas or thread not in last:
                changes["tools"] = used
            else:
                changes = {"base_call": last[thread], "base_messages": len(kept)}
                changes |= {"messages": asked, "tools": given_tools}
            tools[thread] = used
            bench.send(a_call(seq, thread=thread, output=answered, **changes))
            said[thread], last[thread] = [*kept, *asked, *answered], f"call-{seq}"
        bench.send(an_end(len(turns) + 1))
        return bench

    whole, delta = send(deltas=False).part(), send(deltas=True).part()
    for name in ("messages", "llm_calls", "linear", "tool_sets"):
        assert getattr(whole, name) == getattr(delta, name)


# -- tools


def test_each_set_of_tools_is_stored_once_whatever_its_layout() -> None:
    buy = {"name": "buy", "parameters": {"a": 1, "b": 2}}
    same = {"parameters": {"b": 2, "a": 1}, "name": "buy"}
    part = assembled(
        a_call(1, tools=[buy], messages=[]),
        a_call(2, tools=[same], messages=[]),
        a_call(3, tools=[{"name": "sell"}], messages=[]),
        a_call(4, tools=[], messages=[]),
        a_call(5, messages=[]),
    )
    assert part.tool_sets == [[buy], [{"name": "sell"}]]
    assert [call.tools for call in part.llm_calls] == [0, 0, 1, None, None]


def test_a_delta_has_the_tools_of_its_base_unless_it_names_its_own() -> None:
    delta: dict[str, Any] = {"base_call": "call-1", "base_messages": 0}
    part = assembled(
        a_call(1, tools=[{"name": "buy"}], messages=[]),
        a_call(2, **delta),
        a_call(3, tools=[], **delta),
        a_call(4, tools=[{"name": "sell"}], **delta),
        a_call(5, base_call="call-4", base_messages=0),
    )
    assert [call.tools for call in part.llm_calls] == [0, 0, None, 1, 1]


# -- token sequences


def tokens(seq: int, prompt: list[int] | None, output: list[int], **changes: Any) -> LifeEvent:
    given = {"messages": [], "prompt_token_ids": prompt, "output_token_ids": output}
    return a_call(seq, **given | changes)


def test_a_call_whose_prompt_goes_on_extends_its_sequence() -> None:
    part = assembled(
        tokens(1, [1, 2], [3], output_logprobs=[-0.5]),
        tokens(2, [1, 2, 3, 4], [5, 6], output_logprobs=[-1, -2]),
    )
    (sequence,) = part.sequences
    assert sequence.token_ids == [1, 2, 3, 4, 5, 6]
    assert sequence.loss_mask == [False, False, True, False, True, True]
    assert sequence.logprobs == [None, None, -0.5, None, -1, -2]
    spans = [(c.sequence, c.span_start, c.span_end) for c in part.llm_calls]
    assert spans == [(0, 2, 3), (0, 4, 6)]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (tokens(2, [1, 9, 3], [4]), "prompt_diverged"),
        (tokens(2, [1, 2], [4]), "prompt_diverged"),  # shorter than what is there
        (tokens(2, [1, 2, 3], [4], policy_version="v2"), "policy_changed"),
        (tokens(2, None, [4]), "prompt_unknown"),
    ],
)
def test_a_call_that_does_not_go_on_starts_another_sequence_and_says_why(
    second: LifeEvent, why: str
) -> None:
    part = assembled(tokens(1, [1, 2], [3]), second)
    assert [s.break_reason for s in part.sequences] == [None, why]
    assert part.sequences[1].token_ids[-1] == 4
    assert part.llm_calls[1].sequence == 1


def test_threads_have_sequences_of_their_own() -> None:
    part = assembled(
        tokens(1, [1], [2]),
        tokens(2, [9], [8], thread="judge"),
        tokens(3, [1, 2], [3]),
    )
    assert [s.token_ids for s in part.sequences] == [[1, 2, 3], [9, 8]]
    assert [s.break_reason for s in part.sequences] == [None, None]


def test_logprobs_that_do_not_fit_their_tokens_are_left_out() -> None:
    part = assembled(tokens(1, [1], [2, 3], output_logprobs=[-0.5]))
    assert part.sequences[0].logprobs == [None, None, None]


def test_a_call_without_output_tokens_has_no_span() -> None:
    part = assembled(a_call(1, messages=[], prompt_token_ids=[1]))
    assert part.sequences == []
    assert part.llm_calls[0].sequence is None


# -- steps, calls, sums


def test_steps_point_to_their_calls_and_calls_to_their_first_step() -> None:
    part = assembled(
        a_call(1, messages=[]),
        a_call(2, messages=[]),
        a_decision(3, calls=["call-2", "call-1", "unheard of"]),
        a_decision(4, calls=["call-2"]),
        a_call(5, messages=[]),
    )
    assert [step.calls for step in part.steps] == [[1, 0], [1]]
    assert [call.step for call in part.llm_calls] == [0, 0, None]


def test_sums_are_unknown_when_no_call_knows_them() -> None:
    part = assembled(a_call(1, messages=[]), a_call(2, messages=[], usage=Usage()))
    assert (part.input_tokens, part.output_tokens, part.cost_usd) == (None, None, None)


def test_sums_are_over_the_calls_that_know() -> None:
    part = assembled(
        a_call(1, messages=[], usage=Usage(input_tokens=3, output_tokens=0), cost_usd=0.1),
        a_call(2, messages=[], usage=Usage(input_tokens=4), cost_usd=0.2),
        a_call(3, messages=[]),
    )
    assert (part.input_tokens, part.output_tokens) == (7, 0)
    assert part.cost_usd == pytest.approx(0.3)
    assert (part.n_llm_calls, part.n_steps, part.n_events) == (3, 0, 5)


# -- what is repeated, merged and kept


def test_the_end_adds_to_the_metadata_of_the_start() -> None:
    bench = Bench()
    bench.send(a_start(metadata={"a": 1, "b": {"c": 2}}), an_end(1, metadata={"b": 3, "d": 4}))
    assert bench.part().metadata == {"a": 1, "b": 3, "d": 4}


def test_every_part_repeats_what_the_start_said() -> None:
    bench = Bench(some_settings(max_bytes=1))
    policy = Policy(model="m", version="v1")
    bench.send(
        a_start(scenario="s", policy=policy, goal="win", seed=-7, group_key="g",
                episode_id="e", metadata={"a": [1, 2.5, None]}),
        a_decision(1),
        an_end(2, status="failed", termination="bust", error="oops", metadata={"z": 1}),
    )  # fmt: skip
    bench.restart()
    for part in bench.parts():
        said = (part.scenario, part.policy, part.policy_version, part.goal, part.seed)
        assert said == ("s", "m", "v1", "win", -7)
        assert (part.group_key, part.episode_id, part.agent_id) == ("g", "e", "agent-a")
    assert [part.metadata for part in bench.parts()] == [
        {"a": [1, 2.5, None]},
        {"a": [1, 2.5, None]},
        {"a": [1, 2.5, None], "z": 1},
    ]
    assert [part.status for part in bench.parts()] == [None, None, "failed"]
    last = bench.parts()[-1]
    assert (last.termination, last.error) == ("bust", "oops")


def test_metadata_too_large_to_repeat_stays_in_part_0() -> None:
    bench = Bench(some_settings(max_bytes=1))
    bench.send(a_start(metadata={"a": "x" * 10_000}, goal="y" * 10_000), an_end(1))
    first, second = bench.parts()
    assert (first.metadata, first.goal) == ({"a": "x" * 10_000}, "y" * 10_000)
    assert (second.metadata, second.goal) == ({"see_part": 0}, None)


@given(json_objects(), json_objects())
def test_a_restart_changes_no_byte_of_what_a_start_said(
    metadata: dict[str, Any], added: dict[str, Any]
) -> None:
    runs = []
    for restarts in (False, True):
        bench = Bench(some_settings(max_bytes=1))
        bench.send(a_start(metadata=metadata))
        if restarts:
            bench.restart()
        bench.send(a_decision(1), an_end(2, metadata=added))
        runs.append(bench.given)
    assert runs[0] == runs[1]


def test_fields_of_a_newer_schema_are_kept_by_event() -> None:
    part = assembled(a_decision(1, new_field={"a": [1]}), a_decision(2))
    assert part.extra == {"w-a-1": {"new_field": {"a": [1]}}}


def test_free_form_json_is_passed_on_as_it_came() -> None:
    state = {"z": 1, "a": [1.0, 1e20, "é", None]}
    part = assembled(a_decision(1, state=state, observation="seen", result=[1]))
    step = part.steps[0]
    assert (json.dumps(step.state), step.observation, step.result) == (
        json.dumps(state), "seen", [1],
    )  # fmt: skip


def test_times_are_those_of_the_events() -> None:
    bench = Bench()
    bench.send(a_start(occurred_at=at(5)), a_decision(1, occurred_at=at(9)))
    bench.send(an_end(2, occurred_at=at(7)), after_ms=IDLE_MS - 1)
    part = bench.part()
    assert (part.started_at, part.ended_at) == (at(0), at(9))
    assert (part.first_offset, part.last_offset) == (0, 2)


def test_rewards_of_a_part_say_where_the_log_took_them() -> None:
    bench = Bench()
    bench.send(a_start())
    offset = bench.send(a_reward(target_event_id="w-a-0", supersedes="r-0"), after_ms=250)
    bench.send(an_end(1))
    (entry,) = bench.part().rewards
    assert entry == bench.ledger()[0]
    assert (entry.source_offset, entry.recorded_at) == (offset, at(0.25))
    assert (entry.target_event_id, entry.supersedes) == ("w-a-0", "r-0")


def test_positions_point_into_the_lists_of_their_part() -> None:
    for seed in range(40):
        for told in pure_run(a_log(Random(seed))).engine.told:
            part = told.row
            for call in part.llm_calls:
                for position in [*(call.input or []), *call.output]:
                    assert position < len(part.messages)
                assert call.step is None or call.step < len(part.steps)
                assert call.tools is None or call.tools < len(part.tool_sets)
                if call.sequence is not None:
                    ids = part.sequences[call.sequence].token_ids
                    assert 0 <= (call.span_start or 0) <= (call.span_end or 0) <= len(ids)
            for sequence in part.sequences:
                n = len(sequence.token_ids)
                assert n == len(sequence.loss_mask) == len(sequence.logprobs)
