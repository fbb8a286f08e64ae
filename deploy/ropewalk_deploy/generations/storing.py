"""Stores a generation's topics by the sinks' own code, in this process, and proves it whole."""

from collections.abc import Callable, Iterator
from contextlib import closing

from ropewalk_deploy.audit.accounts import Accounts, PartKey
from ropewalk_deploy.audit.checks import check_sets
from ropewalk_deploy.audit.readers import Share, read_generation
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations.places import (
    output_topics,
    parquet_settings,
    postgres_settings,
    within,
)
from ropewalk_deploy.kafka import LogRecord, LogScanner
from ropewalk_sinks import parquet_reads, postgres_reads
from ropewalk_sinks.kafka import QuarantineWriter
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.sink import Sink, SourceRecord, TopicPartition
from ropewalk_sinks.stored import StoredPart

NEVER_OLD = 0.0
"""A moment at which no buffer is due by age: so files and batches are cut by the log alone."""


def store(places: Endpoints, name: str, share: Share) -> None:
    """Store a generation in both stores.

    Raises:
        CommandError: If a store does not hold what the topics say.
        SinkError: If a store refuses.
    """
    topics = output_topics(name)
    postgres, parquet = postgres_settings(places, name), parquet_settings(places, name)
    with LogScanner(places.bootstrap_servers) as scanner:
        with closing(PostgresSink(postgres)) as sink:
            _feed(sink, scanner, topics, QuarantineWriter(postgres))
        share(0.5)
        with closing(ParquetSink(parquet)) as files:
            _feed(files, scanner, topics, QuarantineWriter(parquet))
        share(1.0)
        accounts = read_generation(scanner, name)
    _require_whole(places, name, accounts)


def _feed(
    sink: Sink, scanner: LogScanner, topics: tuple[str, ...], refuse: QuarantineWriter
) -> None:
    """Feed a sink until it has stored its topics, and what it refused of them."""
    partitions = [TopicPartition(t, p) for t in topics for p in scanner.partitions(t)]
    positions = sink.claim(partitions)
    while moved := list(_behind(scanner, positions)):
        for at, end in moved:
            for record in scanner.records(*at, start=positions[at], end=end):
                sink.add([_source_record(at, record)])
                if sink.due(NEVER_OLD):
                    sink.flush(refuse)
            positions[at] = end
        sink.flush(refuse)


def _behind(
    scanner: LogScanner, positions: dict[TopicPartition, int]
) -> Iterator[tuple[TopicPartition, int]]:
    for at, position in positions.items():
        end = scanner.bounds(*at).end
        if position < end:
            yield at, end


def _source_record(at: TopicPartition, record: LogRecord) -> SourceRecord:
    return SourceRecord(
        at, record.offset, record.timestamp_ms, record.key, record.value, record.headers
    )


def _require_whole(places: Endpoints, name: str, accounts: Accounts) -> None:
    own = within(places, name)
    expected = {key: part.content for key, part in accounts.stored_parts().items()}
    reads: dict[str, Callable[[], Iterator[StoredPart]]] = {
        "Postgres": lambda: postgres_reads.stored_parts(own.postgres_dsn),
        "Parquet": lambda: parquet_reads.stored_parts(own.parquet_path),
    }
    for store_name, read in reads.items():
        found = ((PartKey(p.trajectory_id, p.part), (p.content_hash, p.reward)) for p in read())
        check = check_sets(store_name, expected, found)
        if not check.ok:
            msg = (
                f"{store_name} does not hold what the topics of generation {name} say, in "
                f"{check.n_wrong} parts: {check.wrong[0]}. Remove it with `ropewalk generations rm "
                f"{name}`, then run this again"
            )
            raise CommandError(msg)
