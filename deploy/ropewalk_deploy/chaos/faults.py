"""The catalogue: every fault by its name. Add one here and it is in the table."""

import signal
from typing import Any

from ropewalk_deploy.chaos import lines, strikes
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
    _kill("kill-producers", strikes.nothing, options={"deaths": 2}),
    _kill("die-at-points-worker", strikes.die_at_points("worker")),
    _kill("die-at-points-sink-postgres", strikes.die_at_points("sink-postgres")),
    _kill("die-at-points-sink-parquet", strikes.die_at_points("sink-parquet")),
    _kill("die-at-points-settle", strikes.die_at_points("settle"), when="round"),
    _kill("die-at-points-judge", strikes.die_at_points("judge"), judges=True),
    Fault("term-worker", strikes.terminate("worker-1")),
    Fault("term-sinks", strikes.roll("sink-postgres", "sink-parquet")),
    Fault("term-settle", strikes.terminate("settle"), when="round"),
    Fault(
        "rolling-restart",
        strikes.roll("worker-1", "worker-2", "worker-3", "sink-postgres", "sink-parquet"),
        n_workers=3,
    ),
    Fault("zombie-worker", strikes.freeze("worker-1"), n_workers=2),
    Fault(
        "zombie-worker-at-flush",
        strikes.freeze_at_point("worker.outputs.after_flush"),
        n_workers=2,
    ),
    Fault("zombie-sink-postgres", strikes.freeze("sink-postgres"), extra=(SECOND_POSTGRES,)),
    Fault(
        "zombie-sink-postgres-at-commit",
        strikes.freeze_at_point("postgres.commit.before"),
        extra=(SECOND_POSTGRES,),
    ),
    Fault("zombie-sink-parquet", strikes.freeze("sink-parquet"), extra=(SECOND_PARQUET,)),
    Fault(
        "zombie-sink-parquet-at-link",
        strikes.freeze_at_point("parquet.link.before"),
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
        strikes.fail_at_points(("parquet.create.before", "parquet.link.before"), "ENOSPC"),
    ),
    Fault(
        "parquet-disk-broken",
        strikes.fail_at_points(("parquet.create.after", "parquet.sync.after"), "EIO"),
    ),
    Fault("readers-meanwhile", read_while(strikes.kill("sink-parquet"))),
    Fault("poison", strikes.send_poison),
    Fault("duplicates", strikes.kill("worker-1"), options={"duplicates": 0.5}),
    Fault("clocks", strikes.kill("worker-1"), options={"lost_clocks": 0.6}),
    Fault("one-long-trajectory", strikes.kill("worker-1"), options=ONE_LONG),
    Fault("many-open-trajectories", strikes.kill("worker-1"), options=MANY_OPEN),
    Fault("idle-partitions", strikes.kill("worker-1"), options={"processes": 1, "agents": 1}),
)
FAULTS = {fault.name: fault for fault in _FAULTS}
