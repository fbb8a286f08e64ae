"""The engine fails on no accepted event, and what it tells of any fits the contract."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bench import IDLE_MS, KEEP_MS, Bench, some_settings
from tests.support.strategies import Document, event_documents

from ropewalk_schemas.encoding import to_json

IDENTITY: Document = {
    "trajectory_id": "t-1",
    "project": "demo",
    "occurred_at": "2026-03-01T12:00:00Z",
    "started_at": "2026-03-01T12:00:00Z",
}


@st.composite
def lives(draw: st.DrawFn) -> list[bytes]:
    """Events of one trajectory in any order and of any content, its start among them."""
    documents = draw(st.lists(event_documents(), min_size=1, max_size=8))
    writers = st.sampled_from(["w-a", "w-a", "w-b"])
    calls = st.sampled_from(["call-1", "call-2", "call-3"])
    values = []
    for seq, document in enumerate(documents):
        own: dict[str, Any] = {"event_id": f"e{seq}"}
        if document["type"] != "reward":
            own |= {"writer": draw(writers), "seq": seq}
        if document["type"] == "trajectory_ended":
            own |= {"n_events": draw(st.integers(1, 9)), "handed_to": draw(st.lists(writers))}
        if document["type"] == "llm_call":
            own |= {"call_id": draw(calls), "base_messages": draw(st.integers(0, 3))}
            own |= {"base_call": draw(st.none() | calls)}
        known = {k: v for k, v in (IDENTITY | own).items() if k != "started_at" or "seq" in own}
        values.append(to_json(document | known))
    return values


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([1, 1000, 10**6]), st.booleans())
def test_no_accepted_event_makes_the_engine_fail(
    data: st.DataObject, max_bytes: int, restarts: bool
) -> None:
    bench = Bench(some_settings(max_bytes=max_bytes))
    start = IDENTITY | {"type": "trajectory_started", "event_id": "s", "writer": "w-a", "seq": 99}
    start |= {"agent_id": "agent-a", "schema_version": "1.0"}
    values = data.draw(lives())
    for value in [to_json(start), *values]:
        bench.value(value)
        if restarts:
            bench.restart()
    bench.wait(IDLE_MS)
    bench.wait(KEEP_MS)  # a second start may be a continuous agent's, whose life is kept
    assert bench.open == []
    rows = [*bench.parts(), *bench.ledger()]  # which reads them with the contract's models
    refused = set(bench.why_refused()) - {"headless"}
    assert (rows, refused) != ([], set())
    assert refused == set(), [(record.detail, record.value) for record in bench.refused()]
    assert bench.account().open_events == 0
