import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGTERM

import psutil
import pytest

from ropewalk_deploy.stack.errors import ServerError
from ropewalk_deploy.stack.processes import (
    Daemon,
    await_ready,
    find,
    is_alive,
    launch,
    log_tail,
    matches,
    stop,
    wait_until,
)

Launcher = Callable[[str], psutil.Process]

PATIENT = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PATIENT}"


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    program = Path(sys.executable).name
    return Daemon("Sleeper", program, uuid.uuid4().hex, tmp_path / "log" / "out.log", SIGTERM)


@pytest.fixture
def launched(daemon: Daemon) -> Iterator[Launcher]:
    processes: list[psutil.Process] = []

    def launch_code(code: str) -> psutil.Process:
        processes.append(launch(daemon, [sys.executable, "-c", code, daemon.marker]))
        return processes[-1]

    yield launch_code
    for process in processes:
        if is_alive(process):
            process.kill()
            assert wait_until(lambda: not is_alive(process), within_s=10)  # noqa: B023 - same turn


def is_ready(daemon: Daemon) -> bool:
    return "ready" in daemon.log.read_text()


def test_a_server_is_known_by_program_and_marker_together(daemon: Daemon) -> None:
    assert matches(daemon, ["/usr/bin/" + daemon.program, daemon.marker])
    assert not matches(daemon, ["/usr/bin/tail", daemon.marker])
    assert not matches(daemon, ["/usr/bin/" + daemon.program, daemon.marker + "-of-another-home"])
    assert not matches(daemon, [])


def test_a_launched_server_is_found_in_a_session_of_its_own(
    daemon: Daemon, launched: Launcher
) -> None:
    process = launched(PATIENT)
    await_ready(daemon, process, lambda: is_ready(daemon), within_s=30)
    assert find(daemon) == process
    assert os.getsid(process.pid) == process.pid


def test_a_server_is_stopped_by_its_signal(daemon: Daemon, launched: Launcher) -> None:
    process = launched(PATIENT)
    await_ready(daemon, process, lambda: is_ready(daemon), within_s=30)
    said: list[str] = []
    stop(daemon, process, within_s=30, progress=said.append)
    assert find(daemon) is None
    assert said == [f"Sleeper: stopping process {process.pid}"]


def test_a_server_that_does_not_listen_is_killed_and_that_is_said(
    daemon: Daemon, launched: Launcher
) -> None:
    process = launched(STUBBORN)
    await_ready(daemon, process, lambda: is_ready(daemon), within_s=30)
    said: list[str] = []
    stop(daemon, process, within_s=0.2, progress=said.append)
    assert not is_alive(process)
    assert said[-1] == "Sleeper: still running after 0 s; killing it"


def test_a_server_that_ends_while_starting_shows_its_last_words(
    daemon: Daemon, launched: Launcher
) -> None:
    process = launched("raise SystemExit('the disk is full')")
    with pytest.raises(ServerError) as caught:
        await_ready(daemon, process, lambda: False, within_s=30)
    assert "the disk is full" in str(caught.value)
    assert str(daemon.log) in str(caught.value)


def test_a_server_that_never_answers_is_given_up(daemon: Daemon, launched: Launcher) -> None:
    process = launched(PATIENT)
    with pytest.raises(ServerError, match="did not answer within 0 s"):
        await_ready(daemon, process, lambda: False, within_s=0.1)
    assert is_alive(process)


def test_the_log_of_the_run_before_is_kept_beside(daemon: Daemon, launched: Launcher) -> None:
    for _ in range(2):
        process = launched("print('gone')")
        assert wait_until(lambda: not is_alive(process), within_s=30)  # noqa: B023 - same turn
    assert daemon.log.with_suffix(".log.1").read_text() == daemon.log.read_text() == "gone\n"


def test_the_end_of_a_log_leaves_out_stack_frames(tmp_path: Path) -> None:
    log = tmp_path / "out.log"
    log.write_text("Cause: full\n\tat a.b.C\n\n\tat d.e.F\n")
    assert log_tail(log) == f"The end of {log}:\n  Cause: full"


def test_the_end_of_an_empty_or_missing_log_says_so(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "none").endswith("(empty)")
