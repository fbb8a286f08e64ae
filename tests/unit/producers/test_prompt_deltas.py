import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.prompts import digests, sent_prompts, sent_tools

from ropewalk_producers import RecorderSettings
from ropewalk_producers.deltas import MAX_THREADS
from ropewalk_producers.testing import MemoryPublisher, MemoryRecorder
from ropewalk_schemas.events import LLMCall

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def message(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def calls(recorder: MemoryRecorder) -> list[LLMCall]:
    return [event for event in recorder.events if isinstance(event, LLMCall)]


def growing(recorder: MemoryRecorder, n_calls: int, **options: Any) -> list[LLMCall]:
    with recorder.trajectory(agent_id="a") as t:
        chat = [message("rules", "system")]
        for n in range(n_calls):
            chat.append(message(f"turn {n}"))
            t.llm_call(model="m", messages=chat, output=f"answer {n}", **options)
            chat.append(message(f"answer {n}", "assistant"))
    return calls(recorder)


def test_a_growing_chat_sends_each_message_once() -> None:
    first, second, third = growing(MemoryRecorder(), 3)
    assert first.base_call is None
    assert (second.base_call, second.base_messages) == (first.call_id, 3)
    assert [m.content for m in second.messages or []] == ["turn 1"]
    assert (third.base_call, third.base_messages) == (second.call_id, 5)


def test_every_fiftieth_call_of_a_chain_is_whole() -> None:
    whole = [n for n, call in enumerate(growing(MemoryRecorder(), 120)) if call.base_call is None]
    assert whole == [0, 50, 100]


def test_a_changed_message_in_the_same_list_is_seen() -> None:
    recorder = MemoryRecorder()
    chat = [message("rules", "system"), message("one"), message("two")]
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=chat)
        chat[2]["content"] = "changed"
        t.llm_call(model="m", messages=chat)
    second = calls(recorder)[1]
    assert second.base_messages == 2
    assert [m.content for m in second.messages or []] == ["changed"]


def test_true_does_not_pass_for_one() -> None:
    recorder = MemoryRecorder()
    part = {"role": "user", "content": [{"type": "x", "value": 1}]}
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[message("rules"), part])
        part["content"][0]["value"] = True  # type: ignore[index] # a list of parts
        t.llm_call(model="m", messages=[message("rules"), part])
    assert calls(recorder)[1].base_messages == 1


def test_a_prompt_that_shares_less_than_half_is_whole() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[message("rules"), message("one")])
        t.llm_call(model="m", messages=[message("rules"), message("two"), message("three")])
    assert calls(recorder)[1].base_call is None


def test_threads_do_not_build_on_each_other() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[message("one")])
        t.llm_call(model="m", messages=[message("one")], thread="judge")
        t.llm_call(model="m", messages=[message("one")])
    first, judged, again = calls(recorder)
    assert judged.base_call is None
    assert again.base_call == first.call_id


def test_only_so_many_threads_are_remembered() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        for n in range(MAX_THREADS + 1):
            t.llm_call(model="m", messages=[message("one")], thread=f"t{n}")
        t.llm_call(model="m", messages=[message("one")], thread="t1")
        t.llm_call(model="m", messages=[message("one")], thread="t0")
    *_, kept, forgotten = calls(recorder)
    assert kept.base_call
    assert forgotten.base_call is None


def test_a_call_with_an_unknown_prompt_is_no_base() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[message("one")])
        t.llm_call(model="m", messages=None, output="who knows")
        t.llm_call(model="m", messages=[message("one")])
    assert [(call.base_call, call.messages is None) for call in calls(recorder)] == [
        (None, False),
        (None, True),
        (None, False),
    ]


def test_equal_tools_are_sent_once_and_removed_tools_are_said() -> None:
    recorder = MemoryRecorder()
    tools = [{"type": "function", "function": {"name": "buy", "strict": True}}]
    with recorder.trajectory(agent_id="a") as t:
        for given in (tools, tools, None, [{"type": "other"}]):
            t.llm_call(model="m", messages=[message("one")], tools=given)
    assert [call.tools for call in calls(recorder)] == [tools, None, [], [{"type": "other"}]]


class Timeline:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = LONG_AGO

    def __call__(self) -> datetime:
        return self.now


def whole_after(gap: timedelta, *, calls_before: int = 1) -> bool:
    """Whether a call is whole after `calls_before` gaps of that length."""
    clock = Timeline()
    settings = RecorderSettings(
        project="p", service="s", idle_ms=3_600_000, duration_ms=4 * 3_600_000
    )
    recorder = MemoryRecorder(settings, clock=clock)
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[message("one")])
        for _ in range(calls_before):
            clock.now += gap
            t.llm_call(model="m", messages=[message("one")])
    return calls(recorder)[-1].base_call is None


def test_half_an_idle_gap_makes_the_next_call_whole() -> None:
    assert not whole_after(timedelta(minutes=29, seconds=59))
    assert whole_after(timedelta(minutes=30))


def test_a_chain_ends_at_half_the_maximum_duration() -> None:
    assert not whole_after(timedelta(minutes=20), calls_before=5)
    assert whole_after(timedelta(minutes=20), calls_before=6)


def test_silence_in_the_agents_own_time_counts_too() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a", started_at=LONG_AGO) as t:
        for hours in (0, 2):
            at = LONG_AGO + timedelta(hours=hours)
            t.llm_call(model="m", messages=[message("one")], at=at)
    assert calls(recorder)[1].base_call is None


def test_nothing_builds_on_what_a_full_queue_dropped() -> None:
    publisher = MemoryPublisher()
    recorder = MemoryRecorder(publisher=publisher)
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[message("one")])
        publisher.capacity = 0
        t.llm_call(model="m", messages=[message("one")])
        publisher.capacity = 10
        t.llm_call(model="m", messages=[message("one")])
    assert [call.base_call for call in calls(recorder)] == [None, None]
    assert recorder.counters.dropped_full == 1


def test_any_lost_event_makes_the_next_call_whole() -> None:
    publisher = MemoryPublisher()
    recorder = MemoryRecorder(publisher=publisher)
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[message("one")])
        with t.step(state=float("nan")):
            pass
        t.llm_call(model="m", messages=[message("one")])
        publisher.reachable = False
        with t.step():
            pass
        publisher.fail("the broker stayed away")
        publisher.reachable = True
        t.llm_call(model="m", messages=[message("one")])
    assert [call.base_call for call in calls(recorder)] == [None, None, None]
    assert (recorder.counters.rejected, recorder.counters.failed) == (1, 1)


leaf = st.sampled_from(["a", "b", "", None, True, 1, 1.0, 0, False, "1"])
content = st.one_of(
    st.sampled_from(["x", "y", ""]),
    st.lists(st.fixed_dictionaries({"type": st.just("part"), "value": leaf}), max_size=2),
)
arguments = st.one_of(st.sampled_from(['{"a":1}', '{"a": 1}', "{", "1"]), st.just({"a": 1}))
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"])},
    optional={
        "content": content,
        "name": st.none(),
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.just("c"),
                    "function": st.fixed_dictionaries(
                        {"arguments": arguments, "name": st.just("f")}
                    ),
                }
            ),
            max_size=1,
        ),
    },
)
position = st.integers(0, 6)
call = st.tuples(
    st.just("call"),
    st.sampled_from(["main", "main", "other"]),
    st.lists(messages, max_size=1),
    st.sampled_from([None, [], [{"strict": True}], [{"strict": 1}]]),
    st.booleans(),
)
acts = st.one_of(
    call,
    call,
    call,
    st.tuples(st.just("say"), messages),
    st.tuples(st.just("say"), messages),
    st.tuples(st.just("edit"), position, content),
    st.tuples(st.just("edit part"), position, leaf),
    st.tuples(st.just("cut"), position),
    st.tuples(st.just("copy"), st.booleans()),
    st.tuples(st.just("lose"), st.booleans()),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(acts, min_size=15, max_size=40))
def test_any_sequence_of_prompts_is_put_together_again(script: list[tuple[Any, ...]]) -> None:
    publisher = MemoryPublisher()
    recorder = MemoryRecorder(publisher=publisher)
    chat: list[Any] = []
    expected: dict[str, list[bytes]] = {}
    tools: dict[str, list[Any]] = {}
    t = recorder.trajectory(agent_id="a")
    for act, *rest in script:
        if act == "say":
            chat.append(rest[0])
        elif act == "edit" and chat:
            chat[rest[0] % len(chat)]["content"] = rest[1]
        elif act == "edit part" and chat:
            parts = chat[rest[0] % len(chat)].get("content")
            if isinstance(parts, list) and parts:
                parts[0]["value"] = rest[1]
        elif act == "cut":
            del chat[rest[0] :]
        elif act == "copy":
            chat = copy.deepcopy(chat) if rest[0] else chat[::-1]
        elif act == "lose":
            publisher.capacity = 0 if rest[0] else 100
        elif act == "call":
            thread, output, given_tools, echo = rest
            call_id = t.llm_call(
                model="m", messages=chat, output=output, thread=thread, tools=given_tools
            )
            if publisher.capacity:
                expected[call_id] = digests(chat)
                tools[call_id] = copy.deepcopy(given_tools or [])
            if echo:
                chat.extend(output)
    assert sent_prompts(recorder.events) == expected
    assert repr(sent_tools(recorder.events)) == repr(tools)  # repr: True is not 1 here
    assert recorder.counters.rejected == 0
