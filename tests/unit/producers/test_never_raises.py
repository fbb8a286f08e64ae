import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ropewalk_producers.errors import UnsendableError
from ropewalk_producers.events import CallOptions, TrajectoryOptions
from ropewalk_producers.testing import MemoryPublisher, MemoryRecorder
from ropewalk_schemas.codec import decode_event_with_models
from ropewalk_schemas.topics import MAX_EVENT_BYTES


class Hostile:
    """Raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        message = "repr"
        raise RuntimeError(message)

    def __eq__(self, other: object) -> bool:
        message = "eq"
        raise RuntimeError(message)

    __hash__ = None  # type: ignore[assignment] # part of being hostile


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def deep() -> Any:
    value: Any = "x"
    for _ in range(10_000):
        value = [value]
    return value


BAD = [
    object(),
    Hostile(),
    Hostile,
    float("nan"),
    float("inf"),
    "\ud800",
    "\0",
    b"\xff",
    {1: 1, "1": 2},
    {(1, 2): 3},
    {None: 1},
    endless(),
    deep(),
    10**400,
    "x" * 10_000_001,
    lambda: None,
    -1,
    "",
    [],
    {},
    [None],
    [{"role": 5}],
    [{"role": "user", "tool_calls": 5}],
    [{"role": "user", "tool_calls": [5]}],
    {"content": "no role"},
    complex(1, 2),
    iter([1]),
]


@pytest.mark.parametrize("which", range(len(BAD)))
def test_nothing_an_agent_gives_comes_back_at_it(
    which: int, caplog: pytest.LogCaptureFixture
) -> None:
    bad = BAD[which]
    recorder = MemoryRecorder()
    for name in TrajectoryOptions.__annotations__:
        with recorder.trajectory(agent_id="a", **{name: bad}) as t:
            t.llm_call(model="m", messages=[])
            t.reward("r", 1.0)
            assert isinstance(t.event_count, int)
            recorder.resume(t.detach()).close()
    with recorder.trajectory(agent_id=bad) as t:
        for name in CallOptions.__annotations__:
            t.llm_call(model="m", messages=[{"role": "user"}], **{name: bad})
        t.hand_to(bad)
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model=bad, messages=bad)
        t.llm_call(model="m", messages=[bad, bad])
        with t.step(state=bad, observation=bad, reasoning=bad, at=bad) as step:
            step.read(bad, bad, query=bad, purpose=bad)
            step.claim(bad, bad)
            step.reward_component(bad, bad)
            step.action(bad, bad, status=bad, result=bad, error=bad, tool_call_id=bad)
            step.observation = bad
            step.reasoning = bad
            step.calls.append(bad)
            t.reward(bad, bad, target=step)
        t.reward("r", 1.0, target=bad, source=bad, metadata=bad, reward_id=bad, at=bad)
        t.end(bad, termination=bad, messages=bad, metadata=bad, error=bad, handed_to=bad, at=bad)
    recorder.resume(bad, writer=bad, ids=bad).close(bad, at=bad)
    recorder.reward(bad, bad, bad, source=bad, project=bad)
    for record in recorder.records:
        decode_event_with_models(record.value)
    counters = recorder.counters
    assert counters.accepted == counters.delivered == len(recorder.records)
    assert counters.accepted > 0
    assert caplog.text.encode(), "a log file in UTF-8 takes it"


def test_a_refusal_names_the_trajectory_the_event_and_the_cause() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a", trajectory_id="t-17") as t:
        with t.step(state={"price": float("nan")}):
            pass
        assert recorder.last_error == (
            "trajectory t-17: decision rejected: nan is not a JSON number"
        )
        t.llm_call(model="m", messages=[], latency_ms=-1.0)
        assert "t-17: llm_call rejected: invalid: Expected `float` >= 0.0" in recorder.last_error


def test_a_refused_event_leaves_a_gap_that_is_seen_downstream() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[object()])
        t.llm_call(model="m", messages=[])
    assert [event.seq for event in recorder.events] == [0, 2, 3]  # type: ignore[union-attr] # no rewards
    assert recorder.events[-1].n_events == 4  # type: ignore[union-attr] # an end


def test_each_kind_of_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    recorder = MemoryRecorder()
    with caplog.at_level(logging.WARNING), recorder.trajectory(agent_id="a") as t:
        for _ in range(5):
            t.llm_call(model="m", messages=[object()])
            t.llm_call(model="m", messages=5)
    assert recorder.counters.rejected == 10
    assert len(caplog.records) == 2


class DeadPublisher(MemoryPublisher):
    """A client that met an error it cannot get over."""

    def publish(self, key: bytes, value: bytes, event_id: str) -> None:
        self._listener.failing("Kafka: the producer was fenced", True)
        message = "the producer was fenced"
        raise UnsendableError(message)


def test_a_fatal_error_of_the_client_is_counted_and_visible() -> None:
    recorder = MemoryRecorder(publisher=DeadPublisher())
    with recorder.trajectory(agent_id="a"):
        pass
    assert (recorder.counters.fatal_errors, recorder.counters.rejected) == (2, 2)
    assert "fenced" in str(recorder.last_error)
    assert not recorder.close().complete


def test_an_unknown_option_is_refused_by_name() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=[], latency=3)  # type: ignore[call-arg] # the point
    assert "there is no option latency" in str(recorder.last_error)


def test_an_event_larger_than_the_engine_takes_is_refused() -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        with t.step(state=["x" * (MAX_EVENT_BYTES // 2)] * 2):
            pass
        with t.step(state="x" * (MAX_EVENT_BYTES - 5000)):
            pass
    assert recorder.counters.rejected == 1
    assert f"at most {MAX_EVENT_BYTES}" in str(recorder.last_error)


def test_a_log_handler_that_raises_harms_nothing() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError

    log = logging.getLogger("ropewalk_producers")
    handler = Broken()
    log.addHandler(handler)
    try:
        recorder = MemoryRecorder()
        with recorder.trajectory(agent_id="a") as t:
            t.llm_call(model="m", messages=5)
    finally:
        log.removeHandler(handler)
    assert recorder.counters.rejected == 1


anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(state=anything, messages=anything, output=anything, parameters=anything)
def test_what_leaves_is_always_valid_and_what_does_not_is_counted(
    state: Any, messages: Any, output: Any, parameters: Any
) -> None:
    recorder = MemoryRecorder()
    with recorder.trajectory(agent_id="a") as t:
        t.llm_call(model="m", messages=messages, output=output, parameters=parameters)
        with t.step(state=state) as step:
            step.action("go", parameters)
    for record in recorder.records:
        decode_event_with_models(record.value)
    assert recorder.counters.accepted + recorder.counters.rejected == 4
