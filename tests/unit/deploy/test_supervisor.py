"""The supervisor with `ropewalk` commands that end quickly, or a stand-in that never does."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ropewalk_deploy import supervisor as module
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.supervisor import Program, Supervisor

SCRIPT = """#!{python}
import pathlib, signal, sys, time
name, what = sys.argv[3:5]
log = pathlib.Path("{folder}") / name
with log.open("a") as lines:
    lines.write("started\\n")
if what == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if what.isdecimal():
    sys.exit(int(what))
def stop(*_):
    with log.open("a") as lines:
        lines.write("stopped\\n")
    sys.exit(0)
if what == "obeys":
    signal.signal(signal.SIGTERM, stop)
with log.open("a") as lines:
    lines.write("ready\\n")
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is started in place of Python: it gets ``-m ropewalk_deploy NAME WHAT``."""
    path = tmp_path / "stand-in"
    path.write_text(SCRIPT.format(python=sys.executable, folder=tmp_path))
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return tmp_path


def said(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().split() if path.exists() else []


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def running(*programs: Program) -> Iterator[Supervisor]:
    supervisor = Supervisor(programs)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
        thread.join(30)
        assert not thread.is_alive()


def test_what_dies_is_started_again(stand_in: Path) -> None:
    with running(Program("a", ("a", "sleeps")), Program("b", ("b", "sleeps"))) as supervisor:
        until(lambda: "ready" in said(stand_in, "a") and "ready" in said(stand_in, "b"))
        first = supervisor.pids()
        assert set(first) == {"a", "b"}
        os.kill(first["a"], signal.SIGKILL)
        until(lambda: said(stand_in, "a").count("started") == 2)
        until(lambda: len(supervisor.pids()) == 2)
        assert supervisor.pids()["b"] == first["b"]
        assert supervisor.pids()["a"] != first["a"]
    assert supervisor.pids() == {}


def test_stopping_lets_each_program_end_by_itself(stand_in: Path) -> None:
    with running(Program("a", ("a", "obeys"))):
        until(lambda: "ready" in said(stand_in, "a"))
    assert said(stand_in, "a") == ["started", "ready", "stopped"]


def test_what_does_not_stop_is_killed(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_WITHIN_S", 0.3)
    with running(Program("a", ("a", "deaf"))) as supervisor:
        until(lambda: "ready" in said(stand_in, "a"))
        (pid,) = supervisor.pids().values()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("status", [2, 3])
def test_when_a_restart_cannot_help_all_is_stopped_and_said(stand_in: Path, status: int) -> None:
    programs = [Program("good", ("good", "obeys")), Program("bad", ("bad", str(status)))]
    with pytest.raises(CommandError, match=rf"bad ended \(status {status}\)"):
        Supervisor(programs).run()
    assert said(stand_in, "bad") == ["started"]


def test_the_environment_reaches_the_programs(stand_in: Path) -> None:
    script = stand_in / "stand-in"
    script.write_text(f"#!/bin/sh\necho $COLOUR > {stand_in}/seen\nexit 2\n")
    with pytest.raises(CommandError):
        Supervisor([Program("a", ())], environment={"COLOUR": "red"}).run()
    assert (stand_in / "seen").read_text() == "red\n"
