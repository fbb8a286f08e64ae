"""What recording costs the agent: `python -m benchmarks.recorder_cost PUBLISHER SERVERS TOPIC N`.

PUBLISHER is memory or kafka; prints JSON. A fifth argument is the setting `redact`. Each of the N
trajectories is a chat of 20 calls that grows by 2 messages a call up to 40, its prompt given whole
as an agent gives it, with a step and its action after every second call.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.workload import WORDS
from ropewalk_producers import Recorder, RecorderSettings, Trajectory
from ropewalk_producers.testing import MemoryPublisher

CALLS = 20
CALLS_A_STEP = 2
WARM_UP = 20  # trajectories that are not counted
Timings = dict[str, list[int]]


def main(kind: str, bootstrap_servers: str, topic: str, n: int, redact: str) -> None:
    settings = RecorderSettings(
        project="bench",
        service="bench",
        bootstrap_servers=bootstrap_servers,
        topic=topic,
        redact=redact,
    )
    memory = MemoryPublisher() if kind == "memory" else None
    timings: Timings = {"llm_call": [], "step and action": [], "whole trajectory": []}
    with Recorder(settings, publisher=memory) as recorder:
        for number in range(WARM_UP):
            _trajectory(recorder, number, {name: [] for name in timings})
        begin, begin_cpu = time.perf_counter(), time.process_time()
        before = recorder.counters
        for number in range(n):
            _trajectory(recorder, number, timings)
            if memory is not None:
                memory.records.clear()
        seconds, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
        n_events = recorder.counters.accepted - before.accepted
        report = recorder.close(60)
    if not report.complete:
        msg = f"not every event was delivered: {report}; {recorder.last_error}"
        raise SystemExit(msg)
    print(
        json.dumps(
            {
                "publisher": kind,
                "n_trajectories": n,
                "events_per_s": n_events / seconds,
                "events_per_cpu_s": n_events / cpu_s,
                "calls": {name: _told(times) for name, times in timings.items()},
            }
        )
    )


def _trajectory(recorder: Recorder, number: int, timings: Timings) -> None:
    rng = random.Random(number)
    # The agent's own work is done before the clock starts.
    asked = [_text(rng, 110) for _ in range(CALLS)]
    answered = [_text(rng, 60) for _ in range(CALLS)]
    started = time.perf_counter_ns()
    with recorder.trajectory(
        agent_id=f"agent-{number % 50}", scenario="bench", policy="m", goal=asked[0]
    ) as trajectory:
        chat: list[dict[str, Any]] = []
        for i, (question, answer) in enumerate(zip(asked, answered, strict=True)):
            chat.append({"role": "user", "content": question})
            _timed(timings["llm_call"], partial(_call, trajectory, chat, answer))
            chat.append({"role": "assistant", "content": answer})
            if i % CALLS_A_STEP:
                _timed(timings["step and action"], partial(_step, trajectory, i))
    timings["whole trajectory"].append(time.perf_counter_ns() - started)


def _call(trajectory: Trajectory, chat: list[dict[str, Any]], answer: str) -> None:
    trajectory.llm_call(
        model="m",
        messages=chat,
        output=answer,
        provider="bench",
        parameters={"temperature": 0.7, "max_tokens": 200},
        finish_reasons=["stop"],
        usage={"input_tokens": 500, "output_tokens": 60},
        latency_ms=300.0,
        cost_usd=0.001,
    )


def _step(trajectory: Trajectory, i: int) -> None:
    with trajectory.step(state={"balance": 1000.0 + i, "positions": i}) as step:
        step.read("markets", {"m1": 0.5, "m2": 0.25})
        step.action("BUY", {"market": "m1", "size": 10}, result={"filled": 10, "price": 0.5})
        step.reward_component("pnl", 0.5)


def _text(rng: random.Random, n_words: int) -> str:
    return " ".join(rng.choices(WORDS, k=n_words))


def _timed(times: list[int], work: Callable[[], None]) -> None:
    began = time.perf_counter_ns()
    work()
    times.append(time.perf_counter_ns() - began)


def _told(times_ns: list[int]) -> dict[str, float]:
    cuts = statistics.quantiles(times_ns, n=100)
    return {
        "p50_us": cuts[49] / 1000,
        "p99_us": cuts[98] / 1000,
        "mean_us": statistics.fmean(times_ns) / 1000,
        "n": len(times_ns),
    }


if __name__ == "__main__":
    redacted = sys.argv[5] if len(sys.argv) > 5 else "secrets"  # noqa: PLR2004 - after four others
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), redacted)
