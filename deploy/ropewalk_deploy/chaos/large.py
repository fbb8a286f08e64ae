"""One very long trajectory, very many open ones, a whole log replayed: on their own servers."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import Battle, recovery
from ropewalk_deploy.chaos.bulk import Bulk, Record
from ropewalk_deploy.chaos.fought import Fought
from ropewalk_deploy.chaos.staging import Stage, at_work, forget_accounts, told_of
from ropewalk_deploy.chaos.stored import lives_in
from ropewalk_deploy.kafka import LogScanner, send_many
from ropewalk_schemas.topics import AGENT_EVENTS, TRAJECTORIES

LONG_EVENTS, OPEN_TRAJECTORIES, REPLAYED_EVENTS = 20_000, 2_000, 200_000
REPLAYED_STEPS, REPLAYED_ABREAST = 18, 500
PATIENT = {"ROPEWALK_LIMITS": '{"default": {"settle_ms": 1500, "idle_ms": 3600000}}'}
"""What waits here is not given up."""
KILLS = 3
EVENTS_PER_S = 3_000.0
"""At least; slower is given up."""


def fight_with_one_long_trajectory(arena: Arena, seed: int, scale: float) -> Fought:
    """Its worker is killed while it is open, in parts of 8 MiB."""
    bulk = _bulk("long", seed, trajectories=1, steps=max(1, int(LONG_EVENTS * scale) - 2))
    with at_work(arena, seed, environment=PATIENT) as stage:
        with _sending(arena, bulk.records()) as is_alive:
            _kill_while(stage.battle, is_alive)
        recover_s = recovery(stage.battle, _within_s(bulk))
        _prove(stage, bulk)
        parts = lives_in(arena.places.parquet_path, bulk.name).parts
    told = {"events of one trajectory": bulk.n_events, "parts": parts}
    return told_of("million-events", seed, stage, events=bulk.n_events, recover_s=recover_s,
                   told=told)  # fmt: skip


def fight_with_many_open_trajectories(arena: Arena, seed: int, scale: float) -> Fought:
    """The worker is killed while all are open, and once more in its replay."""
    n_open = max(1, int(OPEN_TRAJECTORIES * scale))
    bulk = _bulk("open", seed, trajectories=n_open, steps=1)
    servers = arena.places.bootstrap_servers
    with at_work(arena, seed, environment=PATIENT) as stage:
        send_many(servers, AGENT_EVENTS.name, bulk.begun(range(n_open)))
        _kill_while(stage.battle, lambda: False)
        recovery(stage.battle, _within_s(bulk))
        is_open = stage.battle.open_trajectories()
        stage.count("all trajectories are open", n_open, is_open)
        os.kill(stage.battle.pid("worker-1"), signal.SIGKILL)
        send_many(servers, AGENT_EVENTS.name, bulk.ended(range(n_open)))
        recover_s = recovery(stage.battle, _within_s(bulk))
        _prove(stage, bulk)
    return told_of("hundred-thousand-open", seed, stage, events=bulk.n_events,
                   recover_s=recover_s, told={"open at once": is_open})  # fmt: skip


def fight_with_a_replay_of_everything(arena: Arena, seed: int, scale: float) -> Fought:
    """A worker without any account reads the whole log again, and gives what was given live.

    Both sinks would refuse another content for an identity they hold; they refuse none.
    """
    trajectories = max(1, int(REPLAYED_EVENTS * scale) // (REPLAYED_STEPS + 2))
    bulk = _bulk("replay", seed, trajectories=trajectories, steps=REPLAYED_STEPS)
    with at_work(arena, seed) as stage:
        with _sending(arena, bulk.records()) as is_alive:
            _kill_while(stage.battle, is_alive)
        recovery(stage.battle, _within_s(bulk))
        stage.prove(within_s=_within_s(bulk))
    published = _published(arena)
    forget_accounts(arena, range(AGENT_EVENTS.partitions))
    began = time.monotonic()
    group, within_s = {"ROPEWALK_WORKER_GROUP": "again"}, _within_s(bulk)
    with at_work(arena, seed, environment=group, owned_within_s=within_s) as again:
        recovery(again.battle, within_s)
        replay_s = time.monotonic() - began
        _prove(again, bulk)
        # What was published live may hold some parts twice, of workers that were killed.
        again.count(
            "a replay publishes each part once", bulk.trajectories, _published(arena) - published
        )
        again.checks += stage.checks
        again.battle.notes += stage.battle.notes
    told = {"events replayed": bulk.n_events, "replay_s": round(replay_s)}
    return told_of("replay-of-everything", seed, again, events=bulk.n_events, recover_s=replay_s,
                   told=told)  # fmt: skip


def _bulk(name: str, seed: int, *, trajectories: int, steps: int) -> Bulk:
    abreast = min(trajectories, REPLAYED_ABREAST)
    return Bulk(f"{name}-{seed}", datetime.now(UTC), trajectories, steps, abreast)


def _within_s(bulk: Bulk) -> float:
    return 120.0 + bulk.n_events / EVENTS_PER_S


@contextmanager
def _sending(arena: Arena, records: Iterator[Record]) -> Iterator[Callable[[], bool]]:
    """In a thread; gives whether it goes on, and waits for its end.

    Raises:
        CommandError: At the end, if not all was acknowledged.
    """
    with ThreadPoolExecutor(1) as pool:
        servers = arena.places.bootstrap_servers
        sending = pool.submit(send_many, servers, AGENT_EVENTS.name, records)
        yield lambda: not sending.done()
        sending.result()


def _kill_while(battle: Battle, is_alive: Callable[[], bool]) -> None:
    """Kill the worker some times at random moments, at the latest when all is sent."""
    for _ in range(KILLS):
        battle.until(lambda: not is_alive(), battle.rng.uniform(0.5, 8.0))
        os.kill(battle.pid("worker-1"), signal.SIGKILL)
        battle.pause(0.5, 3.0)


def _prove(stage: Stage, bulk: Bulk) -> None:
    stage.prove(within_s=_within_s(bulk))
    found = lives_in(stage.battle.arena.places.parquet_path, bulk.name)
    stage.count("bulk: every event is in a part", bulk.n_events, found.events)
    stage.count("bulk: every trajectory is whole", bulk.trajectories, found.whole)


def _published(arena: Arena) -> int:
    with LogScanner(arena.places.bootstrap_servers) as scanner:
        return sum(
            scanner.bounds(TRAJECTORIES.name, partition).end
            for partition in scanner.partitions(TRAJECTORIES.name)
        )
