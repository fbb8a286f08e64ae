"""Reads what a rebuild goes by: the log of each partition, its account, and what is open in it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations.rebuilding import Log, open_lives
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.topics import AGENT_EVENTS, SETTINGS
from ropewalk_stream_processors import restoring
from ropewalk_stream_processors.kafka import LogReader
from ropewalk_stream_processors.partitions import ENGINE_VERSION, INITIAL_SETTINGS
from ropewalk_stream_processors.trajectory.account import restore
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord


@dataclass(frozen=True, slots=True)
class Source:
    """One partition: its log up to the worker's account, and what was open by then.

    Attributes:
        start: The first offset that is still there; `end`: the account's next offset.
    """

    start: int
    end: int
    log: Log
    open_lives: frozenset[str]


def read_sources(
    scanner: LogScanner, reader: LogReader, limits: Settings | None
) -> dict[int, Source]:
    """Every partition that a worker has accounted for.

    Args:
        scanner: Reads the log whenever it is asked for, so it must stay open.
        reader: Reads what a worker restores from.
        limits: In place of those in the log.

    Raises:
        CommandError: If the log no longer says what must be known.
        LostChunksError: If chunks that an account names are gone.
    """
    partitions = scanner.partitions(AGENT_EVENTS.name)
    restorable = {partition: restoring.find(reader, partition) for partition in partitions}
    return {
        partition: _source(scanner, partition, len(partitions), found, limits)
        for partition, found in restorable.items()
        if found.known.progress is not None
    }


def _source(
    scanner: LogScanner,
    partition: int,
    n_partitions: int,
    restorable: restoring.Found,
    limits: Settings | None,
) -> Source:
    known, account = restorable.known, restorable.known.progress
    assert account is not None  # noqa: S101 - the caller has looked
    place = Place(AGENT_EVENTS.name, partition, ENGINE_VERSION)
    start, end = scanner.bounds(AGENT_EVENTS.name, partition).start, account.next_offset
    if start > account.replay_offset:
        msg = (
            f"{AGENT_EVENTS.name}[{partition}] begins at offset {start}, but the worker itself "
            f"needs {account.replay_offset}: mend that first, the worker's log says how"
        )
        raise CommandError(msg)
    open_now = open_lives(
        restore(
            account,
            place,
            n_partitions=n_partitions,
            initial=INITIAL_SETTINGS,
            poison=known.skips,
            chunks=restorable.chunks,
        ),
        _records(scanner, partition, account.replay_offset, end),
    )
    log = Log(
        place,
        n_partitions,
        partial(_records, scanner, partition, start, end),
        initial=INITIAL_SETTINGS,
        limits=limits,
        poison=frozenset(offset for offset in known.skips if offset >= start),
    )
    if start and limits is None:
        log = replace(log, initial=initial_limits(log, account, start))
    return Source(start, end, log, frozenset(open_now))


def _records(scanner: LogScanner, partition: int, start: int, end: int) -> Iterator[InputRecord]:
    for record in scanner.records(AGENT_EVENTS.name, partition, start=start, end=end):
        yield InputRecord(*record[1:])


def initial_limits(log: Log, account: Progress, start: int) -> Settings:
    """The limits in force where a log begins whose first records are deleted.

    Raises:
        CommandError: If nothing says it any more.
    """
    for record in log.records():
        if record.offset >= account.replay_offset:
            break
        if record.control() == SETTINGS:
            msg = (
                f"{AGENT_EVENTS.name}[{log.place.partition}] begins at offset {start}, and the "
                "limits that held there are deleted with what came before: give them with --limits"
            )
            raise CommandError(msg)
    return account.settings
