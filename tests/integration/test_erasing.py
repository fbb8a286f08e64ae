"""A subject is erased on real servers while its agents go on speaking; readers and others notice
nothing, and nothing of it is left or comes back."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd  # type: ignore[import-untyped]  # no stubs installed
import psycopg
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from tests.support.everything import everything_in_postgres
from tests.support.pipeline import Pipeline, local_pipeline, wait_for
from tests.support.sink_lab import rows

from ropewalk_deploy.audit.status import gather
from ropewalk_deploy.audit.verify import verify
from ropewalk_producers import Recorder, RecorderSettings
from ropewalk_schemas import failpoints
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_sinks.erase import erase, look
from ropewalk_sinks.erasure import Subject

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ALICE, BOB = "alice-of-the-erasing-test", "bob-of-the-erasing-test"
SECRET = "planted-7f3a-of-alice"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Agents:
    """Alice and Bob, who act until they are told to stop; Alice tells her secret everywhere."""

    def __init__(self, servers: str) -> None:
        settings = RecorderSettings(project="erasing", service="test", bootstrap_servers=servers)
        self._recorder = Recorder(settings)
        self._raw = Producer({"bootstrap.servers": servers, "log_level": 0})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._act)

    def __enter__(self) -> "Agents":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self._recorder.close(60).undelivered == 0
        assert self._raw.flush(60) == 0

    def _act(self) -> None:
        number = 0
        while not self._stop.wait(0.1):
            for agent_id, said in ((ALICE, SECRET), (BOB, "nothing much")):
                self._one(agent_id, f"{said} {number}")
                self._refused(agent_id, said)
            number += 1

    def _one(self, agent_id: str, said: str) -> None:
        with self._recorder.trajectory(agent_id=agent_id, goal=said) as trajectory:
            with trajectory.step(observation=said) as step:
                chat = [{"role": "user", "content": said}]
                reply = {"role": "assistant", "content": said}
                step.llm_call(model="small", messages=chat, output=reply)
                step.action("say", {"what": said}, result=said)
            # While it is open: before anybody can know whose it is.
            trajectory.reward("early", 1.0, source="human", reason=said)
        self._recorder.reward(trajectory.trajectory_id, "late", 1.0, source="human", reason=said)

    def _refused(self, agent_id: str, said: str) -> None:
        value = json.dumps({"agent_id": agent_id, "said": said, "seq": float("nan")}).encode()
        at = partition_of(agent_id.encode(), 4)
        self._raw.produce(AGENT_EVENTS.name, value, agent_id.encode(), at)
        self._raw.poll(0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Servers of its own: it looks through all that is stored, and stores what must not be."""
    with local_pipeline(tmp_path_factory.mktemp("erasing")) as pipeline, pipeline.running():
        pipeline.wait_until_owned()
        yield pipeline


def stored(pipeline: Pipeline, agent_id: str) -> set[str]:
    query = f"SELECT trajectory_id FROM trajectories WHERE agent_id = '{agent_id}'"
    return {name for (name,) in rows(pipeline.places.postgres_dsn, query)}


def rewarded(pipeline: Pipeline) -> set[str]:
    """The trajectories with both of their rewards, which come by another topic than parts."""
    query = "SELECT trajectory_id FROM rewards GROUP BY 1 HAVING count(*) = 2"
    return {name for (name,) in rows(pipeline.places.postgres_dsn, query)}


def in_parquet(pipeline: Pipeline, agent_id: str) -> "pd.DataFrame":
    folder, columns = pipeline.places.parquet_path / "trajectories", ["trajectory_id", "part"]
    if not any(folder.rglob("*.parquet")):
        return pd.DataFrame(columns=columns)  # without files there are no columns to read
    own = [("agent_id", "==", agent_id)]
    return pd.read_parquet(folder, columns=columns, filters=own).sort_values("trajectory_id")


@contextmanager
def read_meanwhile(pipeline: Pipeline) -> Iterator[list[str]]:
    """DuckDB and pandas read everything again and again; gives what was wrong."""
    wrong: list[str] = []
    stop, looks = threading.Event(), threading.Semaphore(0)
    folder = pipeline.places.parquet_path / "trajectories"
    look = (
        "SELECT count(*), count(DISTINCT (trajectory_id, part)), count(*) FILTER"
        f" (WHERE len(steps) = n_steps) FROM read_parquet('{folder}/**/*.parquet')"
        f" WHERE agent_id = '{BOB}'"
    )

    def read() -> None:
        most = 0
        while not stop.wait(0.05):  # leaves what is read some of the machine
            try:
                with duckdb.connect() as connection:
                    found, parts, whole = connection.execute(look).fetchall()[0]
                frame = in_parquet(pipeline, BOB)
                unique = frame[["trajectory_id", "part"]].drop_duplicates()
                if not found == parts == whole >= most or len(frame) != len(unique) < found:
                    wrong.append(f"{found} rows, {parts} parts, {whole} whole, before {most}")
                most = found
            except (duckdb.IOException, FileNotFoundError) as error:
                # A file that lost its last row, gone between being listed and being opened.
                if "No such file" not in str(error):
                    wrong.append(repr(error))
            except Exception as error:
                wrong.append(repr(error))
            looks.release()

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield wrong
        assert all(looks.acquire(timeout=30) for _ in range(5))
    finally:
        stop.set()
        reading.join()


def everything_in_parquet(path: Path) -> Iterator[tuple[Path, str]]:
    """Every file below a Parquet path: its bytes, and the rows that its pages hold."""
    for file in path.rglob("*"):
        if file.is_file():
            data = file.read_bytes().decode("latin-1")
            # An empty one is only a name, left for who is listing its folder.
            is_rows = file.suffix == ".parquet" and data
            decoded = repr(pq.ParquetFile(file).read().to_pylist()) if is_rows else ""
            yield file, data + decoded


def test_it_goes_while_it_speaks_and_an_erase_is_killed_between_the_stores(
    running: Pipeline, tmp_path: Path
) -> None:
    dsn, path = running.places.postgres_dsn, running.places.parquet_path
    with Agents(running.places.bootstrap_servers):
        wait_for(lambda: len(in_parquet(running, ALICE)) >= 10, told="some of Alice is stored")
        wait_for(lambda: len(stored(running, BOB)) >= 10, told="some of Bob is stored")
        with read_meanwhile(running) as wrong:
            known = set(in_parquet(running, BOB)["trajectory_id"])
            wait_for(
                lambda: known <= stored(running, BOB) & rewarded(running),
                told="Postgres has them, too",
            )
            before = of_others(running, known)
            backup = Path(shutil.copy(a_file_of(path, ALICE), tmp_path))
            dry = look(dsn, path, Subject("agent", ALICE))
            assert dry.postgres.n_parts >= 10 <= dry.parquet.n_parts
            assert dry.postgres.n_refused > 0 < dry.parquet.n_refused
            assert stored(running, ALICE)

            failpoints.arm(tmp_path, "erase.postgres.after", "kill")
            killed = running.ropewalk(
                *("erase", "--agent", ALICE, "--reason", "asked for"),
                changes={"ROPEWALK_FAILPOINTS": str(tmp_path)},
            )
            assert killed.returncode == -9, killed.stderr
            assert not stored(running, ALICE)
            assert len(in_parquet(running, ALICE))
            (half_done,) = gather(running.places)["erasures"]["unfinished"]
            assert half_done == f"agent {ALICE}: run `ropewalk erase --agent {ALICE}` again"

            done = running.answer("erase", "--agent", ALICE)
            assert done["parquet"]["parts"] >= 10
            assert not len(in_parquet(running, ALICE))
            n_bobs = len(stored(running, BOB))
            wait_for(lambda: len(stored(running, BOB)) > n_bobs + 5, told="Bob goes on")
            assert not stored(running, ALICE)
    assert wrong == []
    running.wait_until_settled()
    wait_for(lambda: not behind(running), told="the sinks have stored everything")
    # Rewards that came while a trajectory was open: its part, and so its agent, came later.
    erase(dsn, path, Subject("agent", ALICE), reason=None, now=NOW, told=lambda _: None)
    checks = {check.name: check for check in running.verify()}
    assert "erased, the log gives" in checks["postgres: trajectories"].detail
    assert "erased, the log gives" in checks["parquet: rewards"].detail
    assert checks["erasures are finished in both stores"].expected == 1

    for name, table in everything_in_postgres(dsn).items():
        assert [row for row in table if SECRET in row] == [], name
    for file, text in everything_in_parquet(path):
        assert SECRET not in text, file
    assert of_others(running, known) == before
    assert_noticed(running, backup)


def assert_noticed(running: Pipeline, backup: Path) -> None:
    """A backup that is put back over an erasure makes `verify` fail."""
    name = "{}: nothing of an erased subject is stored"
    again = running.places.parquet_path / "trajectories" / backup.name
    shutil.copy(backup, again)
    failed = {check.name for check in failing(running)}
    again.unlink()
    assert name.format("parquet, all files") in failed
    with psycopg.connect(running.places.postgres_dsn, autocommit=True) as connection:
        connection.execute(
            b"INSERT INTO claims SELECT trajectory_id, 0, 0, 'put back', '', 0, 'e', '{}'"
            b" FROM erased_trajectories LIMIT 1"
        )
        failed = {check.name for check in failing(running)}
        assert failed == {name.format("postgres, all tables")}
        connection.execute(b"DELETE FROM claims WHERE outcome_key = 'put back'")


def of_others(pipeline: Pipeline, known: set[str]) -> dict[str, list[str]]:
    """All that both stores hold of some trajectories."""
    found = everything_in_postgres(pipeline.places.postgres_dsn)
    del found["samples"]
    found["in parquet"] = [
        repr(sorted(row.items()))
        for file in (pipeline.places.parquet_path / "trajectories").rglob("*.parquet")
        for row in pq.ParquetFile(file).read().to_pylist()
    ]
    return {
        name: sorted(row for row in table if any(i in row for i in known))
        for name, table in found.items()
    }


def a_file_of(path: Path, agent_id: str) -> Path:
    files = (path / "trajectories").rglob("*.parquet")
    holding = [f for f in files if agent_id in pq.read_table(f)["agent_id"].to_pylist()]
    return max(holding)


def behind(pipeline: Pipeline) -> bool:
    return any(sink["lag"] != 0 for sink in gather(pipeline.places)["sinks"])


def failing(pipeline: Pipeline) -> list[Any]:
    checks = verify(pipeline.places, ledger=None, timeout_s=30, share=lambda _: None)
    return [check for check in checks if not check.ok]
