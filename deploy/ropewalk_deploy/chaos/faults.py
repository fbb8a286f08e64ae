"""The catalogue: every fault by its name. Add one here and it is in the table."""

import signal
from typing import Any

from ropewalk_deploy.chaos import (
    clocks,
    deletions,
    disk,
    large,
    lines,
    points,
    replays,
    spools,
    strikes,
)
from ropewalk_deploy.chaos.battle import Fault
from ropewalk_deploy.chaos.readers import read_while
from ropewalk_deploy.supervisor import Program

SECOND_POSTGRES = Program("sink-postgres-2", ("sink", "postgres"))
SECOND_PARQUET = Program("sink-parquet-2", ("sink", "parquet"))
ONE_LONG = {"processes": 1, "agents": 1, "trajectories": 1, "short": 0.0, "long": 1.0,
            "long_steps": 10_000, "rate": 0.0, "lost_clocks": 0.0}  # fmt: skip
MANY_OPEN = {"agents": 2_000, "events": 20_000, "rate": 0.0, "long": 1.0, "short": 0.0}


def _kill(name: str, strike: strikes.Strike, **more: Any) -> Fault:
    return Fault(name, strike, kind="kill", **more)


_FAULTS = (
    _kill("kill-worker", strikes.kill("worker-1")),
    _kill("kill-sink-postgres", strikes.kill("sink-postgres")),
    _kill("kill-sink-parquet", strikes.kill("sink-parquet")),
    _kill("kill-settle", strikes.kill("settle"), when="round"),
    _kill("kill-judge", strikes.kill("judge"), judges=True),
    Fault("kill-producers", kind="kill", options={"deaths": 2}),
    Fault(spools.NAME, kind="kill", play=spools.fight_with_spools),
    _kill("die-at-points-worker", points.die("worker")),
    _kill("die-at-points-sink-postgres", points.die("sink-postgres")),
    _kill("die-at-points-sink-parquet", points.die("sink-parquet")),
    _kill("die-at-points-settle", points.die("settle"), when="after it"),
    _kill("die-at-points-judge", points.die("judge"), judges=True),
    Fault("die-in-replays", kind="kill", play=replays.fight_in_replays, alone=True),
    Fault(
        "bug-at-one-record",
        strikes.send_what_meets_a_bug,
        worker_module="ropewalk_deploy.chaos.faulty_worker",
    ),
    Fault("term-worker", strikes.terminate("worker-1")),
    Fault("term-sinks", strikes.roll("sink-postgres", "sink-parquet")),
    Fault("term-settle", strikes.terminate("settle"), when="round"),
    Fault("term-at-points-worker", points.end("worker", "worker-1")),
    Fault("term-at-points-sink-postgres", points.end("sink-postgres", "sink-postgres")),
    Fault("term-at-points-sink-parquet", points.end("sink-parquet", "sink-parquet")),
    Fault("term-at-points-settle", points.end("settle", "settle"), when="after it"),
    Fault("term-at-points-judge", points.end("judge", "judge"), judges=True),
    Fault(
        "rolling-restart",
        strikes.roll("worker-1", "worker-2", "worker-3", "sink-postgres", "sink-parquet"),
        n_workers=3,
    ),
    Fault("zombie-worker", strikes.freeze("worker-1"), n_workers=2),
    Fault(
        "zombie-worker-at-flush",
        points.freeze("worker.outputs.after_flush"),
        n_workers=2,
    ),
    Fault("zombie-sink-postgres", strikes.freeze("sink-postgres"), extra=(SECOND_POSTGRES,)),
    Fault(
        "zombie-sink-postgres-at-commit",
        points.freeze("postgres.commit.before"),
        extra=(SECOND_POSTGRES,),
    ),
    Fault("zombie-sink-parquet", strikes.freeze("sink-parquet"), extra=(SECOND_PARQUET,)),
    Fault(
        "zombie-sink-parquet-at-link",
        points.freeze("parquet.link.before"),
        extra=(SECOND_PARQUET,),
    ),
    _kill("broker-killed", strikes.restart_server("kafka", signal.SIGKILL)),
    Fault("broker-stopped", strikes.restart_server("kafka", signal.SIGTERM)),
    Fault("broker-frozen", strikes.freeze_server("kafka")),
    Fault("broker-slow", lines.slow("broker"), through=("broker",)),
    Fault("broker-cut", lines.cut("broker"), through=("broker",)),
    _kill("postgres-killed", strikes.restart_server("postgres", signal.SIGQUIT)),
    Fault("postgres-restarted", strikes.restart_server("postgres", signal.SIGINT)),
    Fault("postgres-connections-cut", strikes.cut_connections),
    Fault("postgres-slow", lines.slow("postgres"), through=("postgres",)),
    Fault("postgres-cut", lines.cut("postgres"), through=("postgres",)),
    Fault("postgres-cut-amid-copy", lines.cut_copy, through=("postgres",)),
    Fault("postgres-cut-at-commit", lines.cut_commit_answers, through=("postgres",)),
    Fault("postgres-locked", strikes.hold_locks),
    Fault("postgres-frozen", strikes.freeze_server("postgres")),
    Fault(
        "parquet-disk-full",
        points.fail(("parquet.create.before", "parquet.link.before"), "ENOSPC"),
    ),
    Fault(
        "parquet-disk-broken",
        points.fail(("parquet.create.after", "parquet.sync.after"), "EIO"),
    ),
    Fault(
        "postgres-disk-full",
        disk.fill,
        prepare=disk.on_a_small_disk,
        cannot=disk.cannot_mount,
        alone=True,
    ),
    Fault(
        "clocks-jump",
        clocks.jump,
        prepare=clocks.with_clocks_of_its_own,
        cannot=clocks.cannot_compile,
        alone=True,
    ),
    Fault("readers-meanwhile", read_while(strikes.kill("sink-parquet"))),
    Fault("poison", strikes.send_poison),
    Fault("lossy-producers", options={"lost": 0.02, "reviewed": 0.0}),
    Fault("reordered-producers", options={"reordered": 0.5, "handovers": 1.0}),
    Fault("duplicates", strikes.kill("worker-1"), options={"duplicates": 0.5}),
    Fault("clocks", strikes.kill("worker-1"), options={"lost_clocks": 0.6}),
    Fault("retention-passes-replay-point", play=deletions.fight_with_retention, alone=True),
    Fault("topic-made-anew", play=deletions.fight_with_a_topic_made_anew, alone=True),
    Fault("million-events", play=large.fight_with_one_long_trajectory, alone=True),
    Fault("hundred-thousand-open", play=large.fight_with_many_open_trajectories, alone=True),
    Fault("replay-of-everything", play=large.fight_with_a_replay_of_everything, alone=True),
    Fault("one-long-trajectory", strikes.kill("worker-1"), options=ONE_LONG),
    Fault("many-open-trajectories", strikes.kill("worker-1"), options=MANY_OPEN),
    Fault("idle-partitions", strikes.kill("worker-1"), options={"processes": 1, "agents": 1}),
)
FAULTS = {fault.name: fault for fault in _FAULTS}
