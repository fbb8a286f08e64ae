"""A part stays small enough to be published, whatever is in it."""

from typing import Any

from tests.support.bench import Bench, some_settings
from tests.support.events import a_call, a_decision, a_reward, a_start, an_end

from ropewalk_schemas.events import LifeEvent
from ropewalk_schemas.published import decode_published
from ropewalk_schemas.trajectory import Trajectory
from ropewalk_stream_processors.trajectory.outputs import fitted


def growing_chat(n_calls: int) -> list[LifeEvent]:
    """Calls that each extend the one before by two short messages."""
    hi = {"role": "user", "content": "hi"}
    calls = [a_call(1, call_id="c0", messages=[hi], output=[hi])]
    for n in range(1, n_calls):
        base: dict[str, Any] = {"base_call": f"c{n - 1}", "base_messages": 2 * n}
        calls.append(a_call(n + 1, call_id=f"c{n}", messages=[hi], output=[hi], **base))
    return calls


def test_many_short_calls_are_cut_before_their_positions_outgrow_the_part() -> None:
    bench = Bench(some_settings(max_bytes=200_000))
    bench.send(a_start(), *growing_chat(600))
    bench.send(an_end(601))
    assert len(bench.parts()) > 1
    assert all(len(output.value or b"") < 400_000 for output in bench.given)
    assert sum(part.n_events for part in bench.parts()) == 602


def test_rewards_beyond_the_size_of_a_part_go_to_the_ledger_only() -> None:
    bench = Bench(some_settings(max_bytes=4_000))
    bench.send(a_start(), *(a_reward(f"r{n}", reason="x" * 500) for n in range(50)))
    bench.send(an_end(1))
    assert len(bench.ledger()) == 50
    assert 0 < len(bench.parts()[-1].rewards) < 10


def test_a_part_too_large_all_the_same_says_what_is_left_out() -> None:
    bench = Bench()
    bench.send(a_start(), a_decision(1), an_end(2))
    value = bench.given[-1].value
    assert value is not None
    row = decode_published(value)
    assert fitted(row) == value  # type: ignore[arg-type] # a part
    less = Trajectory.model_validate_json(fitted(row, max_bytes=10))  # type: ignore[arg-type]
    assert less.steps == []
    assert less.content_hash == Trajectory.model_validate_json(value).content_hash
    assert (less.complete, less.linear) == (False, False)
    assert "steps" in less.extra["left_out"]
