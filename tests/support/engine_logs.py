"""Random logs for the engine: everything that can happen to one partition, with real bytes.

Times are drawn in steps of 10 ms, so that durations and windows (whole seconds) meet often.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, NamedTuple

from tests.support.events import (
    T0,
    T0_MS,
    a_call,
    a_close,
    a_decision,
    a_reward,
    a_start,
    an_end,
    assistant,
    event_record,
    says,
    settings_record,
    tick_record,
    user,
)

from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.events import LifeEvent, Policy
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_schemas.messages import FunctionCall, Message, ToolCall
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.topics import KIND_HEADER, SETTINGS
from ropewalk_stream_processors.trajectory.records import NO_HEADERS, InputRecord

STEP_MS = 10
TICK_STEPS = 20
N_PARTITIONS = 2
PROJECTS = ("demo", "other")
WORDS = ("Go on", "What now?", "Buy", "Sell", "Wait", "Done")


class Entry(NamedTuple):
    """One record; a poison record makes the engine fail unless it is to be skipped."""

    record: InputRecord
    poison: bool = False


@dataclass(frozen=True)
class Log:
    """A partition's log.

    Attributes:
        initial: Settings in force before the log says any.
        resent: Trajectories that were sent more than once.
    """

    initial: Settings
    entries: tuple[Entry, ...]
    resent: frozenset[str]

    def all_settings(self) -> Iterator[Settings]:
        """Every settings the log ever has in force."""
        yield self.initial
        for entry in self.entries:
            if (KIND_HEADER, SETTINGS) in entry.record.headers:
                try:
                    yield Settings.model_validate_json(entry.record.value or b"")
                except ValueError:
                    continue

    def __repr__(self) -> str:
        lines = [f"initial {self.initial.model_dump_json()}"]
        for (offset, timestamp_ms, key, value, headers), poison in self.entries:
            what = "POISON " if poison else ""
            lines.append(
                f"{offset} +{timestamp_ms - T0_MS} {what}{key!r} {value!r} {headers or ''}"
            )
        return "\n".join(lines)


class _Sent(NamedTuple):
    """What someone sends: when, and how its record is made once offset and time are known."""

    at: int
    event: LifeEvent | None = None
    record: InputRecord | None = None
    poison: bool = False


def a_log(r: Random, size: float = 1.0, *, spills: bool = True) -> Log:
    """A random log; one of which nothing is spilled has the same events."""
    initial, sent, resent = some_settings(r, spills=spills), [], set()
    for i in range(r.randint(1, max(2, int(5 * size)))):
        trajectory_id, began = _id_of_partition_0(f"t{i}"), r.randint(0, 900)
        once = list(_Agent(r, trajectory_id, began, size).events())
        sent += once
        if r.random() < 0.3:
            resent.add(trajectory_id)
            later = r.choice([30, 300, 1200])
            if r.random() < 0.5:
                sent += [s._replace(at=s.at + later + r.randint(0, 20)) for s in once]
            else:
                salt = r.choice(["", "x"])
                sent += _Agent(r, trajectory_id, began + later, size, salt).events()
    for _ in range(r.choice([0, 0, 1, 2])):
        record = settings_record(some_settings(r, spills=spills), 0, 0)
        if r.random() < 0.2:
            record = record._replace(value=r.choice([b"{", None, b'{"cap_ms":0}']))
        sent.append(_Sent(r.randint(0, 1500), record=record))
    return Log(initial, tuple(_appended(r, sent)), frozenset(resent))


def beside(r: Random) -> Random:
    """Other random numbers than those of `r`, which stays as it is: seeds keep their logs."""
    state = r.getstate()[1]
    return Random(f"{state[0]} {state[-1]}")


def some_settings(r: Random, *, spills: bool = True) -> Settings:
    """Settings small enough for every limit to be met."""

    def limits() -> Limits:
        return Limits(
            settle_ms=STEP_MS * r.choice([15, 50, 120]),
            idle_ms=STEP_MS * r.choice([60, 150, 400]),
            duration_ms=STEP_MS * r.choice([80, 300, 3000]),
            window_s=r.choice([1, 2, 10]),
            max_bytes=r.choice([900, 2000, 20_000]),
        )

    return Settings(
        keep_ms=STEP_MS * r.choice([100, 500, 2000]),
        cap_ms=STEP_MS * r.choice([25, 60]),
        future_ms=STEP_MS * r.choice([3, 100, 100_000]),
        spill_ms=STEP_MS * beside(r).choice([0, 1, 20, 100]) if spills else 0,
        spill_records=beside(r).choice([0, 2, 8]),
        default=limits(),
        projects={"other": limits()} if r.random() < 0.5 else {},
    )


def _appended(r: Random, sent: list[_Sent]) -> Iterator[Entry]:
    """What the broker makes of it: offsets (with holes), append times, and the owner's ticks."""
    now, offset = 0, r.choice([0, 0, 1000])

    def append(record: InputRecord, steps: int, *, poison: bool = False) -> Entry:
        nonlocal offset
        offset += 1 if r.random() > 0.02 else r.randint(2, 5)
        stamped = record._replace(offset=offset - 1, timestamp_ms=T0_MS + steps * STEP_MS)
        return Entry(stamped, poison)

    for one in sorted(sent, key=lambda one: one.at):
        if r.random() < 0.9:  # the owner is there and ticks; else a hole
            while now + TICK_STEPS < one.at:
                now += TICK_STEPS
                yield append(tick_record(0, 0), now)
        now = max(now, one.at)
        record = one.record or event_record(one.event, 0, 0)  # type: ignore[arg-type]
        stepped_back = r.randint(1, 80) if r.random() < 0.02 else 0
        yield append(record, now - stepped_back, poison=one.poison)
    for _ in range(r.choice([0, 10, 200])):
        now += TICK_STEPS
        yield append(tick_record(0, 0), now)


class _Agent:
    """One trajectory as its writers send it, with all that goes wrong on the way."""

    def __init__(
        self, r: Random, trajectory_id: str, began: int, size: float, salt: str = ""
    ) -> None:
        self.r, self.id, self.began, self.salt = r, trajectory_id, began, salt
        self.most = max(2, int(14 * size))
        self.mode = r.choice(["episode", "continuous"])
        self.project = r.choice(PROJECTS)
        self.writers = [trajectory_id + c for c in "ABC"[: r.choice([1, 1, 2, 3])]]
        self.parent = [None, 0, r.choice([0, 1])]
        self.slow = r.choice([4, 15, 40])
        self.calls: list[tuple[str, str, int]] = []  # writer, call_id, messages known after it
        self.n_rewards = 0

    def events(self) -> Iterator[_Sent]:
        for k, writer in enumerate(self.writers):
            yield from self._writer(k, writer)

    def _writer(self, k: int, writer: str) -> Iterator[_Sent]:
        r, n = self.r, self.r.randint(1, self.most)
        lost, delay = r.choice([0, 0, 0.1]), 0
        t = self.began + k * r.randint(0, 60)
        for seq in range(n + 1):
            t += r.randint(0, self.slow) if r.random() > 0.08 else r.randint(50, 600)
            if seq == n and r.random() < 0.15:
                return  # never says that it is done
            event = self._event(k, writer, seq, t, closing=seq == n)
            headers = (("h", b"1"), ("n", None)) if beside(r).random() < 0.1 else NO_HEADERS
            if r.random() < 0.06:
                delay = r.choice([0, 0, 30, 200])  # a spool
            at = t + delay + r.randint(0, 3)
            if r.random() >= lost:
                record = event_record(event, 0, 0)._replace(headers=headers)
                yield _Sent(at, record=record, poison=r.random() < 0.005)
            if r.random() < 0.06:
                yield _Sent(at + r.choice([0, 5, 90, 700]), event)
            if r.random() < 0.04:
                other = event.model_copy(update={"event_id": event.event_id + "!"})
                yield _Sent(at + r.choice([0, 20, 200]), other)
            if r.random() < 0.12:
                self.n_rewards += 1
                reward = a_reward(f"r{writer}{seq}{self.n_rewards}", self.id)
                yield _Sent(at + r.choice([0, 40, 500]), record=event_record(reward, 0, 0))
            if r.random() < 0.02:
                yield _Sent(at, record=_junk(r, event), poison=r.random() < 0.1)

    def _event(self, k: int, writer: str, seq: int, t: int, *, closing: bool) -> LifeEvent:
        r = self.r
        given: dict[str, Any] = {
            "occurred_at": T0
            + timedelta(milliseconds=t * STEP_MS, microseconds=r.randint(0, 9999)),
            "started_at": T0 + timedelta(milliseconds=self.began * STEP_MS),
            "project": self.project,
        }
        if r.random() < 0.03:
            given["of_a_newer_schema"] = {"seq": seq}
        if closing:
            children = [c for j, c in enumerate(self.writers) if self.parent[j] == k]
            never = [self.id + "Z"] if r.random() < 0.03 else []
            given["handed_to"] = children + never
            if k:
                return a_close(seq, self.id, writer, **given)
            status = r.choice(["completed", "failed"])
            error = "it broke" if status == "failed" else None
            said = [assistant("Bye")] if r.random() < 0.3 else []
            return an_end(
                seq, self.id, writer, status=status, error=error, termination="done",
                messages=said, metadata={"n": seq} if r.random() < 0.3 else {}, **given,
            )  # fmt: skip
        if seq == 0 and k == 0:
            return a_start(
                0, self.id, writer, mode=self.mode, goal=r.choice([None, "win"]),
                policy=Policy(model="m", version="v1"), metadata={"began": self.began},
                messages=[assistant("Hello")] if r.random() < 0.3 else [], **given,
            )  # fmt: skip
        if r.random() < 0.6:
            return self._call(writer, seq, given)
        calls = [self.calls[-1][1]] if self.calls and r.random() < 0.5 else []
        rewards = {"fee": -0.5} if r.random() < 0.3 else {}
        return a_decision(seq, self.id, writer, calls=calls, reward_components=rewards, **given)

    def _call(self, writer: str, seq: int, given: dict[str, Any]) -> LifeEvent:
        r, call_id, x = self.r, f"{writer}{seq}{self.salt}", self.r.random()
        mine = [c for c in self.calls if c[0] == writer] or self.calls
        base: tuple[str, str, int] | None
        if x < 0.3 or not self.calls:
            base = None
        elif x < 0.85:
            base = mine[-1]
        else:
            base = r.choice(self.calls) if x < 0.95 else (writer, "lost", 2)
        new, output = [_message(r) for _ in range(r.randint(0, 2))], [_message(r)]
        prompt = len(new) + (base[2] if base else 0)
        self.calls.append((writer, call_id, prompt + len(output)))
        if base:
            given |= {"base_call": base[1], "base_messages": base[2] + (r.random() < 0.05)}
        if r.random() < 0.3:
            n_prompt = 4 * (len(self.calls) - 1)
            given |= {
                "prompt_token_ids": list(range(n_prompt)) if r.random() < 0.9 else None,
                "output_token_ids": [n_prompt, n_prompt + 1],
                "output_logprobs": [-0.5] * r.choice([1, 2]),
                "policy_version": r.choice(["v1", "v1", "v2"]),
            }
        thread = r.choice(["main", "main", "main", "judge"])
        return a_call(
            seq, self.id, writer, call_id=call_id, messages=new, output=output, thread=thread,
            tools=r.choice([None, [], [{"name": "buy"}], [{"name": "sell"}]]), **given,
        )  # fmt: skip


def _message(r: Random) -> Message:
    if r.random() < 0.2:
        arguments = r.choice(['{"a": 1}', '{"a":1}', "not json"])
        call = ToolCall(id="c1", function=FunctionCall(name="buy", arguments=arguments))
        return says("assistant", tool_calls=[call])
    return r.choice([user, assistant])(r.choice(WORDS))


def _junk(r: Random, event: LifeEvent) -> InputRecord:
    """A record that is no event of this trajectory, though it may look like one."""
    good = event_record(event.model_copy(update={"seq": event.seq + 1000}), 0, 0)
    elsewhere = event.model_copy(update={"trajectory_id": _id_of_partition_1(event.trajectory_id)})
    ahead = event.model_copy(
        update={"seq": event.seq + 1000, "occurred_at": event.occurred_at + timedelta(days=1)}
    )
    return r.choice(
        [
            good._replace(value=None),
            good._replace(key=None),
            good._replace(value=b"\xff not json", headers=(("h", None),)),
            good._replace(key=b"another key"),
            good._replace(value=encode_event(event)[:-1] + b',"seq":-1}'),
            event_record(elsewhere, 0, 0),
            event_record(ahead, 0, 0),
        ]
    )


def _id_of_partition_0(name: str) -> str:
    return next(
        i for n in range(99) if partition_of((i := f"{name}-{n}").encode(), N_PARTITIONS) == 0
    )


def _id_of_partition_1(name: str) -> str:
    return next(
        i for n in range(99) if partition_of((i := f"{name}-{n}").encode(), N_PARTITIONS) == 1
    )
