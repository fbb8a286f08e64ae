"""Fills accounts from the logs, waits until the worker and the sinks have caught up."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ropewalk_deploy.audit.accounts import Accounts
from ropewalk_deploy.audit.checks import Span
from ropewalk_deploy.generations.names import topic_of
from ropewalk_deploy.kafka import LogRecord, LogScanner
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.topics import AGENT_EVENTS, PROGRESS, QUARANTINE, TRAJECTORIES
from ropewalk_stream_processors.ledger import newer, progress_key

Ends = dict[tuple[str, int], int]
Share = Callable[[float], None]


def newest_progress(scanner: LogScanner) -> dict[int, Progress]:
    """The newest account of each partition that has one."""
    newest: dict[int, Progress | None] = {}
    for partition in scanner.partitions(PROGRESS.name):
        for record in scanner.records(PROGRESS.name, partition):
            if record.key == progress_key(partition):
                newest[partition] = newer(newest.get(partition), record.value)
    return {partition: account for partition, account in newest.items() if account is not None}


def wait_until(condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.3) -> bool:
    """Whether a condition held within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True


def wait_for_worker(scanner: LogScanner, *, timeout_s: float) -> dict[int, tuple[int, int]]:
    """Wait until every record there is now is accounted for.

    Returns:
        The partitions that are not: (accounted for up to, end of the log).
    """
    ends = {
        p: scanner.bounds(AGENT_EVENTS.name, p).end for p in scanner.partitions(AGENT_EVENTS.name)
    }
    behind: dict[int, tuple[int, int]] = {}

    def caught_up() -> bool:
        progress = newest_progress(scanner)
        behind.clear()
        for partition, end in ends.items():
            account = progress.get(partition)
            done = account.next_offset if account is not None else 0
            if done < end:
                behind[partition] = (done, end)
        return not behind

    wait_until(caught_up, timeout_s=timeout_s)
    return behind


@dataclass
class Reading:
    """What was read of the logs.

    Attributes:
        ends: Where each output partition was read to.
        log_starts: The first offset of each input partition.
    """

    accounts: Accounts = field(default_factory=Accounts)
    spans: dict[int, Span] = field(default_factory=dict)
    ends: Ends = field(default_factory=dict)
    log_starts: dict[int, int] = field(default_factory=dict)


def read_logs(scanner: LogScanner, share: Share) -> Reading:
    """Count everything in the logs, between two looks at the worker's accounts."""
    reading = Reading()
    before = newest_progress(scanner)
    inputs = scanner.partitions(AGENT_EVENTS.name)
    reading.log_starts = {p: scanner.bounds(AGENT_EVENTS.name, p).start for p in inputs}
    outputs = [
        (topic, p)
        for topic in (TRAJECTORIES.name, QUARANTINE.name)
        for p in scanner.partitions(topic)
    ]
    reading.ends = {(t, p): scanner.bounds(t, p).end for t, p in outputs}
    todo = _Todo(
        sum(account.next_offset for account in before.values()) + sum(reading.ends.values()), share
    )
    for partition, account in before.items():
        records = scanner.records(AGENT_EVENTS.name, partition, end=account.next_offset)
        reading.accounts.take_inputs(todo.through(records))
    for topic, partition in outputs:
        records = scanner.records(topic, partition, end=reading.ends[topic, partition])
        take_output(reading.accounts, topic, todo.through(records))
    after = newest_progress(scanner)
    reading.spans = {p: Span(account, after[p]) for p, account in before.items()}
    return reading


def take_output(accounts: Accounts, topic: str, records: Iterator[LogRecord]) -> None:
    """Take in records of one of the two output topics."""
    if topic == TRAJECTORIES.name:
        accounts.take_outputs(topic, records)
    else:
        accounts.take_quarantine(topic, records)


def read_later(scanner: LogScanner, ends: Ends) -> Accounts:
    """What was published after the given ends."""
    later = Accounts()
    for (topic, partition), end in ends.items():
        take_output(later, topic, scanner.records(topic, partition, start=end))
    return later


def read_generation(scanner: LogScanner, name: str) -> Accounts:
    """What the topics of a generation of output say."""
    accounts = Accounts()
    for topic, take in (
        (TRAJECTORIES.name, accounts.take_outputs),
        (QUARANTINE.name, accounts.take_quarantine),
    ):
        own = topic_of(topic, name)
        for partition in scanner.partitions(own):
            take(own, scanner.records(own, partition))
    return accounts


class _Todo:
    """Tells the share of records read."""

    def __init__(self, total: int, share: Share) -> None:
        self._total, self._share, self._done = max(total, 1), share, 0

    def through(self, records: Iterator[LogRecord]) -> Iterator[LogRecord]:
        for record in records:
            self._done += 1
            if self._done % 5000 == 0:
                self._share(min(1.0, self._done / self._total))
            yield record
