"""Runs one contender over the whole log and measures its process, from outside."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.broker import Broker, Input, Published
from benchmarks.contenders import Contender
from ropewalk_deploy.config import Endpoints

ROOT = Path(__file__).parents[1]
MIB = 1024 * 1024
POLL_S = 0.02
ACCOUNTED_WITHIN_S = 30.0
STOPPED_WITHIN_S = 30.0


class ContenderError(Exception):
    """A contender did not do its job."""


@dataclass(frozen=True, slots=True)
class Run:
    """One contender in one round.

    Attributes:
        wall_s: From its partitions being assigned to its last trajectory being in the log.
        cpu_s: CPU of the process, all threads, user and system, in that time.
        whole_cpu_s: The same from its start to its exit, imports and shutdown included.
        peak_mib: Largest resident memory up to the last trajectory.
        accounted_s: How much later its accounts covered every event; None without accounts.
        output_bytes: JSON published; `output_on_disk` is what Kafka stores of it.
    """

    contender: str
    round: int
    n_events: int
    n_trajectories: int
    wall_s: float
    cpu_s: float
    whole_cpu_s: float
    peak_mib: float
    accounted_s: float | None
    output_bytes: int
    output_on_disk: int

    @property
    def per_cpu_s(self) -> float:
        return self.n_events / self.cpu_s

    @property
    def per_wall_s(self) -> float:
        return self.n_events / self.wall_s

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "events_per_cpu_s": self.per_cpu_s,
            "events_per_wall_s": self.per_wall_s,
        }


class Process:
    """A contender's process: its log, and what it has used."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        self._lines: list[str] = []
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stat = psutil.Process(self._process.pid)
        self.ready_at = self.ready_cpu_s = 0.0

    def watch(self, ready: str, n_ready: int) -> threading.Thread:
        """Keep its log, and take time and CPU when the ready line has come `n_ready` times."""

        def read() -> None:
            left = n_ready
            stream = self._process.stderr
            with self._log.open("w") as file:
                for line in stream or ():
                    self._lines.append(line)
                    file.write(line)
                    if ready in line and not self._ready.is_set():
                        left -= 1
                        if left == 0:
                            self.ready_cpu_s, self.ready_at = self.cpu_s(), time.monotonic()
                            self._ready.set()

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def is_ready(self) -> bool:
        return self._ready.is_set()

    def cpu_s(self) -> float:
        used = self._stat.cpu_times()
        return float(used.user + used.system)

    def peak_mib(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status")
        if not status.exists():  # not Linux: what is resident now
            return float(self._stat.memory_info().rss) / MIB
        lines = status.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

    def check(self, deadline: float, waiting_for: str) -> None:
        """Whether it still runs and time is left.

        Raises:
            ContenderError: If not.
        """
        if self._process.poll() is not None:
            what = f"it ended with status {self._process.returncode}"
        elif time.monotonic() > deadline:
            what = "it took too long"
        else:
            return
        tail = "".join(self._lines[-20:])
        msg = f"{what}, waiting for {waiting_for}; its last lines, of {self._log}:\n{tail}"
        raise ContenderError(msg)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> float:
        """Let it end by a signal; gives the CPU of its whole life."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOPPED_WITHIN_S
        used = self.cpu_s() if self._process.poll() is None else 0.0
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                break
            try:
                used = max(used, self.cpu_s())
            except psutil.Error:
                break
            time.sleep(0.01)
        self._process.wait()
        return used


@dataclass(frozen=True, slots=True)
class Bench:
    """What every run of a benchmark shares; no run may take longer than `limit_s`."""

    broker: Broker
    endpoints: Endpoints
    given: Input
    logs: Path
    limit_s: float


def measure(
    bench: Bench, contender: Contender, round_: int, *, profile: Path | None = None
) -> tuple[Run, Published]:
    """One run, from empty output topics to the last trajectory, checked to be complete.

    Args:
        bench: What all runs share.
        contender: Who runs.
        round_: In which round.
        profile: Where to write a profile of the run; its figures then mean nothing.

    Raises:
        ContenderError: If it fails, takes too long, or publishes something else than every
            trajectory once.
    """
    broker, given = bench.broker, bench.given
    run = f"{contender.name}-{round_}-{os.getpid()}"
    topics = contender.outputs(run)
    broker.fresh(topics)
    process = Process(
        contender.command(run, broker.bootstrap_servers, profile=str(profile) if profile else None),
        contender.environment(run, bench.endpoints),
        bench.logs / f"{contender.name}-{round_}.log",
    )
    deadline = time.monotonic() + bench.limit_s
    accounted_s: float | None = None
    try:
        reading = process.watch(contender.ready, contender.n_ready)
        while not process.is_ready():
            process.check(deadline, "its partitions")
            time.sleep(POLL_S)
        if profile is not None:
            process.signal(signal.SIGPROF)
        while (done := broker.end(topics[0].name)) < given.n_trajectories:
            process.check(deadline, f"trajectories: {done} of {given.n_trajectories}")
            time.sleep(POLL_S)
        done_at, cpu_s, peak_mib = time.monotonic(), process.cpu_s(), process.peak_mib()
        if profile is not None:
            process.signal(signal.SIGPROF)
            while not profile.exists():
                process.check(deadline, "its profile")
                time.sleep(POLL_S)
        if contender.durable:
            deadline = max(deadline, done_at + ACCOUNTED_WITHIN_S)
            while broker.accounted_events() < given.n_events:
                process.check(deadline, "its accounts")
                time.sleep(POLL_S)
            accounted_s = time.monotonic() - done_at
    finally:
        whole_cpu_s = process.stop()
    reading.join(5)
    published = broker.published(topics[0].name)
    if len(published.hashes) != given.n_trajectories:
        msg = (
            f"{contender.label} published {len(published.hashes)} records for "
            f"{given.n_trajectories} trajectories"
        )
        raise ContenderError(msg)
    result = Run(
        contender=contender.name,
        round=round_,
        n_events=given.n_events,
        n_trajectories=len(published.hashes),
        wall_s=done_at - process.ready_at,
        cpu_s=cpu_s - process.ready_cpu_s,
        whole_cpu_s=whole_cpu_s,
        peak_mib=peak_mib,
        accounted_s=accounted_s,
        output_bytes=published.n_bytes,
        output_on_disk=published.on_disk,
    )
    broker.delete(topic.name for topic in topics)
    return result, published
