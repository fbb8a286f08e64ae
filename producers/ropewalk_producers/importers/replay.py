"""Old logs, sent through the recorder: replaying the same file twice gives the same bytes."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.counters import DeliveryReport
from ropewalk_producers.importers import tau2, tau_bench
from ropewalk_producers.importers.backpressure import Backpressure
from ropewalk_producers.importers.files import default_run, read_json
from ropewalk_producers.importers.logged import LogError, LoggedTrajectory
from ropewalk_producers.importers.pacing import Pacing, merged
from ropewalk_producers.importers.play import play
from ropewalk_producers.publisher import Publisher
from ropewalk_producers.recorder import Recorder

Parse = Callable[..., Iterable[LoggedTrajectory]]
Progress = Callable[[int, int], None]
"""Told how many events were sent, of how many."""

CLOSE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class LogFormat:
    """A log format and the fixed source its events name, so that replays are equal."""

    service: str
    version: str
    parse: Parse


FORMATS = {
    "tau-bench": LogFormat("tau-bench-import", tau_bench.FORMAT_VERSION, tau_bench.parse),
    "tau2": LogFormat("tau2-import", tau2.FORMAT_VERSION, tau2.parse),
}


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What was sent, and what became of it."""

    n_trajectories: int
    n_events: int
    delivery: DeliveryReport


def replay(
    files: Sequence[Path],
    *,
    format: str,  # noqa: A002 - the option's name
    run: str | None = None,
    speed: float = 0.0,
    recorder_settings: RecorderSettings,
    progress: Progress = lambda _sent, _total: None,
) -> ReplayReport:
    """Send the trajectories of log files as events.

    All files are read and checked before the first event is sent. `run` goes into every
    trajectory_id; by default it is each file's name without .json.gz. `speed` is times the log's
    own pace; 0 is as fast as possible.

    Raises:
        LogError: If a file is not what `format` says, or two trajectories have the same id.
        StalledError: If the broker acknowledges nothing.
    """
    trajectories = read_logs(files, format=format, run=run)
    recorder = recorder_for(format, recorder_settings)
    try:
        n_events = send(recorder, trajectories, speed=speed, progress=progress)
        Backpressure(recorder).drain()
    except BaseException:
        recorder.close(0)
        raise
    delivery = recorder.close(CLOSE_TIMEOUT_S)
    return ReplayReport(len(trajectories), n_events, delivery)


def recorder_for(
    format: str,  # noqa: A002 - as above
    settings: RecorderSettings,
    publisher: Publisher | None = None,
) -> Recorder:
    """A recorder that says the same at every replay, whoever runs it and when."""
    source = FORMATS[format]
    return Recorder(
        replace(settings, service=source.service, instance=None, version=source.version),
        publisher=publisher,
        clock=lambda: tau_bench.CLOCK_START,  # all events name their own instants
    )


def read_logs(files: Sequence[Path], *, format: str, run: str | None) -> list[LoggedTrajectory]:  # noqa: A002
    """The trajectories of all files.

    Raises:
        LogError: As `replay`.
    """
    if format not in FORMATS:
        msg = f"unknown log format {format!r}; known are {', '.join(FORMATS)}"
        raise LogError(msg)
    found: dict[str, LoggedTrajectory] = {}
    for path in files:
        for trajectory in _read_log(path, format, run or default_run(path)):
            if trajectory.trajectory_id in found:
                msg = f"{path}: {trajectory.trajectory_id} is there twice; give each file its run"
                raise LogError(msg)
            found[trajectory.trajectory_id] = trajectory
    return list(found.values())


def _read_log(path: Path, format: str, run: str) -> list[LoggedTrajectory]:  # noqa: A002
    data = read_json(path)
    try:
        return list(FORMATS[format].parse(data, run=run))
    except LogError as error:
        msg = f"{path}: {error}"
        raise LogError(msg) from error


def send(
    recorder: Recorder,
    trajectories: Sequence[LoggedTrajectory],
    *,
    speed: float = 0.0,
    progress: Progress = lambda _sent, _total: None,
) -> int:
    """Record trajectories in the order of the log's clock; returns the number of events."""
    if not trajectories:
        return 0
    pacing = Pacing(speed, begin=min(t.started_at for t in trajectories))
    total = sum(2 + len(t.events) + (t.end.reward is not None) for t in trajectories)
    backpressure = Backpressure(recorder)
    begun = time.monotonic()
    for at in merged([play(recorder, trajectory) for trajectory in trajectories]):
        time.sleep(pacing.wait_s(at, elapsed_s=time.monotonic() - begun))
        backpressure.hold()
        if recorder.counters.failed:
            break  # the log would have holes; replaying it later gives the same events again
        progress(recorder.counters.accepted, total)
    progress(recorder.counters.accepted, total)
    return recorder.counters.accepted
