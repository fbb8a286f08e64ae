"""The engines of the partitions this worker owns, and what is written on their behalf.

Order of every account: capture, flush the outputs (chunks among them), write the record, flush;
then chunks that no account needs any more may go. Faust's group commit comes last and is a hint for
monitoring.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.failpoints import reach
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.progress import Progress, Skip
from ropewalk_schemas.topics import AGENT_EVENTS, CHUNKS, KIND_HEADER, PROGRESS, SETTINGS, TICK
from ropewalk_stream_processors.config import WorkerSettings
from ropewalk_stream_processors.deleting import take_deletable
from ropewalk_stream_processors.errors import EngineError, LostEventsError
from ropewalk_stream_processors.kafka import LogReader, Publisher
from ropewalk_stream_processors.ledger import (
    Known,
    crash_key,
    floor_key,
    next_crash,
    poison_of,
    progress_key,
    skip_key,
)
from ropewalk_stream_processors.restoring import find
from ropewalk_stream_processors.trajectory.account import capture, restore
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord

log = logging.getLogger(__name__)
ENGINE_VERSION = "1"
REPORT_EVERY_S = 5.0
DELETE_EVERY_S = 10.0  # an account more, each time
MOST_WAITING = 500  # outputs, before they are sent
INITIAL_SETTINGS = Settings()  # in force before a log says any; changing it changes what logs give


@dataclass(slots=True)
class Owned:
    """One owned partition.

    Attributes:
        end_at_start: The log's end when it was restored: beyond it the settings are known.
        written: The account last made durable.
        floors: N of each account that stands under a key of its own.
    """

    engine: Engine
    known: Known
    end_at_start: int
    last_record_at: float
    settings_checked: bool = False
    written: Progress | None = None
    pending: Progress | None = None
    floors: set[int] = field(default_factory=set)
    deleted_at: float = 0.0


class Partitions:
    """All partitions of this worker.

    Args:
        settings: The worker's settings.
        publisher: Where outputs go.
        n_partitions: How many the input topic has.
        clock: Monotonic seconds; decides only when ticks are due.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        publisher: Publisher,
        *,
        n_partitions: int,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._n_partitions = n_partitions
        self._clock = clock
        self.owned: dict[int, Owned] = {}
        self._reported_at = clock()

    def assign(self, partitions: Iterable[int]) -> dict[int, int]:
        """Own exactly these partitions; gives the offset each is to be read from.

        Raises:
            LostEventsError: If the log no longer reaches back to a replay point.
        """
        mine = set(partitions)
        for partition in set(self.owned) - mine:
            del self.owned[partition]
            log.info("partition lost", extra={"fields": {"partition": partition}})
        with self._reader() as reader:
            for partition in sorted(mine - set(self.owned)):
                self.owned[partition] = self._restore(reader, partition)
        return {partition: owned.engine.next_offset for partition, owned in self.owned.items()}

    def _reader(self) -> LogReader:
        return LogReader(self._settings.bootstrap_servers, self._settings.kafka_security)

    def _restore(self, reader: LogReader, partition: int) -> Owned:
        begun = self._clock()
        known, chunks, unnamed = find(reader, partition)
        n_chunks = len(chunks)
        for key in known.forgotten:
            self._publisher.send(PROGRESS.name, partition, key, None)
        poison = self._decide_poison(partition, known)
        engine = restore(
            known.progress,
            Place(AGENT_EVENTS.name, partition, ENGINE_VERSION),
            n_partitions=self._n_partitions,
            initial=INITIAL_SETTINGS,
            poison=poison,
            chunks=chunks,
        )
        engine.unnamed += unnamed
        low, high = reader.bounds(AGENT_EVENTS.name, partition)
        if known.progress is None:
            engine.next_offset = low  # nothing was ever accounted for: what is there is all
        check_reach(partition, low, engine.next_offset)
        check_same_log(partition, high, max(engine.next_offset, engine.target))
        fields = {
            "partition": partition,
            "from": engine.next_offset,
            "replay_to": engine.target,
            "end": high,
            "chunks": n_chunks,
            "after_s": round(self._clock() - begun, 1),
        }
        log.info("partition restored", extra={"fields": fields})
        return Owned(engine, known, high, self._clock(), floors=set(known.floors))

    def _decide_poison(self, partition: int, known: Known) -> frozenset[int]:
        """A record that failed three times is skipped, which is written down first."""
        crash = poison_of(known)
        if crash is None:
            return known.skips
        skip = Skip(partition=partition, offset=crash.offset, error=crash.error)
        key = skip_key(partition, crash.offset)
        self._publisher.send(PROGRESS.name, partition, key, _json(skip))
        self._publisher.flush()
        fields = {"partition": partition, "offset": crash.offset, "error": crash.error}
        log.error("poison record goes to quarantine", extra={"fields": fields})
        return known.skips | {crash.offset}

    def take(self, partition: int, records: Sequence[InputRecord]) -> None:
        """Apply records in order and send what they give.

        Raises:
            EngineError: If the engine failed; the crash is written down before.
        """
        owned = self.owned[partition]
        engine = owned.engine
        owned.last_record_at = self._clock()
        for record in records:
            try:
                engine.apply(record)
            except Exception as error:
                raise self._crashed(partition, record.offset, error) from error
            if len(engine.outputs) > MOST_WAITING:
                self._send_outputs(partition, engine)
        self._send_outputs(partition, engine)
        self._check_settings(partition, owned)

    def _send_outputs(self, partition: int, engine: Engine) -> None:
        for output in engine.outputs:
            self._publisher.send(output.topic, partition, output.key, output.value, output.headers)
        engine.outputs.clear()

    def _crashed(self, partition: int, offset: int, error: Exception) -> EngineError:
        described = f"{type(error).__name__}: {error}"[:500]
        crash = next_crash(self.owned[partition].known, partition, offset, described)
        self._publisher.send(PROGRESS.name, partition, crash_key(partition), _json(crash))
        self._publisher.flush()
        msg = (
            f"the engine failed on {AGENT_EVENTS.name}[{partition}] offset {offset} "
            f"({described}), time {crash.times} of 3; after the third the record is quarantined"
        )
        return EngineError(msg)

    def _check_settings(self, partition: int, owned: Owned) -> None:
        """Settings live in the log: what differs from ours is written there, once it is read."""
        if owned.settings_checked or owned.engine.next_offset < owned.end_at_start:
            return
        owned.settings_checked = True
        wanted = self._settings.limits
        if owned.engine.settings != wanted:
            headers = [(KIND_HEADER, SETTINGS)]
            self._publisher.send(AGENT_EVENTS.name, partition, None, _json(wanted), headers)
            log.info("settings written to the log", extra={"fields": {"partition": partition}})

    def pass_time(self) -> None:
        """Write a tick to each partition that is quiet while something waits for time."""
        now = self._clock()
        for partition, owned in self.owned.items():
            self._check_settings(partition, owned)
            quiet = now - owned.last_record_at >= self._settings.tick_after_s
            if quiet and owned.engine.waits():
                owned.last_record_at = now
                headers = [(KIND_HEADER, TICK)]
                self._publisher.send(AGENT_EVENTS.name, partition, None, b"", headers)
        self._publisher.check()

    def capture(self, partition: int) -> int | None:
        """Take the account of a partition as it stands; gives its replay point.

        None while it is being replayed, or when nothing happened since the last account.
        """
        owned = self.owned.get(partition)
        if owned is None or owned.engine.next_offset < owned.engine.target:
            return None
        last = owned.written
        if last is not None and last.next_offset == owned.engine.next_offset:
            return None
        owned.pending = capture(owned.engine, worker=self._settings.worker_name)
        return owned.pending.replay_offset

    def captured(self) -> list[tuple[int, Owned, Progress]]:
        """The accounts captured and not yet written."""
        return [(p, o, o.pending) for p, o in list(self.owned.items()) if o.pending]

    def account(self, taken: Sequence[tuple[int, Owned, Progress]]) -> None:
        """Make accounts durable: the outputs before them first, then the records. Blocks.

        Raises:
            PublishError: If something could not be made durable.
        """
        reach("worker.outputs.before_flush")
        self._publisher.flush()
        reach("worker.outputs.after_flush")
        deleting = []
        for partition, owned, progress in taken:
            key = progress_key(partition)
            value = _json(progress)
            self._publisher.send(PROGRESS.name, partition, key, value)
            if self._deletes(owned):
                floor = floor_key(partition, progress.next_offset)
                self._publisher.send(PROGRESS.name, partition, floor, value)
                deleting.append((partition, owned, progress))
        reach("worker.progress.before_flush")
        self._publisher.flush()
        reach("worker.progress.after_flush")
        for _, owned, progress in taken:
            owned.written, owned.pending = progress, None
        for partition, owned, progress in deleting:
            self._delete(partition, owned, progress.next_offset)
        self._report()

    def _deletes(self, owned: Owned) -> bool:
        """Whether it is time to delete chunks; not every second, as it costs an account."""
        return bool(owned.engine.unnamed) and self._clock() - owned.deleted_at >= DELETE_EVERY_S

    def _delete(self, partition: int, owned: Owned, next_offset: int) -> None:
        """Delete what no account of N or beyond needs, now that the floor of N is durable.

        What a crash leaves is found at the next restart.
        """
        owned.deleted_at = self._clock()
        for key in take_deletable(owned.engine.unnamed, next_offset):
            self._publisher.send(CHUNKS.name, partition, key, None)
        for floor in [floor for floor in owned.floors if floor < next_offset]:
            self._publisher.send(PROGRESS.name, partition, floor_key(partition, floor), None)
            owned.floors.discard(floor)
        owned.floors.add(next_offset)
        reach("worker.chunks.after_delete")

    def _report(self) -> None:
        """One line every few seconds in which something happened."""
        now = self._clock()
        if now - self._reported_at < REPORT_EVERY_S:
            return
        self._reported_at = now
        accounts = [owned.written for owned in list(self.owned.values()) if owned.written]
        fields = {
            "partitions": len(accounts),
            "received": sum(a.counts.received for a in accounts),
            "assembled": sum(a.counts.assembled for a in accounts),
            "quarantined": sum(sum(a.counts.quarantined.values()) for a in accounts),
            "open": sum(a.open_trajectories for a in accounts),
            "open_events": sum(a.open_events for a in accounts),
        }
        log.info("worker_progress", extra={"fields": fields})


def check_reach(partition: int, log_start: int, needed: int) -> None:
    """Whether the log still holds what must be read.

    Raises:
        LostEventsError: If not.
    """
    if log_start > needed:
        msg = (
            f"{AGENT_EVENTS.name}[{partition}] begins at offset {log_start}, but {needed} is "
            f"needed to go on: {log_start - needed:,} records were deleted before they were "
            "assembled. Restore the topic or raise its retention; to go on without them, delete "
            f"the partition's account knowingly: a record with key {partition} and no value, in "
            f"partition {partition} of {PROGRESS.name}"
        )
        raise LostEventsError(msg)


def check_same_log(partition: int, log_end: int, accounted: int) -> None:
    """Whether the log is the one that was read.

    Raises:
        LostEventsError: If it ends before what is accounted for.
    """
    if log_end < accounted:
        msg = (
            f"{AGENT_EVENTS.name}[{partition}] ends at offset {log_end}, but {accounted} records "
            "are accounted for: it is another log, the topic was made anew, and what was open in "
            "the old one is lost. To go on with the new one, delete the partition's account "
            f"knowingly: a record with key {partition} and no value, in partition {partition} of "
            f"{PROGRESS.name}"
        )
        raise LostEventsError(msg)


def _json(record: Any) -> bytes:
    return to_json(record.model_dump(mode="json"))
