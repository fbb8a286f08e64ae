"""A database, topics and sink processes of one test's own, on the shared local stack."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from psycopg.conninfo import make_conninfo

from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.topics import CLIENT_MESSAGE_BYTES, TOPICS
from ropewalk_sinks.config import PostgresSettings, Topics
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.postgres_migrations import migrate
from ropewalk_sinks.runner import run

DEADLINE_S = 60.0
N_PARTITIONS = 3
PROCESS = Path(__file__).with_name("postgres_sink_process.py")


def wait_for(what: Callable[[], bool], *, told: str) -> None:
    """Poll a condition until it holds; fail after a deadline."""
    until = time.monotonic() + DEADLINE_S
    tick = threading.Event()
    while not what():
        assert time.monotonic() < until, f"waited {DEADLINE_S:.0f} s in vain: {told}"
        tick.wait(0.02)


def fresh_database(stack: Stack, name: str, *, migrated: bool = True) -> str:
    """The DSN of an empty database."""
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    dsn = make_conninfo(stack.postgres_dsn, dbname=name)
    if migrated:
        migrate(dsn)
    return dsn


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    with psycopg.connect(dsn, options="-c TimeZone=UTC") as connection:
        return connection.execute(query.encode()).fetchall()


def count(dsn: str, table: str) -> int:
    """How many rows a table has."""
    return int(rows(dsn, f"SELECT count(*) FROM {table}")[0][0])


@dataclass
class Lab:
    """One test's settings, topics and database."""

    settings: PostgresSettings
    producer: Producer
    admin: AdminClient

    @property
    def dsn(self) -> str:
        return self.settings.postgres_dsn

    def send(self, topic: str, values: Sequence[bytes | None], *, key: bytes = b"k") -> None:
        """Append values to a topic, in order; durable when it returns."""
        for value in values:
            self.producer.produce(topic, value=value, key=key)
        assert self.producer.flush(DEADLINE_S) == 0

    def stored(self, topic: str) -> int:
        """Records of a topic that are stored."""
        query = f"SELECT coalesce(sum(next_offset), 0) FROM sink_offsets WHERE topic = '{topic}'"
        return int(rows(self.dsn, query)[0][0])

    def wait_until_stored(self, topic: str, n_records: int) -> None:
        told = f"{topic}: {n_records} records"
        wait_for(lambda: self.stored(topic) >= n_records, told=told)

    @contextmanager
    def running(self, **changes: object) -> Iterator[PostgresSink]:
        """The sink in a thread of this process; what ended it is raised at the end."""
        settings = self.settings.model_copy(update=changes)
        sink, stop, errors = PostgresSink(settings), threading.Event(), []

        def work() -> None:
            try:
                run(sink, settings, stop)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield sink
        finally:
            stop.set()
            thread.join(DEADLINE_S)
        assert not thread.is_alive()
        if errors:
            raise errors[0]

    def start_process(self, **changes: object) -> "subprocess.Popen[str]":
        """The sink as a process of its own; its log is on stderr."""
        settings = self.settings.model_copy(update=changes).model_dump_json()
        command = [sys.executable, str(PROCESS), settings]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def open_lab(stack: Stack, unique: str, **changes: Any) -> Lab:
    """A migrated database, topics and a group that no other test has."""
    names = {spec.name: f"{unique}-{spec.name}" for spec in TOPICS}
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers, "log_level": 0})
    new = [
        NewTopic(names[spec.name], N_PARTITIONS, 1, config=spec.config())
        for spec in TOPICS
        if spec.name in Topics.model_fields
    ]
    for created in admin.create_topics(new).values():
        created.result(DEADLINE_S)
    given: dict[str, Any] = {
        "bootstrap_servers": stack.bootstrap_servers,
        "topics": Topics(**{field: names[field] for field in Topics.model_fields}),
        "postgres_dsn": fresh_database(stack, unique),
        "postgres_group": unique,
        "postgres_batch_age_s": 0.05,
        "session_timeout_ms": 6_000,
    }
    producer = Producer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "partitioner": "murmur2",
            "message.max.bytes": CLIENT_MESSAGE_BYTES,
            "linger.ms": 1,
            "log_level": 0,  # it outlives the broker at the end of the session
        }
    )
    return Lab(PostgresSettings.load(**given | changes), producer, admin)
