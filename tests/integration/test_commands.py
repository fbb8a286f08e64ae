"""Wrong settings, missing servers, unfit topics: one clear line, no traceback, a status that says
whether trying again can help (1: it may; 2: a setting; 3: events are gone)."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.support.events import a_start
from tests.support.pipeline import Pipeline, wait_for
from tests.support.sink_lab import fresh_database

from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.kafka import LogScanner, create_topics
from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.topics import (
    AGENT_EVENTS,
    CHUNKS,
    OUTCOMES,
    PROGRESS,
    QUARANTINE,
    TOPICS,
    TRAJECTORIES,
    TopicSpec,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

NOBODY = "127.0.0.1:1"
NO_DATABASE = "postgresql://nobody:secret-word@127.0.0.1:1/nothing"
Done = subprocess.CompletedProcess[str]


def one_line(done: Done, status: int, *words: str) -> None:
    """The command failed as it should."""
    lines = done.stderr.splitlines()
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert lines, "it says nothing"
    assert lines[-1].startswith("ropewalk: ")
    assert [line for line in lines[:-1] if " info " not in line] == []
    for word in words:
        assert word in lines[-1]


@pytest.fixture
def nowhere(tmp_path: Path) -> Pipeline:
    """Endpoints where nobody answers."""
    places = Endpoints(NOBODY, NO_DATABASE, tmp_path / "parquet")
    return Pipeline(tmp_path / "home", places, tmp_path / "log", environment={})


def test_a_broker_that_is_away_is_said_in_one_line(nowhere: Pipeline) -> None:
    commands = ("worker", "sink parquet", "status", "verify", "quarantine ls", "topics apply")
    with ThreadPoolExecutor() as pool:  # each waits 10 s for an answer
        done = pool.map(lambda command: nowhere.ropewalk(*command.split()), commands)
    for each in done:
        one_line(each, 1, NOBODY, "ropewalk up")


@pytest.mark.parametrize("command", ["sink postgres", "migrate"])
def test_a_database_that_is_away_is_said_in_one_line(nowhere: Pipeline, command: str) -> None:
    done = nowhere.ropewalk(*command.split())
    one_line(done, 1, NOBODY, "ROPEWALK_POSTGRES_DSN", "ropewalk up")
    assert "secret-word" not in done.stderr


@pytest.mark.parametrize("dsn", ["garbage", "postgresql://[", "host=a b=c"])
def test_a_dsn_that_is_none_is_said_in_one_line(nowhere: Pipeline, dsn: str) -> None:
    done = nowhere.ropewalk("sink", "postgres", changes={"ROPEWALK_POSTGRES_DSN": dsn})
    one_line(done, 2, "ROPEWALK_POSTGRES_DSN", "connection string")


@pytest.mark.parametrize(
    ("command", "name", "value", "words"),
    [
        ("worker", "ROPEWALK_LIMITS", "{not json", ("ROPEWALK_LIMITS", "JSON")),
        ("worker", "ROPEWALK_LIMITS", '{"defualt": {}}', ("ROPEWALK_LIMITS", "defualt")),
        (
            "worker",
            "ROPEWALK_LIMITS",
            '{"default": {"settle_ms": "soon"}}',
            ("ROPEWALK_LIMITS", "default.settle_ms", "integer"),
        ),
        ("worker", "ROPEWALK_LIMITS", '{"cap_ms": 500}', ("ROPEWALK_TICK_AFTER_S", "cap_ms")),
        ("worker", "ROPEWALK_SESSION_TIMEOUT_S", "1", ("ROPEWALK_SESSION_TIMEOUT_S", "6")),
        (
            "sink postgres",
            "ROPEWALK_POSTGRES_BATCH_RECORDS",
            "no",
            ("ROPEWALK_POSTGRES_BATCH_RECORDS",),
        ),
        ("sink parquet", "ROPEWALK_TOPICS", "{", ("topics", "JSON")),
        ("sink parquet", "ROPEWALK_PARQUET_FILE_AGE_S", "0", ("ROPEWALK_PARQUET_FILE_AGE_S",)),
    ],
)
def test_a_wrong_setting_is_named(
    nowhere: Pipeline, command: str, name: str, value: str, words: Sequence[str]
) -> None:
    one_line(nowhere.ropewalk(*command.split(), changes={name: value}), 2, *words)


@pytest.mark.parametrize("command", ["worker", "sink postgres", "run", "status", "verify"])
def test_without_a_stack_each_command_says_how_to_start_one(
    nowhere: Pipeline, command: str
) -> None:
    gone = dict.fromkeys(nowhere.places.environment(), "")
    done = nowhere.ropewalk(*command.split(), changes=gone)
    one_line(done, 2, "no local stack in", "ropewalk up", "ROPEWALK_BOOTSTRAP_SERVERS")


# -- topics that do not fit: on the shared stack, under their real names

MakeTopics = Callable[[Sequence[TopicSpec]], Pipeline]


@pytest.fixture
def topics(stack: Stack, unique: str, tmp_path: Path) -> Iterator[MakeTopics]:
    """Gives a pipeline with exactly the given topics; they are gone after the test."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    names = {spec.name for spec in TOPICS}

    def there() -> set[str]:
        return names & set(admin.list_topics(timeout=10).topics)

    def remove() -> None:
        if found := there():
            for future in admin.delete_topics(sorted(found), operation_timeout=30).values():
                future.result()
            wait_for(lambda: not there(), told="topics are gone")

    def make(specs: Sequence[TopicSpec]) -> Pipeline:
        remove()
        create_topics(stack.bootstrap_servers, specs)
        database = fresh_database(stack, unique)
        places = Endpoints(stack.bootstrap_servers, database, tmp_path / "parquet")
        pipeline = Pipeline(tmp_path / "home", places, tmp_path / "log")
        pipeline.environment["ROPEWALK_WORKER_GROUP"] = unique
        return pipeline

    yield make
    remove()


def with_spec(spec: TopicSpec, **changes: Any) -> list[TopicSpec]:
    """All topics, one of them another than it should be."""
    return [replace(spec, **changes) if spec is each else each for each in TOPICS]


@pytest.mark.parametrize("missing", [AGENT_EVENTS, CHUNKS, PROGRESS, QUARANTINE])
def test_a_missing_topic_is_named(topics: MakeTopics, missing: TopicSpec) -> None:
    pipeline = topics([spec for spec in TOPICS if spec is not missing])
    one_line(pipeline.ropewalk("worker"), 2, repr(missing.name), "ropewalk topics apply")
    if missing is QUARANTINE:
        for kind in ("postgres", "parquet"):
            done = pipeline.ropewalk("sink", kind)
            one_line(done, 2, missing.name, "ropewalk topics apply")
        one_line(pipeline.ropewalk("verify", "--timeout", "1"), 1, "topics apply")
        created = pipeline.ropewalk("topics", "apply")
        assert created.stdout == f"created topic {missing.name}\n"
        assert pipeline.ropewalk("topics", "apply").stdout == "all topics are there\n"


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (
            with_spec(AGENT_EVENTS, timestamp_type="CreateTime"),
            ("agent-events", "message.timestamp.type=CreateTime", "LogAppendTime"),
        ),
        (with_spec(TRAJECTORIES, partitions=3), ("trajectories", "3 partitions", "4")),
        (with_spec(PROGRESS, partitions=1), ("progress", "1 partitions", "4")),
        (with_spec(PROGRESS, cleanup="delete"), ("progress", "cleanup.policy=delete", "compact")),
        (
            with_spec(AGENT_EVENTS, max_message_bytes=1_000_000),
            ("agent-events", "max.message.bytes", "1000000"),
        ),
    ],
)
def test_a_topic_that_does_not_fit_is_named(
    topics: MakeTopics, specs: list[TopicSpec], words: Sequence[str]
) -> None:
    one_line(topics(specs).ropewalk("worker"), 2, *words)


def test_events_deleted_before_they_were_assembled_stop_the_worker_loudly(
    topics: MakeTopics, unique: str
) -> None:
    pipeline = topics(TOPICS)
    servers = pipeline.places.bootstrap_servers
    producer = Producer({"bootstrap.servers": servers})
    ids = (f"{unique}-{n}" for n in range(1000))
    for t in [t for t in ids if partition_of(t.encode(), AGENT_EVENTS.partitions) == 0][:20]:
        # left open, so that the replay point stays at the first
        producer.produce(AGENT_EVENTS.name, encode_event(a_start(t=t)), t.encode(), 0)
    assert producer.flush(30) == 0
    worker = pipeline.start("worker")
    pipeline.wait_until_owned()
    worker.terminate()
    assert worker.wait(30) == 0
    admin = AdminClient({"bootstrap.servers": servers})
    for future in admin.delete_records([TopicPartition(AGENT_EVENTS.name, 0, 10)]).values():
        future.result()
    with LogScanner(servers) as scanner:
        wait_for(lambda: scanner.bounds(AGENT_EVENTS.name, 0).start == 10, told="deleted")
    done = pipeline.ropewalk("worker", timeout_s=60)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "agent-events[0] begins at offset 10" in last
    assert "raise its retention" in last


def test_a_database_without_tables_is_said_with_what_to_do(
    topics: MakeTopics, stack: Stack, unique: str
) -> None:
    pipeline = topics(TOPICS)
    bare = fresh_database(stack, f"{unique}-bare", migrated=False)
    done = pipeline.ropewalk("sink", "postgres", changes={"ROPEWALK_POSTGRES_DSN": bare})
    one_line(done, 2, "ropewalk migrate")
    assert "applied" in pipeline.ropewalk("migrate", changes={"ROPEWALK_POSTGRES_DSN": bare}).stdout
    again = pipeline.ropewalk("migrate", changes={"ROPEWALK_POSTGRES_DSN": bare})
    assert again.stdout == "the tables are up to date\n"
    with psycopg.connect(bare) as connection:
        assert connection.execute(b"SELECT count(*) FROM trajectories").fetchone() == (0,)


def test_an_empty_stack_has_a_status_and_nothing_to_prove(topics: MakeTopics) -> None:
    pipeline = topics(TOPICS)
    said = pipeline.answer("status")
    assert [p["received"] for p in said["partitions"]] == [0] * AGENT_EVENTS.partitions
    assert said["quarantined"] == {}
    assert said["last_window"] is None
    assert {sink["sink"]: (sink["lag"], sink["problem"]) for sink in said["sinks"]} == {
        "postgres": (0, None),
        "parquet": (0, None),
    }
    shown = pipeline.ropewalk("status")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert pipeline.ropewalk("quarantine", "ls").stdout == "nothing is in quarantine\n"
    done = pipeline.ropewalk("verify", "--json", "--timeout", "1")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True), done.stderr


def test_verify_says_that_the_worker_does_not_run(topics: MakeTopics) -> None:
    pipeline = topics(TOPICS)
    producer = Producer({"bootstrap.servers": pipeline.places.bootstrap_servers})
    producer.produce(AGENT_EVENTS.name, b"anything", b"key", 2)
    assert producer.flush(30) == 0
    done = pipeline.ropewalk("verify", "--json", "--timeout", "1")
    assert done.returncode == 1
    (bad,) = [check for check in json.loads(done.stdout)["checks"] if not check["ok"]]
    assert bad["name"] == "worker has caught up"
    assert "{2: (0, 1)}" in bad["detail"]
    assert "is it running?" in bad["detail"]


def test_run_gives_up_when_a_restart_cannot_help(topics: MakeTopics) -> None:
    pipeline = topics([spec for spec in TOPICS if spec is not OUTCOMES])
    done = pipeline.ropewalk("run", timeout_s=60)
    assert done.returncode == 1
    assert "outcomes" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ropewalk: sink-postgres ended (status 2)")
