"""The benchmark's events: about 1.5 KB each, 32 a trajectory, prompts sent as deltas."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.events import (
    Action,
    Decision,
    LLMCall,
    Policy,
    Read,
    Source,
    TrajectoryEnded,
    TrajectoryStarted,
    Usage,
)

EVENTS_PER_TRAJECTORY = 32
WORDS = (
    *("market", "price", "side", "long", "short", "yes", "no", "hold", "risk"),
    *("size", "odds", "news", "volume", "trend", "book", "bid", "ask"),
)


def trajectory(number: int, begin: datetime) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of one trajectory's 32 events: start, 10 x (2 calls, 1 decision), end."""
    rng = random.Random(number)
    trajectory_id = f"bench-{number:09d}-{rng.getrandbits(64):016x}"
    key = trajectory_id.encode()
    seq = 0

    def envelope() -> dict[str, Any]:
        nonlocal seq
        at = begin + timedelta(milliseconds=number % 1000 + seq)
        seq += 1
        return {
            "event_id": f"{trajectory_id}-{seq}",
            "occurred_at": at,
            "started_at": begin,
            "project": "bench",
            "agent_id": f"agent-{number % 50}",
            "trajectory_id": trajectory_id,
            "writer": f"w-{trajectory_id}",
            "seq": seq - 1,
            "source": Source(service="bench", instance="b1", version="1"),
        }

    def text(n_words: int) -> str:
        return " ".join(rng.choices(WORDS, k=n_words))

    started = TrajectoryStarted(
        **envelope(), scenario="bench", policy=Policy(model="m", version="1"), goal=text(60)
    )
    yield key, encode_event(started)
    base, said = None, 0
    for round_ in range(10):
        calls = []
        for nth in range(2):
            call_id = f"{trajectory_id}-c{round_}-{nth}"
            new: list[Any] = [{"role": "user", "content": text(110)}]
            if base is None:
                new.insert(0, {"role": "system", "content": text(110)})
            call = LLMCall(
                **envelope(),
                call_id=call_id,
                model="m",
                provider="bench",
                base_call=base,
                base_messages=said,
                messages=new,
                output=[{"role": "assistant", "content": text(60)}],  # type: ignore[list-item]
                finish_reasons=["stop"],
                usage=Usage(input_tokens=500 + 100 * round_, output_tokens=60),
                parameters={"temperature": 0.7, "max_tokens": 200},
                latency_ms=float(rng.randint(100, 900)),
                cost_usd=0.001,
            )
            yield key, encode_event(call)
            base, said = call_id, said + len(new) + 1
            calls.append(call_id)
        decision = Decision(
            **envelope(),
            state={"balance": 1000.0 + round_, "pnl": rng.random(), "positions": round_},
            reads=[Read(name="markets", data={"m1": rng.random(), "news": text(60)})],
            reasoning=text(50),
            action=Action(type="BUY", parameters={"market": "m1", "size": 10}),
            action_status="executed",
            result={"filled": 10, "price": rng.random()},
            reward_components={"pnl": rng.random()},
            calls=calls,
        )
        yield key, encode_event(decision)
    ended = TrajectoryEnded(**envelope(), n_events=EVENTS_PER_TRAJECTORY, status="completed")
    yield key, encode_event(ended)


def workload(n_trajectories: int, *, interleave: int = 50) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of many trajectories, `interleave` of them running at a time."""
    begin = datetime.now(UTC) - timedelta(minutes=1)
    running: list[Iterator[tuple[bytes, bytes]]] = []
    numbers = iter(range(n_trajectories))
    for number in numbers:
        running.append(trajectory(number, begin))
        if len(running) == interleave:
            break
    while running:
        for at in range(len(running) - 1, -1, -1):
            event = next(running[at], None)
            if event is not None:
                yield event
                continue
            number_ = next(numbers, None)
            if number_ is None:
                running.pop(at)
            else:
                running[at] = trajectory(number_, begin)


def long_trajectory(number: int, n_events: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of a trajectory that does not end: a start, then decisions."""
    begin = datetime.now(UTC) - timedelta(minutes=1)
    rng = random.Random(number)
    trajectory_id = f"long-{number:06d}"
    for seq in range(n_events):
        envelope: dict[str, Any] = {
            "event_id": f"{trajectory_id}-{seq}",
            "occurred_at": begin + timedelta(milliseconds=seq),
            "started_at": begin,
            "project": "bench",
            "agent_id": f"agent-{number}",
            "trajectory_id": trajectory_id,
            "writer": f"w-{trajectory_id}",
            "seq": seq,
            "source": Source(service="bench", instance="b1", version="1"),
        }
        event: Any = (
            Decision(
                **envelope,
                reasoning=" ".join(rng.choices(WORDS, k=100)),
                action=Action(type="HOLD", parameters={}),
                action_status="held",
            )
            if seq
            else TrajectoryStarted(**envelope, scenario="bench")
        )
        yield trajectory_id.encode(), encode_event(event)


def with_long_ones(
    n_trajectories: int, n_long: int, n_events: int
) -> Iterator[tuple[bytes, bytes]]:
    """`workload` beside trajectories that begin with it, run all along and stay open."""
    long = [long_trajectory(number, n_events) for number in range(n_long)]
    every = max(1, n_trajectories * EVENTS_PER_TRAJECTORY // n_events)
    for number, event in enumerate(workload(n_trajectories)):
        if number % every == 0:
            yield from (one for one in (next(run, None) for run in long) if one)
        yield event
