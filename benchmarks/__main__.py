"""Our worker beside a stock Faust agent and a hand-written loop, on a Kafka of its own.

`python -m benchmarks` takes some minutes, prints what it finds and writes it to
`benchmarks/results`. A speed that is missed is said, not failed: a speed claim is never a test.
"""

import argparse
import json
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.broker import Broker, Published, output_topic
from benchmarks.contenders import CONTENDERS, WORKER, turns
from benchmarks.machine import describe_machine, load
from benchmarks.report import Result, shells, verdicts, write
from benchmarks.runs import ROOT, Bench, ContenderError, Run, measure
from benchmarks.servers import at_least_1, servers
from benchmarks.workload import workload
from ropewalk_deploy.config import HOME, Endpoints
from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.topics import AGENT_EVENTS, TOPICS

RESULTS = Path(__file__).parent / "results"
RECORDER_TOPIC = output_topic("recorder-cost")
PROFILE_ROUND = 0
MOST_IN_MEMORY = 1000  # trajectories


def main() -> None:
    options = _options()
    machine, load_before = describe_machine(), load()
    with servers() as stack:
        broker = Broker(stack.bootstrap_servers, stack.home)
        used = broker.holds_records(spec.name for spec in TOPICS)
        if used:
            sys.exit(
                f"the benchmark deletes topics, and {', '.join(used)} of {stack.home} hold "
                f"records: unset {HOME}, or name an empty folder"
            )
        try:
            _run(options, stack, broker, machine, load_before)
        except ContenderError as error:
            sys.exit(f"no result: {error}")
        finally:
            broker.delete([spec.name for spec in TOPICS] + [RECORDER_TOPIC.name])


def _run(
    options: argparse.Namespace,
    stack: Stack,
    broker: Broker,
    machine: dict[str, str],
    load_before: float,
) -> None:
    endpoints = Endpoints(stack.bootstrap_servers, stack.postgres_dsn, stack.parquet_path)
    broker.fresh([AGENT_EVENTS])
    given = broker.produce(workload(options.trajectories))
    print(f"{given.n_events:,} events in Kafka, {given.on_disk / 2**20:.0f} MiB", flush=True)
    logs = stack.home / "benchmark-logs"
    logs.mkdir(exist_ok=True)
    bench = Bench(broker, endpoints, given, logs, options.limit)
    runs = _rounds(bench, options.rounds)
    recorder = [_recorder_cost(broker, kind, options.recorded) for kind in ("memory", "kafka")]
    core = _ask("benchmarks.core_alone", str(min(options.trajectories, MOST_IN_MEMORY)))
    result = Result(
        command=shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        at=datetime.now(UTC).isoformat(sep=" ", timespec="minutes").replace("+00:00", " UTC"),
        machine=machine,
        load=(load_before, load()),
        given=given,
        runs=runs,
        core_us=core["us_per_event"],
        recorder=recorder,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    for old in options.out.glob("profile-*.txt"):
        old.unlink()
    profiles = []
    if result.misses():
        name = f"profile-{WORKER.name}.txt"
        measure(bench, WORKER, PROFILE_ROUND, profile=(options.out / name).absolute())
        profiles.append(name)
    write(result, options.out, profiles)
    print("\n".join([*verdicts(result), shells(result)]))
    print(f"written to {options.out}: latest.md, latest.json, latest.png", *profiles)


def _rounds(bench: Bench, n_rounds: int) -> list[Run]:
    runs: list[Run] = []
    first: Published | None = None
    for number, contenders in enumerate(turns(n_rounds), start=1):
        for contender in contenders:
            run, published = measure(bench, contender, number)
            first = first or published
            _check_same(contender.label, first, published)
            print(
                f"round {number}  {contender.label:<18} {run.per_cpu_s:>8,.0f} events per "
                f"CPU-second {run.per_wall_s:>8,.0f} per second {run.peak_mib:>6.0f} MiB",
                flush=True,
            )
            runs.append(run)
    order = [contender.name for contender in CONTENDERS]
    return sorted(runs, key=lambda run: (run.round, order.index(run.contender)))


def _check_same(label: str, first: Published, published: Published) -> None:
    """Whether two runs published the same trajectories.

    Raises:
        ContenderError: If not.
    """
    if sorted(first.hashes) != sorted(published.hashes):
        n_other = len(set(published.hashes) - set(first.hashes))
        msg = f"{label} published {n_other} trajectories that differ from the first run's"
        raise ContenderError(msg)


def _recorder_cost(broker: Broker, publisher: str, n: int) -> dict[str, Any]:
    broker.fresh([RECORDER_TOPIC])
    servers, topic = broker.bootstrap_servers, RECORDER_TOPIC.name
    measured = _ask("benchmarks.recorder_cost", publisher, servers, topic, str(n))
    told = measured["calls"]["llm_call"]
    print(
        f"recorder  {publisher:<8} llm_call p50 {told['p50_us']:.0f} us, p99 {told['p99_us']:.0f} "
        f"us, {measured['events_per_s']:,.0f} events per second",
        flush=True,
    )
    return measured


def _ask(module: str, *arguments: str) -> dict[str, Any]:
    """What a module of ours prints, in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    asked = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(asked.stdout)
    return answer


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=at_least_1, default=3, help="default %(default)s")
    parser.add_argument(
        "--trajectories", type=at_least_1, default=4000, help="of 32 events; default %(default)s"
    )
    parser.add_argument(
        "--recorded", type=at_least_1, default=400,
        help="trajectories to measure the recorder with; default %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds a run may take; default %(default)s"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
