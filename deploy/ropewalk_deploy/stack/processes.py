"""Long-running servers: recognise, launch, wait for and stop them.

A server is recognised by its command line, never by a remembered pid alone: pids are recycled.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

import psutil

from ropewalk_deploy.stack.errors import ServerError
from ropewalk_deploy.stack.users import ServerUser, as_user

Progress = Callable[[str], None]

POLL_S = 0.05
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Daemon:
    """How to recognise and stop one server of one home.

    Args:
        name: As a person reads it.
        program: Base name of its executable.
        marker: An argument of its command line that no other home has.
        log: Where its output goes.
        stop_signal: Asks for an orderly stop.
    """

    name: str
    program: str
    marker: str
    log: Path
    stop_signal: Signals


def matches(daemon: Daemon, command_line: Sequence[str]) -> bool:
    """Whether `command_line` is that of `daemon`."""
    if not command_line or daemon.marker not in command_line:
        return False
    return Path(command_line[0]).name == daemon.program


def find(daemon: Daemon) -> psutil.Process | None:
    """The running process of `daemon`, whoever started it.

    A server's own children may carry its command line for a moment; the oldest is the server.
    """
    candidates = [
        process
        for process in psutil.process_iter(["cmdline", "create_time"])
        if matches(daemon, process.info["cmdline"] or ())
    ]
    return min(candidates, key=lambda process: process.info["create_time"], default=None)


def is_alive(process: psutil.Process) -> bool:
    """Whether `process` still runs; a zombie does not.

    A process whose first thread is dead and others are not looks like a zombie, too, but
    still holds its files and ports.
    """
    try:
        if not process.is_running():
            return False
        return process.status() != psutil.STATUS_ZOMBIE or bool(process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def launch(
    daemon: Daemon, command: Sequence[str], *, user: ServerUser | None = None
) -> psutil.Process:
    """Start `command` so that it outlives us and our terminal; keeps the log of the last run."""
    daemon.log.parent.mkdir(parents=True, exist_ok=True)
    if daemon.log.exists():
        daemon.log.replace(daemon.log.with_suffix(".log.1"))
    with daemon.log.open("ab") as log:
        started = subprocess.Popen(  # noqa: S603 - the command is built here, not by a person
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            **as_user(user),
        )
    # Else Popen would complain, when collected, that the server still runs: it should.
    started.returncode = 0
    return psutil.Process(started.pid)


def await_ready(
    daemon: Daemon, process: psutil.Process, is_ready: Callable[[], bool], *, within_s: float
) -> None:
    """Return once `is_ready`; ask again and again until then.

    Raises:
        ServerError: If the process ends first, or is not ready in time; it is left as it is.
    """
    if not wait_until(lambda: is_ready() or not is_alive(process), within_s=within_s):
        msg = (
            f"{daemon.name} (process {process.pid}) did not answer within {within_s:.0f} s. "
            f"Run `ropewalk down` and try again.\n{log_tail(daemon.log)}"
        )
        raise ServerError(msg)
    if not is_alive(process):
        msg = f"{daemon.name} ended while it was starting.\n{log_tail(daemon.log)}"
        raise ServerError(msg)


def stop(daemon: Daemon, process: psutil.Process, *, within_s: float, progress: Progress) -> None:
    """Stop `process` in order, or by force when it takes longer than `within_s`.

    Raises:
        ServerError: If we may not stop it.
    """
    progress(f"{daemon.name}: stopping process {process.pid}")
    try:
        process.send_signal(daemon.stop_signal)
        if not _ends(process, within_s=within_s):
            progress(f"{daemon.name}: still running after {within_s:.0f} s; killing it")
            process.kill()
            _ends(process, within_s=within_s)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        msg = (
            f"{daemon.name} (process {process.pid}) belongs to {process.username()} and may not "
            "be stopped by you. Run the command as that user."
        )
        raise ServerError(msg) from error


def wait_until(holds: Callable[[], bool], *, within_s: float) -> bool:
    """Whether `holds` came true in time; asks at once, then again and again."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _ends(process: psutil.Process, *, within_s: float) -> bool:
    if not wait_until(lambda: not is_alive(process), within_s=within_s):
        return False
    # Nobody else reaps a server that this very process launched.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return True


def log_tail(log: Path) -> str:
    """The last lines of `log` under a line that names it, without Java's stack frames."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    telling = [line for line in lines if line.strip() and not line.lstrip().startswith("at ")]
    return "\n  ".join([f"The end of {log}:", *(telling[-LOG_TAIL_LINES:] or ["(empty)"])])
