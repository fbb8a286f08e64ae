"""Keeps the programs of one machine alive, and stops them cleanly."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

from ropewalk_deploy.config import child_environment
from ropewalk_deploy.errors import GaveUpError
from ropewalk_deploy.restarts import HEALTHY_AFTER_S, verdict

log = logging.getLogger(__name__)
STOP_WITHIN_S = 20.0
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its name, the `ropewalk` arguments that start it, and where that command is."""

    name: str
    arguments: tuple[str, ...]
    module: str = "ropewalk_deploy"


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    quick_deaths: int = 0


@dataclass
class Supervisor:
    """Starts programs, restarts what dies, stops all on SIGTERM, SIGINT or `stop`.

    Args:
        programs: What to keep alive.
        output: Where the programs' logs go; None inherits ours.
        environment: Added to the programs' environment.
    """

    programs: Sequence[Program]
    output: IO[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._children = [_Child(program) for program in self.programs]
        self._failure: str | None = None

    def stop(self, *_: int | FrameType | None) -> None:
        """Ask `run` to stop everything and return."""
        self._stopping.set()

    def pids(self) -> dict[str, int]:
        """The living programs' process ids by name."""
        return {
            child.program.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def run(self) -> None:
        """Keep everything alive until asked to stop.

        Raises:
            GaveUpError: If a program ended in a way that a restart cannot help.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.stop)
            signal.signal(signal.SIGINT, self.stop)
        try:
            while not self._stopping.is_set():
                for child in self._children:
                    self._look_after(child, time.monotonic())
                self._stopping.wait(LOOK_EVERY_S)
        finally:
            self._stop_all()
        if self._failure is not None:
            raise GaveUpError(self._failure)

    def _look_after(self, child: _Child, now: float) -> None:
        if child.process is None:
            if now >= child.start_at:
                self._start(child, now)
            return
        status = child.process.poll()
        if status is None:
            return
        lived = now - child.started_at
        decision = verdict(status, lived_s=lived, n_quick_deaths=child.quick_deaths)
        child.process = None
        child.quick_deaths = 0 if lived >= HEALTHY_AFTER_S else child.quick_deaths + 1
        child.start_at = now + decision.delay_s
        how = f"signal {-status}" if status < 0 else f"status {status}"
        fields: dict[str, object] = {"program": child.program.name, "how": how}
        if decision.give_up:
            self._failure = f"{child.program.name} ended ({how}); its last line above says why"
            self._stopping.set()
        else:
            log.warning("program died", extra={"fields": fields | {"again_in_s": decision.delay_s}})

    def _start(self, child: _Child, now: float) -> None:
        child.process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", child.program.module, *child.program.arguments],
            env=child_environment(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,  # Ctrl-C comes to us, and we stop them in order
        )
        child.started_at = now
        fields = {"program": child.program.name, "pid": child.process.pid}
        log.info("program started", extra={"fields": fields})

    def _stop_all(self) -> None:
        living = [child for child in self._children if child.process is not None]
        for child in living:
            with suppress(ProcessLookupError):
                child.process.terminate()  # type: ignore[union-attr] # just filtered
        deadline = time.monotonic() + STOP_WITHIN_S
        for child in living:
            process = child.process
            assert process is not None  # noqa: S101 - just filtered
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                fields = {"program": child.program.name, "waited_s": STOP_WITHIN_S}
                log.warning("program killed", extra={"fields": fields})
        log.info("all programs stopped")
