"""The Parquet sink on a real Kafka: killed and overtaken under load, each row is there once."""

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.support.published import a_part, an_entry, content_hash, value_of
from tests.support.sink_lab import N_PARTITIONS, Lab, open_lab, wait_for

from ropewalk_deploy.stack.model import Stack
from ropewalk_sinks.config import ParquetSettings
from ropewalk_sinks.parquet_checks import check_files
from ropewalk_sinks.parquet_reads import stored_offsets, stored_parts, stored_rewards

pytestmark = pytest.mark.integration
PROCESS = Path(__file__).parents[1] / "support" / "parquet_sink_process.py"
KILLS = 12
PER_ROUND = 150
_serial = count()


class Sinks:
    """Sink processes on one path.

    Each has its own consumer group, so that a new one need not wait until the broker misses a
    killed one, and so that two at once both own every partition: the worst a zombie can do.
    """

    def __init__(self, lab: Lab, path: Path) -> None:
        self.path = path
        self._lab = lab
        self._running: list[subprocess.Popen[str]] = []

    def start(self, **changes: Any) -> "subprocess.Popen[str]":
        settings = ParquetSettings(
            bootstrap_servers=self._lab.settings.bootstrap_servers,
            topics=self._lab.settings.topics,
            parquet_path=self.path,
            parquet_group=f"{self.path.name}-{next(_serial)}",
            **{"parquet_file_rows": 40, "parquet_file_age_s": 0.2} | changes,
        )
        command = [sys.executable, str(PROCESS), settings.model_dump_json()]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._running.append(process)
        return process

    def stored(self) -> int:
        return sum(stored_offsets(self.path).values())

    def staging_folders(self) -> set[Path]:
        """One folder per partition and owner."""
        return set((self.path / "_ropewalk" / "staging").glob("*/*/*"))

    def stop_all(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def lab(stack: Stack, unique: str) -> Lab:
    """Topics of this test's own."""
    return open_lab(stack, unique)


@pytest.fixture
def sinks(lab: Lab, tmp_path: Path) -> Any:
    """Sink processes, all gone afterwards."""
    running = Sinks(lab, tmp_path)
    yield running
    running.stop_all()


class Load:
    """Trajectories of two parts and a reward each, spread over the partitions, some sent again."""

    def __init__(self, lab: Lab) -> None:
        self.n_records = 0
        self.trajectories: list[str] = []
        self._lab = lab

    def send(self, n_trajectories: int, rng: random.Random) -> None:
        topic = self._lab.settings.topics.trajectories
        for _ in range(n_trajectories):
            name = f"t-{len(self.trajectories)}"
            self.trajectories.append(name)
            self._send(topic, name)
            if rng.random() < 0.2:
                self._send(topic, rng.choice(self.trajectories))
        assert self._lab.producer.flush(60) == 0

    def _send(self, topic: str, name: str) -> None:
        rows = [a_part(name, 0, last=False), a_part(name, 1), an_entry(f"r-{name}", name)]
        for row in rows:
            partition = int(name[2:]) % N_PARTITIONS
            self._lab.producer.produce(topic, value_of(row), name.encode(), partition=partition)
            self.n_records += 1


def moment(
    rng: random.Random, process: "subprocess.Popen[str]", progressed: Callable[[], bool]
) -> None:
    """Wait for the first new commit, then a little more: any step of a flush may be under way."""
    wait_for(lambda: progressed() or process.poll() is not None, told="a new commit")
    with suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0.0, 0.3))


def assert_each_row_once(path: Path, load: Load, told: str = "") -> None:
    parts = Counter((p.trajectory_id, p.part, p.content_hash) for p in stored_parts(path))
    assert parts == Counter(
        (name, part, content_hash(name, part)) for name in load.trajectories for part in (0, 1)
    ), told
    rewards = Counter(entry.reward_id for entry in stored_rewards(path))
    assert rewards == Counter(f"r-{name}" for name in load.trajectories)
    assert list(check_files(path)) == []


def test_killed_at_random_moments_under_load_it_stores_each_row_once(
    lab: Lab, sinks: Sinks
) -> None:
    rng, load = random.Random(seed := os.urandom(4).hex()), Load(lab)
    for _ in range(KILLS):
        before = sinks.stored()
        load.send(PER_ROUND, rng)
        process = sinks.start()
        moment(rng, process, lambda before=before: sinks.stored() > before)  # type: ignore[misc]  # mypy cannot infer it
        process.kill()
        assert process.wait() == -9
    last = sinks.start()
    wait_for(lambda: sinks.stored() == load.n_records, told=f"{load.n_records} records stored")
    last.terminate()
    assert last.wait(60) == 0
    assert_each_row_once(sinks.path, load, f"seed {seed}")


def test_two_owners_at_once_store_each_row_once_and_the_overtaken_one_says_so(
    lab: Lab, sinks: Sinks
) -> None:
    rng, load = random.Random(5), Load(lab)
    load.send(PER_ROUND, rng)
    zombie = sinks.start()
    wait_for(lambda: sinks.stored() > 0, told="the first commit")
    folders = sinks.staging_folders()
    owner = sinks.start()
    wait_for(lambda: not folders & sinks.staging_folders(), told="the claim of the second")
    load.send(PER_ROUND, rng)
    _, errors = zombie.communicate(timeout=60)
    assert zombie.returncode == 1
    assert "FencedError: another process took" in errors
    assert "Traceback" not in errors
    wait_for(lambda: sinks.stored() == load.n_records, told=f"{load.n_records} records stored")
    owner.terminate()
    assert owner.wait(60) == 0
    assert_each_row_once(sinks.path, load)


def test_what_is_buffered_at_a_stop_is_stored(lab: Lab, sinks: Sinks) -> None:
    load = Load(lab)
    load.send(10, random.Random(1))
    process = sinks.start(parquet_file_rows=1000, parquet_file_age_s=3600)
    assert process.stderr is not None
    all_read = f" records={load.n_records} "
    assert any(all_read in line for line in process.stderr), "the sink ended before it read all"
    assert sinks.stored() == 0
    process.terminate()
    assert process.wait(60) == 0
    assert sinks.stored() == load.n_records
    assert_each_row_once(sinks.path, load)
