"""A ledger beside some stored parts, in both sinks, and where each of its entries counts."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from tests.support.ledgers import Recorded, a_ledger, replayed
from tests.support.parquet_log import go_on, log_of, refuse_nothing, settings
from tests.support.published import a_call, a_part, a_step, an_entry

from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.ledger import Earned, LedgerView, Unfollowed, Unmatched
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.sink import TopicPartition

STORED = [("t-0", 0), ("t-0", 1), ("t-1", 0), ("t-2", 0)]
NEVER_SEEN = ["t-8", "t-9"]
TRAJECTORIES = ["t-0", "t-1", "t-2", *NEVER_SEEN]
AT = TopicPartition("trajectories", 0)


def stored_part(trajectory_id: str, part: int) -> Any:
    """Two steps that rest on a call each, and a call that led to no step."""
    name = f"{trajectory_id}/{part}"
    calls = [
        a_call(n, call_id=f"{name}/call-{n}", event_id=f"{name}/call-event-{n}",
               response_id=f"{name}/response-{n}", step=n if n < 2 else None)
        for n in range(3)
    ]  # fmt: skip
    steps = [a_step(n, event_id=f"{name}/step-{n}", calls=[n]) for n in range(2)]
    last = (trajectory_id, part + 1) not in STORED
    return a_part(trajectory_id, part, steps=steps, llm_calls=calls, n_llm_calls=3, last=last)


@dataclass
class World:
    """Parts and a ledger; what a reader must find of them at a moment."""

    parts: list[Any]
    ledger: list[Recorded]

    def expected(self, as_of: datetime) -> LedgerView:
        """By the replay, entry by entry."""
        replay = replayed(self.ledger, as_of=as_of)
        counting = [e for e in sorted(replay.known.values(), key=_identity)
                    if e.reward_id in replay.counting]  # fmt: skip
        problems = [
            Unfollowed(p.trajectory_id, p.reward_id, p.supersedes, p.kind,
                       replay.known[p.reward_id].recorded_at)
            for p in replay.problems()
        ]  # fmt: skip
        return LedgerView(self._earned(counting), problems, self._unmatched(counting))

    def _earned(self, counting: Sequence[Recorded]) -> list[Earned]:
        places: dict[tuple[str, int | None, int | None], list[Recorded]] = defaultdict(list)
        for entry in counting:
            places[entry.trajectory_id, *self._place(entry)].append(entry)
        return [
            Earned(*place, sum(e.value for e in here), len(here), max(e.recorded_at for e in here))
            for place, here in sorted(places.items(), key=lambda item: _nulls_last(item[0]))
        ]

    def _place(self, entry: Recorded) -> tuple[int | None, int | None]:
        for part in self._parts_of(entry):
            for step in part.steps:
                call = part.llm_calls[step.calls[0]]
                if entry.target_event_id is not None:
                    if entry.target_event_id == step.event_id:
                        return part.part, step.step
                elif (entry.call_id or entry.response_id) in {call.call_id, call.response_id}:
                    return part.part, step.step
        return None, None

    def _unmatched(self, counting: Sequence[Recorded]) -> list[Unmatched]:
        found = []
        for e in counting:
            waits_for = self._waits_for(e)
            if waits_for is not None:
                found.append(
                    Unmatched(
                        e.trajectory_id, e.reward_id, waits_for,
                        e.target_event_id, e.call_id, e.response_id,
                        "settled", "outcome", e.value, e.recorded_at,
                    )
                )  # fmt: skip
        return found

    def _waits_for(self, entry: Recorded) -> str | None:
        parts = self._parts_of(entry)
        if not parts:
            return "trajectory"
        calls = [call for part in parts for call in part.llm_calls]
        steps = [step for part in parts for step in part.steps]
        if entry.target_event_id is not None:
            return _unless(entry.target_event_id in {x.event_id for x in (*steps, *calls)})
        if entry.call_id is not None:
            return _unless(entry.call_id in {call.call_id for call in calls})
        if entry.response_id is not None:
            return _unless(entry.response_id in {call.response_id for call in calls})
        return None

    def _parts_of(self, entry: Recorded) -> list[Any]:
        return [part for part in self.parts if part.trajectory_id == entry.trajectory_id]


def _unless(stored: bool) -> str | None:
    return None if stored else "target"


def _identity(entry: Recorded) -> tuple[str, str]:
    return entry.trajectory_id, entry.reward_id


def _nulls_last(place: tuple[str, int | None, int | None]) -> tuple[Any, ...]:
    return place[0], place[1] is None, place[1] or 0, place[2] or 0


def a_world(random: Random, *, n_entries: int, minutes: int) -> World:
    """Every kind of correction, for every kind of target, stored or not."""
    ledger = a_ledger(random, n_entries=n_entries, trajectories=TRAJECTORIES, minutes=minutes)
    return World([stored_part(*key) for key in STORED], [_aimed(e, random) for e in ledger])


def _aimed(entry: Recorded, random: Random) -> Recorded:
    name = f"{entry.trajectory_id}/{random.randint(0, 1)}"
    n = random.randint(0, 3)  # no part has a step 2, nor a call 3
    targets: list[dict[str, Any]] = [
        {},
        {"target_event_id": f"{name}/step-{n}"},
        {"target_event_id": f"{name}/call-event-{n}"},
        {"call_id": f"{name}/call-{n}"},
        {"response_id": f"{name}/response-{n}"},
    ]
    return replace(entry, **random.choice(targets))


def published(world: World, random: Random) -> list[Any]:
    """The world's rows in an order in which they may arrive: parts of a chain stay in order."""
    rows = [an_entry(**asdict(entry)) for entry in world.ledger]
    random.shuffle(rows)
    places = sorted(random.choices(range(len(rows)), k=len(world.parts)), reverse=True)
    for place, part in zip(places, reversed(world.parts), strict=True):
        rows.insert(place, part)
    return rows


def store_in_postgres(dsn: str, rows: Sequence[Any], *, flushes: int = 3) -> None:
    """By the real sink."""
    given = PostgresSettings.load(bootstrap_servers="none:1", postgres_dsn=dsn)
    with closing(PostgresSink(given)) as sink:
        first = sink.claim([AT])[AT]
        log = log_of(rows, first=first)
        size = -(-len(log) // flushes)
        for start in range(0, len(log), size):
            sink.add(log[start : start + size])
            sink.flush(refuse_nothing)


def store_in_parquet(path: Path, rows: Sequence[Any], *, first: int = 0, flushes: int = 3) -> None:
    """By the real sink; `first` is the offset after what it has."""
    with closing(ParquetSink(settings(path))) as sink:
        go_on(sink, log_of(rows, first=first), flushes=flushes)
