"""Who is measured: how each is started, and where its trajectories go.

All three read the same log from its begin with a fresh group, run the same engine, collect garbage
at the same thresholds, and publish with zstd into an empty topic of as many partitions.
"""

import sys
from dataclasses import dataclass

from benchmarks.broker import output_topic
from ropewalk_deploy.config import Endpoints
from ropewalk_schemas.topics import CHUNKS, PROGRESS, QUARANTINE, TRAJECTORIES, TopicSpec

READING = "partitions assigned"
"""What a contender of ours prints once it owns its partitions."""
GARBAGE_THRESHOLDS = (50_000, 50, 50)  # as the worker sets them
N_PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Contender:
    """One of the programs compared.

    Attributes:
        name: In files and topics; `label` is for people.
        module: What `python -m` runs.
        ready: Printed when it begins to read, `n_ready` times.
        durable: Whether it accounts for every event.
    """

    name: str
    label: str
    module: str
    ready: str = READING
    n_ready: int = 1
    durable: bool = False

    def outputs(self, run: str) -> list[TopicSpec]:
        """The topics it writes; the first receives its trajectories. Ours has fixed names."""
        if self is WORKER:
            return [TRAJECTORIES, PROGRESS, CHUNKS, QUARANTINE]
        return [output_topic(f"{self.name}-{run}")]

    def command(self, run: str, bootstrap_servers: str, *, profile: str | None = None) -> list[str]:
        """How to start it; with `profile`, under the profiler, which writes there at the end."""
        python = [sys.executable, "-m"]
        if profile is not None:
            python += ["benchmarks.profiled", profile]
        if self is WORKER:
            return [*python, self.module, "worker", "--name", f"bench-{run}"]
        return [*python, self.module, bootstrap_servers, group(run), self.outputs(run)[0].name]

    def environment(self, run: str, endpoints: Endpoints) -> dict[str, str]:
        """What it needs in its environment."""
        return {**endpoints.environment(), "ROPEWALK_WORKER_GROUP": group(run)}


def group(run: str) -> str:
    """The consumer group of a run: fresh, so that it reads from the log's begin."""
    return f"bench-{run}"


WORKER = Contender(
    "worker",
    "ropewalk worker",
    "ropewalk_deploy",
    ready="partition restored",
    n_ready=N_PARTITIONS,
    durable=True,
)
STOCK_FAUST = Contender("stock-faust", "stock Faust agent", "benchmarks.stock_faust")
PLAIN_LOOP = Contender("plain-loop", "hand-written loop", "benchmarks.plain_loop")
CONTENDERS = (WORKER, STOCK_FAUST, PLAIN_LOOP)


def turns(n_rounds: int) -> list[list[Contender]]:
    """Who runs when: each round begins with another contender."""
    n = len(CONTENDERS)
    return [[CONTENDERS[(i + at) % n] for at in range(n)] for i in range(n_rounds)]
