"""The truth ledger: written by the simulator, read by `ropewalk verify`, by nothing in between."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import msgspec

from ropewalk_deploy.simulation.ledger_lines import (
    Ack,
    Died,
    Intent,
    Line,
    Moment,
    Opened,
    Resolved,
    Told,
    decode_line,
    encode_line,
)
from ropewalk_deploy.simulation.options import SimulationError

SUFFIX = ".jsonl"
ACKS_PER_WRITE = 64


class LedgerWriter:
    """Appends to one process's ledger; safe from several threads.

    An intent is in the file before the call returns, so what Kafka acknowledged is always in the
    ledger, however the process dies. Acknowledgements are written in batches: of an event whose
    acknowledgement was lost in a crash, the ledger says that it may be in the log.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._lock = Lock()
        self._acks: list[bytes] = []
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # the life before was torn off in the middle of a line

    def write(self, line: Line) -> None:
        """Write one line now."""
        os.write(self._file, encode_line(line) + b"\n")

    def acknowledge(self, ack: Ack) -> None:
        """Write an acknowledgement soon."""
        with self._lock:
            self._acks.append(encode_line(ack))
            if len(self._acks) >= ACKS_PER_WRITE:
                self._write_acks()

    def _write_acks(self) -> None:
        if self._acks:
            os.write(self._file, b"\n".join(self._acks) + b"\n")
            self._acks = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._write_acks()
            os.close(self._file)


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """One event, and the (partition, offset) of each acknowledged copy in order of arrival.

    Without a place it may or may not be in the log: nobody was told. `times_ms` are the broker
    times of the copies.
    """

    intent: Intent
    places: list[tuple[int, int]] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        """Whether Kafka said that it has it."""
        return bool(self.places)


@dataclass(frozen=True, slots=True)
class LedgerTrajectory:
    """One trajectory, from what was acknowledged of it.

    Args:
        n_events: Acknowledged events of its life, each once.
        n_unsure: Events of its life that nobody acknowledged.
        immediate: Sum of the reward components of its acknowledged decisions.
        reward: The same plus its acknowledged ledger entries.
        status: As its acknowledged end says; None when it has none.
    """

    trajectory_id: str
    n_events: int
    n_unsure: int
    n_rewards: int
    immediate: float
    reward: float
    status: str | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was sent: `events` by event_id in the order of sending, process after process.

    Args:
        resolved: Versions of outcomes by (key, version); `told_ms` is when the log first took each.
        moments: In the order of time.
    """

    events: dict[str, LedgerEvent] = field(default_factory=dict)
    opened: dict[str, Opened] = field(default_factory=dict)
    n_deaths: int = 0
    resolved: dict[tuple[str, int], Resolved] = field(default_factory=dict)
    told_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)

    @property
    def acknowledged(self) -> dict[str, LedgerEvent]:
        """Events that must be in the log."""
        return {key: event for key, event in self.events.items() if event.is_acknowledged}

    @property
    def unsure(self) -> dict[str, LedgerEvent]:
        """Events that may be in the log."""
        return {key: event for key, event in self.events.items() if not event.is_acknowledged}

    @property
    def n_duplicates(self) -> int:
        """Acknowledged copies beyond the first of each event."""
        return sum(max(0, len(event.places) - 1) for event in self.events.values())

    def trajectories(self) -> dict[str, LedgerTrajectory]:
        """What the acknowledged events say of each trajectory."""
        found: dict[str, list[LedgerEvent]] = {}
        for event in self.events.values():
            found.setdefault(event.intent.trajectory_id, []).append(event)
        return {key: _trajectory(key, events) for key, events in found.items()}


def _trajectory(trajectory_id: str, events: list[LedgerEvent]) -> LedgerTrajectory:
    sure = [event.intent for event in events if event.is_acknowledged]
    life = [event for event in events if event.intent.type != "reward"]
    ends = [intent.status for intent in sure if intent.type == "trajectory_ended"]
    return LedgerTrajectory(
        trajectory_id=trajectory_id,
        n_events=sum(event.is_acknowledged for event in life),
        n_unsure=sum(not event.is_acknowledged for event in life),
        n_rewards=sum(intent.type == "reward" for intent in sure),
        immediate=sum(intent.reward for intent in sure if intent.type == "decision"),
        reward=sum(intent.reward for intent in sure),
        status=ends[-1] if ends else None,
    )


def read_ledger(path: Path) -> Ledger:
    """The ledger in a folder, or in one file of it. Lines torn by a crash are passed over.

    Raises:
        SimulationError: If there is none, or the files are something else.
    """
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        msg = f"{path} holds no truth ledger; `ropewalk simulate --ledger {path}` writes one"
        raise SimulationError(msg)
    ledger = _collected(line for file in files for line in _lines(file))
    if not (ledger.events or ledger.opened) and any(file.stat().st_size for file in files):
        msg = f"{path} is no truth ledger: none of its lines can be read"
        raise SimulationError(msg)
    return ledger


def _lines(file: Path) -> Iterator[Line]:
    with file.open("rb") as lines:
        for line in lines:
            try:
                yield decode_line(line)
            except msgspec.DecodeError:  # torn, or the empty line after one
                continue


def _collected(lines: Iterable[Line]) -> Ledger:
    ledger = Ledger()
    acks: list[Ack] = []
    n_deaths = 0
    for line in lines:
        match line:
            case Intent():
                ledger.events.setdefault(line.event_id, LedgerEvent(line))
            case Ack():
                acks.append(line)
            case Opened():
                ledger.opened[line.trajectory_id] = line
            case Resolved():
                ledger.resolved[line.outcome_key, line.version] = line
            case Told():
                ledger.told_ms.setdefault((line.outcome_key, line.version), line.at_ms)
            case Moment():
                ledger.moments.append(line)
            case Died():
                n_deaths += 1
    for ack in acks:
        event = ledger.events[ack.event_id]
        event.places.append((ack.partition, ack.offset))
        if ack.at_ms is not None:
            event.times_ms.append(ack.at_ms)
    return replace(ledger, n_deaths=n_deaths)
