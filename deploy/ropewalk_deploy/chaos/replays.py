"""The worker is killed in the middle of a replay, and in the middle of the replay that follows.

What an engine has computed by then is of half a log. The best known engine of this kind shows it,
and it wins over what was right. Here none of it may ever be seen.
"""

import os
import signal
from datetime import UTC, datetime

from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import OURS, recovery
from ropewalk_deploy.chaos.bulk import Bulk
from ropewalk_deploy.chaos.fought import Fought
from ropewalk_deploy.chaos.large import PATIENT
from ropewalk_deploy.chaos.points import reach
from ropewalk_deploy.chaos.staging import at_work, told_of
from ropewalk_deploy.chaos.stored import lives_in
from ropewalk_deploy.kafka import send_many
from ropewalk_schemas.topics import AGENT_EVENTS

NAME = "die-in-replays"
DEATHS = 4
# A replay is taken in steps of 2,000 records of a partition; there must be several.
OPEN, OVER, STEPS = 4_000, 1_000, 3


def fight_in_replays(
    arena: Arena, seed: int, _: float = 1.0, *, worker_module: str = OURS
) -> Fought:
    """Long open trajectories, others that begin and end between their events, and kills."""
    now = datetime.now(UTC)
    is_open = Bulk(f"open-{seed}", now, OPEN, STEPS, OPEN)
    is_over = Bulk(f"over-{seed}", now, OVER, STEPS, OVER // 4)
    servers = arena.places.bootstrap_servers
    with at_work(arena, seed, environment=PATIENT, worker_module=worker_module) as stage:
        battle = stage.battle
        half = battle.rng.randrange(OPEN // 4, OPEN // 2)
        # These begin before the replay point and are over: a replay meets their ends alone.
        send_many(servers, AGENT_EVENTS.name, is_over.begun(range(OVER)))
        send_many(servers, AGENT_EVENTS.name, is_open.begun(range(half)))
        send_many(servers, AGENT_EVENTS.name, is_over.ended(range(OVER)))
        send_many(servers, AGENT_EVENTS.name, is_open.begun(range(half, OPEN)))
        recovery(battle)
        os.kill(battle.pid("worker-1"), signal.SIGKILL)
        n_deaths = sum(reach(battle, "worker.replay.amid", "kill") for _ in range(DEATHS))
        stage.count("the worker was killed in replays", DEATHS, n_deaths)
        recover_s = recovery(battle)
        send_many(servers, AGENT_EVENTS.name, is_open.ended(range(OPEN)))
        recovery(battle)
        stage.prove()
        for bulk in (is_open, is_over):
            found = lives_in(arena.places.parquet_path, bulk.name)
            stage.count(f"{bulk.name}: every trajectory is whole", bulk.trajectories, found.whole)
            stage.count(f"{bulk.name}: every event is in a part", bulk.n_events, found.events)
    n_events = is_open.n_events + is_over.n_events
    return told_of(NAME, seed, stage, events=n_events, recover_s=recover_s)
