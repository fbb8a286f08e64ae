"""How long a worker with long-lived trajectories is away when it is killed.

`python -m benchmarks.restore` fills the input with many short trajectories and a few that begin
with the log and stay open, while a worker assembles them. Then it kills the worker (SIGKILL), sends
more events, starts a worker, and measures from the kill: seconds until the last partition is
restored (its state is in memory), and until a new account of every partition covers the log's end:
then everything is assembled as if nothing had happened. Settings are the defaults, so the killed
worker's partitions are free after its session timeout. It does so with spilling and without.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.broker import Broker
from benchmarks.contenders import N_PARTITIONS, WORKER
from benchmarks.machine import describe_machine, load
from benchmarks.runs import POLL_S, Process
from benchmarks.servers import at_least_1, servers
from benchmarks.workload import EVENTS_PER_TRAJECTORY, with_long_ones, workload
from ropewalk_deploy.audit.readers import newest_progress
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.topics import AGENT_EVENTS, CHUNKS, PROGRESS, TOPICS

LOOK_S = 0.2


def main() -> None:
    options = _options()
    print(json.dumps(describe_machine() | {"load": f"{load():.1f}"}), flush=True)
    with servers() as stack:
        broker = Broker(stack.bootstrap_servers, stack.home)
        if used := broker.holds_records(spec.name for spec in TOPICS):
            sys.exit(f"the benchmark deletes topics, and {', '.join(used)} hold records")
        places = Endpoints(stack.bootstrap_servers, stack.postgres_dsn, stack.parquet_path)
        logs = stack.home / "benchmark-logs"
        logs.mkdir(exist_ok=True)
        try:
            for name, spill_ms in (("with spilling", options.spill_ms), ("without", 0)):
                found = _measure(options, broker, places, logs, spill_ms)
                print(json.dumps({"run": name} | found), flush=True)
        finally:
            broker.delete(spec.name for spec in TOPICS)


def _measure(
    options: argparse.Namespace, broker: Broker, places: Endpoints, logs: Path, spill_ms: int
) -> dict[str, Any]:
    """One run on fresh topics."""
    broker.fresh(TOPICS)
    limits = {"spill_ms": spill_ms, "spill_records": options.spill_records}
    run = f"restore-{spill_ms}-{os.getpid()}"
    environment = {
        **WORKER.environment(run, places),
        "ROPEWALK_LIMITS": json.dumps(limits),
    }
    killed = _worker(f"{run}-killed", environment, logs)
    n_short = max(1, options.events // EVENTS_PER_TRAJECTORY)
    try:
        given = broker.produce(with_long_ones(n_short, options.lives, options.life_events))
        _wait(killed, broker, f"{run}-killed", options.limit)
    finally:
        killed.signal(signal.SIGKILL)
    at = time.monotonic()
    accounts = _accounts(broker)
    broker.produce(workload(max(1, options.backlog // EVENTS_PER_TRAJECTORY)))
    again = _worker(f"{run}-again", environment, logs)
    try:
        while not again.is_ready():
            again.check(at + options.limit, "its partitions")
            time.sleep(POLL_S)
        back_at = _wait(again, broker, f"{run}-again", options.limit)
        cpu_s, peak_mib = again.cpu_s(), again.peak_mib()
    finally:
        again.stop()
    held = [a.next_offset - a.replay_offset for a in accounts.values()]
    return {
        "events": given.n_events,
        "open_trajectories": sum(a.open_trajectories for a in accounts.values()),
        "open_events": sum(a.open_events for a in accounts.values()),
        "spill_ms": spill_ms,
        "records_to_replay": sum(held),
        "records_to_replay_worst_partition": max(held),
        "chunks_named": sum(len(c) for a in accounts.values() for c in a.chunks.values()),
        "chunks_mib_on_disk": round(broker.on_disk(CHUNKS.name) / 2**20, 1),
        "progress_mib_on_disk": round(broker.on_disk(PROGRESS.name) / 2**20, 1),
        "backlog": options.backlog,
        "kill_to_restored_s": round(again.ready_at - at, 1),
        "kill_to_log_end_s": round(back_at - at, 1),
        "cpu_s": round(cpu_s, 1),
        "peak_mib": round(peak_mib),
    }


def _worker(name: str, environment: dict[str, str], logs: Path) -> Process:
    command = [sys.executable, "-m", WORKER.module, "worker", "--name", name]
    process = Process(command, environment, logs / f"{name}.log")
    process.watch(WORKER.ready, N_PARTITIONS)
    return process


def _accounts(broker: Broker) -> dict[int, Progress]:
    with LogScanner(broker.bootstrap_servers) as scanner:
        return newest_progress(scanner)


def _wait(process: Process, broker: Broker, name: str, limit_s: float) -> float:
    """When accounts of this worker covered the log's end in every partition."""
    deadline = time.monotonic() + limit_s
    with LogScanner(broker.bootstrap_servers) as scanner:
        ends = {p: scanner.bounds(AGENT_EVENTS.name, p).end for p in range(N_PARTITIONS)}
        while True:
            accounts = newest_progress(scanner)
            at = time.monotonic()
            if all(
                p in accounts and accounts[p].worker == name and accounts[p].next_offset >= end
                for p, end in ends.items()
            ):
                return at
            process.check(deadline, "its accounts")
            time.sleep(LOOK_S)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restore", description=__doc__)
    number: dict[str, Any] = {"type": at_least_1, "metavar": "N"}
    parser.add_argument("--events", default=400_000, help="of short trajectories", **number)
    parser.add_argument("--lives", default=20, help="trajectories that stay open", **number)
    parser.add_argument("--life-events", default=2_000, help="events of each", **number)
    parser.add_argument("--backlog", default=20_000, help="events sent while it is away", **number)
    parser.add_argument(
        "--spill-ms", default=2_000,
        help="age of what is spilled; the log here is far shorter than a day", **number,
    )  # fmt: skip
    parser.add_argument("--spill-records", default=20_000, help="as in ROPEWALK_LIMITS", **number)
    parser.add_argument("--limit", type=float, default=600, help="seconds a step may take")
    return parser.parse_args()


if __name__ == "__main__":
    main()
