"""One partition's log through today's engine once more; pure.

A first run finds which trajectories come out in the chosen windows. A second gives the outputs of
the chosen ones: to it every other record is only the passing of time, which is all that an engine
has of the records of another trajectory.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ropewalk_deploy.generations.choice import Choice
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.published import TrajectoryRow, decode_published
from ropewalk_schemas.topics import CHUNKS, KIND_HEADER, SETTINGS, TICK, TRAJECTORIES
from ropewalk_schemas.windows import to_micros
from ropewalk_stream_processors.trajectory.account import restore
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.life import NEVER
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord, Output

Records = Callable[[], Iterable[InputRecord]]
_TICK_HEADERS = ((KIND_HEADER, TICK),)


class EngineFailureError(Exception):
    """Today's engine fails on a record that was no poison before."""

    def __init__(self, offset: int, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}"[:500])
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Log:
    """One partition's log, as it is rebuilt.

    Attributes:
        records: Gives all its records, from the begin; as often as it is asked.
        initial: Limits in force before the log says any.
        limits: Limits in place of those in the log, if they are given.
        poison: Offsets that were skipped as poison; they are tried again.
        open_live: Trajectories that the worker holds open, and may yet publish.
    """

    place: Place
    n_partitions: int
    records: Records
    initial: Settings
    limits: Settings | None = None
    poison: frozenset[int] = frozenset()
    open_live: frozenset[str] = frozenset()

    def engine(self, poison: frozenset[int]) -> Engine:
        """An engine at the begin of the log."""
        initial = self.limits or self.initial
        return restore(
            None, self.place, n_partitions=self.n_partitions, initial=initial, poison=poison
        )


class Owner(NamedTuple):
    """Whose a trajectory is."""

    agent_id: str
    project: str


@dataclass
class Found:
    """What the first run found.

    Attributes:
        chosen: Trajectories with a part in the chosen windows, or that have one open now.
        poison: Offsets on which today's engine fails again.
        tried: Offsets that were skipped as poison and are taken now.
    """

    chosen: dict[str, Owner] = field(default_factory=dict)
    poison: frozenset[int] = frozenset()
    tried: frozenset[int] = frozenset()


def find(log: Log, choice: Choice) -> Found:
    """The first run.

    Raises:
        EngineFailureError: If the engine fails on a record that was no poison.
    """
    poison: frozenset[int] = frozenset()
    while True:
        engine = log.engine(poison)
        try:
            return Found(_chosen(engine, log, choice), poison, log.poison - poison)
        except EngineFailureError as error:
            if error.offset not in log.poison or error.offset in poison:
                raise
            poison |= {error.offset}  # what it left half done is no state to go on from


def _chosen(engine: Engine, log: Log, choice: Choice) -> dict[str, Owner]:
    chosen: dict[str, Owner] = {}
    for output in _applied(engine, log, log.records()):
        _choose(output, choice, chosen)
    for trajectory_id in engine.lives.keys() & log.open_live:
        life = engine.lives[trajectory_id]
        begun = life.window_start_us
        if begun is not None and choice.takes(begun, life.window_s, life.project):
            chosen[trajectory_id] = Owner("", life.project)  # it is left out, whoever's it is
    for output in _closed(engine, log):
        _choose(output, choice, chosen)
    return chosen


def _choose(output: Output, choice: Choice, chosen: dict[str, Owner]) -> None:
    if output.topic != TRAJECTORIES.name:
        return
    row = decode_published(output.value or b"")
    if not isinstance(row, TrajectoryRow):
        return
    if choice.takes(to_micros(row.window_start), row.window_s, row.project):
        chosen[row.trajectory_id] = Owner(row.agent_id, row.project)


def outputs_of(log: Log, members: Collection[str], poison: frozenset[int]) -> Iterator[Output]:
    """The second run: everything the log gives for these trajectories, in its order."""
    keys = frozenset(member.encode() for member in members)
    engine = log.engine(poison)
    for output in _applied(engine, log, _only(keys, log.records())):
        if output.key in keys:
            yield output
    for output in _closed(engine, log):
        if output.key in keys:
            yield output


def _only(keys: frozenset[bytes], records: Iterable[InputRecord]) -> Iterator[InputRecord]:
    for record in records:
        is_ours = record.control() is not None if record.key is None else record.key in keys
        yield record if is_ours else _tick(record)


def _applied(engine: Engine, log: Log, records: Iterable[InputRecord]) -> Iterator[Output]:
    """What the log gives."""
    for record in records:
        taken = record if log.limits is None else _without_settings(record)
        try:
            engine.apply(taken)
        except Exception as error:
            raise EngineFailureError(record.offset, error) from error
        yield from (output for output in engine.outputs if output.topic != CHUNKS.name)
        engine.outputs.clear()


def _without_settings(record: InputRecord) -> InputRecord:
    """Limits in the log are passed over; what only looks like them is refused as ever."""
    if record.control() != SETTINGS:
        return record
    try:
        Settings.model_validate_json(record.value or b"")
    except ValueError:
        return record
    return _tick(record)


def _tick(record: InputRecord) -> InputRecord:
    return InputRecord(record.offset, record.timestamp_ms, None, b"", _TICK_HEADERS)


def _closed(engine: Engine, log: Log) -> Iterator[Output]:
    """What closes when time goes on after the log's end, of lives to which nothing more can come.

    Only the clock moves; the broker's time stays that of the last record. What the worker holds
    open closes as well, by a time that has not come, and is not told.
    """
    over = engine.lives.keys() - log.open_live
    while over:
        due = min(engine.lives[trajectory_id].due()[0] for trajectory_id in over)
        if due == NEVER:
            return
        engine.clock_ms = max(engine.clock_ms, due)
        engine.fire(engine.next_offset)
        for output in engine.outputs:
            if (output.key or b"").decode(errors="replace") not in log.open_live:
                yield output
        engine.outputs.clear()
        over &= engine.lives.keys()


def open_lives(engine: Engine, records: Iterable[InputRecord]) -> set[str]:
    """The trajectories that a worker holds open, cut ones included.

    Args:
        engine: Restored from the worker's newest account.
        records: From its replay point up to its next offset.
    """
    for record in records:
        engine.apply(record)
    return set(engine.lives)
