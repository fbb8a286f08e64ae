"""The recorder's spool on a real Kafka and real disks, through kills, forks and outages."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from tests.support.kafka_site import NOBODY, KafkaSite, Log
from tests.support.recorder_contract import RecorderContract, play, until
from tests.support.spool import seqs_by_writer

from ropewalk_deploy.stack.model import Stack
from ropewalk_producers import Delivery, Recorder
from ropewalk_producers.spool.listing import spooled
from ropewalk_schemas.codec import decode_event_with_models

pytestmark = pytest.mark.integration


class SpoolSite(KafkaSite):
    def __init__(self, stack: Stack, topic: str, folder: Path, **config: str) -> None:
        super().__init__(stack.bootstrap_servers, topic, **config)
        self.servers = stack.bootstrap_servers
        self.folder = folder

    def spool(self, *, reachable: bool = True, on_delivery: Any = None, **given: Any) -> Recorder:
        given = {"durability": "spool", "spool_path": str(self.folder), **given}
        settings = self.settings(reachable=reachable, **given)
        self.made.append(Recorder(settings, on_delivery=on_delivery))
        return self.made[-1]

    def recorder(self, *, reachable: bool = True, queue: int = 1000, **options: Any) -> Recorder:
        return self.spool(reachable=reachable, queue_messages=queue, **options)

    def environment(self, **given: str) -> dict[str, str]:
        own = {
            "ROPEWALK_BOOTSTRAP_SERVERS": self.servers,
            "ROPEWALK_TOPIC": self.topic,
            "ROPEWALK_PROJECT": "tests",
            "ROPEWALK_SERVICE": "tests",
            "ROPEWALK_DURABILITY": "spool",
            "ROPEWALK_SPOOL_PATH": str(self.folder),
        }
        return {**os.environ, **own, **given}

    def start(self, program: str, *arguments: str, **given: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env=self.environment(**given),
            stdout=subprocess.PIPE,
            text=True,
        )

    def ropewalk(self, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ropewalk_deploy", "spool", *arguments],
            env=self.environment(**given),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def has(self, ids: set[str]) -> Callable[[Log], bool]:
        """Whether a log holds events."""
        return lambda log: ids <= ids_in(log)


def ids_in(log: Log) -> set[str]:
    return {decode_event_with_models(value).event_id for _, value, _ in log}


def assert_in_order(log: Log, *, gaps: bool = False) -> None:
    for seqs in seqs_by_writer([(key, value) for key, value, _ in log]).values():
        assert seqs == sorted(seqs) if gaps else seqs == list(range(len(seqs)))


@pytest.fixture
def site(stack: Stack, unique: str, tmp_path: Path) -> Iterator[SpoolSite]:
    site = SpoolSite(stack, f"{unique}-agent-events", tmp_path / "spool")
    yield site
    for recorder in site.made:
        recorder.close(0)


class TestSpooledRecorder(RecorderContract):
    """The contract, with a disk between; where the disk makes a difference, what it makes."""

    def test_a_full_queue_drops_and_counts_and_does_not_wait(self, site: SpoolSite) -> None:  # type: ignore[override]
        recorder = site.recorder(reachable=False, queue=50)
        begin = time.monotonic()
        for n in range(20):
            play(recorder, f"t{n}")
            until(lambda: recorder.counters.spooled == recorder.counters.accepted)
        assert time.monotonic() - begin < 20
        assert (recorder.counters.accepted, recorder.counters.dropped_full) == (180, 0)

    def test_closing_without_a_broker_reports_what_was_not_delivered(  # type: ignore[override]
        self, site: SpoolSite
    ) -> None:
        heard: list[Delivery] = []
        recorder = site.recorder(reachable=False, on_delivery=heard.append)
        play(recorder, "t1")
        begin = time.monotonic()
        report = recorder.close(0.5)
        assert time.monotonic() - begin < 5
        assert report.complete
        assert (report.delivered, report.undelivered, report.spooled) == (0, 0, 9)
        assert heard == []
        assert recorder.close() is report


AGENT = """
import sys
from ropewalk_producers import Recorder, RecorderSettings

def told(delivery):
    if delivery.error is None:
        print(delivery.event_id, flush=True)

name = sys.argv[1]
recorder = Recorder(RecorderSettings.from_environment(), on_delivery=told)
n = 0
while True:
    with recorder.trajectory(agent_id="a", trajectory_id=f"{name}-{n}") as t:
        for i in range(40):
            t.llm_call(model="m", messages=[{"role": "user", "content": f"{i} " * 200}])
    n += 1
    while recorder.counters.in_flight - recorder.counters.spooled > 500:
        pass
"""


def killed(process: subprocess.Popen[str], after: int) -> set[str]:
    """The ids a process told of, when it is killed after so many of them."""
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(after)]
    process.send_signal(SIGKILL)
    told += process.stdout.readlines()
    process.wait()
    return {line.strip() for line in told if line.endswith("\n")}


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_what_a_killed_process_had_on_disk_arrives_after_a_drain(
    site: SpoolSite, fsync: str
) -> None:
    agents = [
        site.start(AGENT, name, ROPEWALK_BOOTSTRAP_SERVERS=NOBODY, ROPEWALK_SPOOL_ACK="disk",
                   ROPEWALK_SPOOL_FSYNC=fsync)
        for name in ("one", "two")
    ]  # fmt: skip
    told = set[str]().union(*(killed(agent, after=700) for agent in agents))
    listed = json.loads(site.ropewalk("ls", "--json").stdout)["segments"]
    assert {row["pid"] for row in listed} == {agent.pid for agent in agents}
    assert not any(row["living"] for row in listed)
    assert sum(row["events"] for row in listed) >= len(told) >= 1400
    away = site.ropewalk("drain", "--stall", "1", ROPEWALK_BOOTSTRAP_SERVERS=NOBODY)
    assert away.returncode == 1
    assert "events of dead processes are left" in away.stderr
    done = site.ropewalk("drain")
    assert (done.returncode, done.stdout.split()[1:]) == (0, ["events", "sent"]), done.stderr
    log = site.read(site.has(told), within_s=60)
    assert told <= ids_in(log)
    assert_in_order(log)
    assert site.ropewalk("ls").stdout == "nothing\n"


def test_a_kill_with_a_broker_loses_nothing_that_was_on_disk(site: SpoolSite) -> None:
    told = killed(site.start(AGENT, "one", ROPEWALK_SPOOL_ACK="disk"), after=2000)
    later = site.spool()  # the restarted service
    until(lambda: not spooled(site.folder), within_s=60)
    assert later.close(10).complete
    log = site.read(site.has(told), within_s=60)
    assert told <= ids_in(log)
    assert_in_order(log)
    assert len(log) - len(ids_in(log)) < 2000, "the marks spare most from being sent twice"


def test_a_drain_is_safe_beside_living_processes(site: SpoolSite) -> None:
    living = site.start(AGENT, "living")
    dead = site.start(AGENT, "dead", ROPEWALK_BOOTSTRAP_SERVERS=NOBODY, ROPEWALK_SPOOL_ACK="disk")
    told = killed(dead, after=500)
    drains = [site.ropewalk("drain") for _ in range(3)]
    assert [done.returncode for done in drains] == [0, 0, 0], drains
    told |= killed(living, after=500)
    assert site.ropewalk("drain").returncode == 0
    log = site.read(site.has(told), within_s=60)
    assert told <= ids_in(log)
    assert_in_order(log)


FORKING = """
import os, sys, signal
from ropewalk_producers import Recorder, RecorderSettings

recorder = Recorder(RecorderSettings.from_environment())
t = recorder.trajectory(agent_id="a", trajectory_id="t1")
while recorder.counters.spooled < 1:
    pass
if os.fork() == 0:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        signal.pause()  # a child that records nothing outlives its parent
    t.llm_call(model="m", messages=[{"role": "user", "content": "of the child"}])
    t.close()
    report = recorder.close(0)
    print(report.spooled, flush=True)
    os._exit(0)
os.wait()
t.llm_call(model="m", messages=[{"role": "user", "content": "of the parent"}])
while recorder.counters.spooled < 2:
    pass
print("done", flush=True)
signal.pause()
"""


def test_forked_children_have_segments_of_their_own_and_hold_no_lock(site: SpoolSite) -> None:
    parent = site.start(FORKING, ROPEWALK_BOOTSTRAP_SERVERS=NOBODY)
    assert parent.stdout is not None
    told = sorted((parent.stdout.readline().strip() for _ in range(3)), key=len)
    assert told[0] == "2"
    idle = int(next(line for line in told[1:] if line != "done"))
    try:
        assert sorted((s.living, s.events) for s in spooled(site.folder)) == [(False, 2), (True, 2)]
        parent.send_signal(SIGKILL)
        parent.wait()
        assert not any(segment.living for segment in spooled(site.folder))
        assert site.ropewalk("drain").returncode == 0
    finally:
        os.kill(idle, SIGKILL)
        parent.stdout.close()
    log = site.log(4)
    assert_in_order(log)
    assert len(seqs_by_writer([(key, value) for key, value, _ in log])) == 2


def test_the_end_of_the_process_leaves_nothing_behind(site: SpoolSite) -> None:
    program = AGENT.split("n = 0", maxsplit=1)[0] + 'recorder.trajectory(agent_id="a").end()'
    process = site.start(program, "one")
    assert len(process.communicate(timeout=60)[0].splitlines()) == 2
    assert spooled(site.folder) == []
    assert not [path for path in site.folder.rglob("*") if path.is_file()]


def test_an_event_kafka_will_never_take_fails_and_the_others_arrive(
    stack: Stack, unique: str, tmp_path: Path
) -> None:
    small = {"max.message.bytes": "20000"}
    site = SpoolSite(stack, f"{unique}-small", tmp_path / "spool", **small)
    recorder = site.spool(kafka_options={"compression.type": "none", "batch.size": "15000"})
    with recorder.trajectory(agent_id="a", trajectory_id="t1") as t:
        for n in range(10):
            content = "x" * (30_000 if n == 5 else 10)
            t.llm_call(model="m", messages=[{"role": "user", "content": content}])
    until(lambda: recorder.counters.in_flight == 0, within_s=60)
    report = recorder.close(10)
    assert (report.delivered, report.failed, report.spooled) == (11, 1, 0), recorder.last_error
    log = site.read(lambda log: len(ids_in(log)) >= 11, within_s=30)
    (seqs,) = seqs_by_writer([(key, value) for key, value, _ in log]).values()
    assert seqs == [n for n in range(12) if n != 6]


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_new_trajectories_and_keeps_open_ones_whole(
    site: SpoolSite, small_disk: Path
) -> None:
    site.folder = small_disk
    given = {"spool_max_bytes": 6 * 1024 * 1024, "spool_ack": "disk"}
    away = site.spool(reachable=False, **given)
    begun = away.trajectory(agent_id="a", trajectory_id="begun")
    n = 0
    while away.counters.refused == 0:
        begun.llm_call(model="m", messages=[{"role": "user", "content": f"{n}" * 5000}])
        n += 1
        until(lambda: away.counters.in_flight - away.counters.spooled < 20)
        away.trajectory(agent_id="a", trajectory_id=f"probe-{n}").end()
    assert "its disk has" in str(away.last_error)
    ballast = small_disk / "ballast"  # what another program writes
    fill(ballast)
    for _ in range(20):
        begun.llm_call(model="m", messages=[{"role": "user", "content": f"{n}" * 5000}])
    assert away.counters.dropped_full == 2, "those of the probe that was refused"
    ballast.unlink()
    until(lambda: away.counters.in_flight == away.counters.spooled)
    begun.end()
    report = away.close(0)
    assert (report.undelivered, report.failed, report.dropped) == (0, 0, 2)
    done = site.ropewalk("drain")
    assert done.returncode == 0, done.stderr
    log = site.read(lambda log: len(ids_in(log)) >= report.spooled, within_s=60)
    assert len(ids_in(log)) == report.spooled
    assert_in_order(log)
