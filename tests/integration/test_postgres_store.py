"""The Postgres sink against a real database, fed by hand."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.support.published import a_part, a_step, an_entry, content_hash, value_of
from tests.support.sink_lab import count, fresh_database, rows, wait_for

from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.errors import (
    ConfigError,
    FencedError,
    MigrationError,
    QuarantineError,
    UnreachableError,
)
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.postgres_migrations import migrate
from ropewalk_sinks.postgres_reads import (
    stored_offsets,
    stored_parts,
    stored_quarantine,
    stored_rewards,
)
from ropewalk_sinks.sink import SourceRecord, TopicPartition
from ropewalk_sinks.sql import migrations

pytestmark = pytest.mark.integration

P0, P1 = TopicPartition("trajectories", 0), TopicPartition("trajectories", 1)
ODD = msgspec.Raw(b'{"x":0.' + b"0" * 20_000 + b"1}")  # more digits than jsonb takes


class Database:
    """A migrated database, and sinks on it that are closed with the test."""

    def __init__(self, dsn: str, stack: ExitStack) -> None:
        self.dsn, self._stack = dsn, stack

    def sink(self, **changes: object) -> PostgresSink:
        sink = a_sink(self.dsn, **changes)
        self._stack.callback(sink.close)
        return sink

    def claimed(self, *partitions: TopicPartition) -> PostgresSink:
        sink = self.sink()
        sink.claim(partitions or (P0,))
        return sink

    def count(self, table: str) -> int:
        return count(self.dsn, table)


@pytest.fixture
def db(stack: Stack, unique: str) -> Iterator[Database]:
    with ExitStack() as closing:
        yield Database(fresh_database(stack, unique), closing)


def a_sink(dsn: str, **changes: object) -> PostgresSink:
    settings = PostgresSettings.load(bootstrap_servers="none:1", postgres_dsn=dsn, **changes)
    return PostgresSink(settings)


def records(*values: bytes | None, at: TopicPartition = P0, start: int = 0) -> list[SourceRecord]:
    return [
        SourceRecord(at, start + i, 1_772_000_000_000 + i, b"key", value, [("h", b"\x00")])
        for i, value in enumerate(values)
    ]


def refuse_nothing(refused: Sequence[Quarantined]) -> None:
    raise AssertionError(refused)


def test_a_batch_of_three_months_makes_their_partitions_and_only_those(db: Database) -> None:
    sink = db.claimed()
    starts = [datetime(2026, m, 1, tzinfo=UTC) for m in (1, 12)] + [
        datetime(9999, 12, 31, tzinfo=UTC)
    ]
    parts = [a_part(f"t-{i}", window_start=start) for i, start in enumerate(starts)]
    sink.add(records(*map(value_of, parts)))
    assert sink.flush(refuse_nothing) == {P0: 3}
    found = rows(db.dsn, "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class c"
                      " ON c.oid = inhparent WHERE c.relkind = 'p' ORDER BY 1")  # fmt: skip
    expected = [
        (f"{table}_{month}",)
        for table in ("llm_calls", "messages", "steps", "trajectories")
        for month in ("y2026m01", "y2026m12", "y9999m12")
    ]
    assert found == expected


def meet(db: Database, first: PostgresSink, second: PostgresSink) -> list[Quarantined]:
    """Flush both so that the second waits for what the first has written and not committed.

    The first must have something to refuse. Gives what the second refused.
    """
    refused: list[Quarantined] = []
    with ThreadPoolExecutor() as pool:
        flushes = []

        def while_uncommitted(_: Sequence[Quarantined]) -> None:
            flushes.append(pool.submit(second.flush, refused.extend))
            wait_for(lambda: waiting(db.dsn) == 1, told="the second waits for the first")

        first.flush(while_uncommitted)
        assert list(flushes[0].result()) == [P1]
    return refused


def test_two_sinks_that_meet_the_same_new_month_both_store(db: Database) -> None:
    first, second = db.claimed(P0), db.claimed(P1)
    first.add(records(value_of(a_part("a")), b"junk"))
    second.add(records(value_of(a_part("b")), at=P1))
    assert meet(db, first, second) == []
    assert {part.trajectory_id for part in stored_parts(db.dsn)} == {"a", "b"}


def test_a_restarted_sink_goes_on_where_the_stored_rows_end(db: Database) -> None:
    first = db.claimed()
    first.add(records(value_of(a_part("a")), value_of(a_part("b"))))
    first.flush(refuse_nothing)
    first.add(records(value_of(a_part("c")), start=2))  # buffered, never flushed
    assert db.sink().claim([P0, P1]) == {P0: 2, P1: 0}
    assert db.count("parts") == 2


def test_records_sent_again_under_new_offsets_leave_one_copy(db: Database) -> None:
    sink = db.claimed()
    values = [value_of(a_part()), value_of(an_entry())]
    sink.add(records(*values, *values))  # within one batch
    sink.flush(refuse_nothing)
    sink.add(records(*values, start=4))  # and in a later one
    sink.flush(refuse_nothing)
    tables = ("parts", "trajectories", "rewards", "scores")
    assert [db.count(table) for table in tables] == [1, 1, 1, 1]
    assert (db.count("messages"), db.count("steps"), db.count("llm_calls")) == (4, 2, 2)
    assert +sink.counts == {"rows": 2, "duplicates": 4}


def test_records_read_again_after_a_rewind_are_skipped(db: Database) -> None:
    sink = db.claimed()
    sink.add(records(value_of(a_part("a")), value_of(a_part("b"))))
    sink.flush(refuse_nothing)
    sink.add(records(value_of(a_part("a")), value_of(a_part("b"))))
    assert sink.flush(refuse_nothing) == {}
    assert sink.counts["duplicates"] == 0


def test_the_older_of_two_owners_is_fenced_and_writes_nothing(db: Database) -> None:
    zombie = db.claimed()
    zombie.add(records(value_of(a_part("a"))))
    heir = db.claimed()
    with pytest.raises(FencedError, match=r"trajectories\[0\] was taken over"):
        zombie.flush(refuse_nothing)
    assert db.count("parts") == 0
    heir.add(records(value_of(a_part("a"))))
    assert heir.flush(refuse_nothing) == {P0: 1}
    assert db.count("trajectories") == 1


def test_a_zombie_refuses_nothing_either(db: Database) -> None:
    zombie = db.claimed()
    zombie.add(records(b"junk"))
    db.claimed()
    with pytest.raises(FencedError):
        zombie.flush(refuse_nothing)


def test_one_lost_partition_fences_the_whole_batch(db: Database) -> None:
    zombie = db.claimed(P0, P1)
    zombie.add(records(value_of(a_part("a"))))
    zombie.add(records(value_of(a_part("b")), at=P1))
    db.claimed(P1)
    with pytest.raises(FencedError):
        zombie.flush(refuse_nothing)
    assert db.count("parts") == 0
    assert [offset.next_offset for offset in stored_offsets(db.dsn)] == [0, 0]


def test_a_claim_waits_for_the_earlier_owners_transaction(db: Database) -> None:
    first, second = db.claimed(), db.sink()
    first.add(records(b"junk"))
    with ThreadPoolExecutor() as pool:
        claims = []

        def take_over(_: Sequence[Quarantined]) -> None:
            claims.append(pool.submit(second.claim, [P0]))
            wait_for(lambda: waiting(db.dsn) == 1, told="the claim waits for a lock")

        assert first.flush(take_over) == {P0: 1}
        assert claims[0].result() == {P0: 1}


def waiting(dsn: str) -> int:
    """Sessions of this database that wait for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return int(rows(dsn, query)[0][0])


@pytest.mark.parametrize("row", [a_part(), an_entry()], ids=["part", "reward"])
def test_the_same_identity_in_two_partitions_at_once_is_stored_once(
    db: Database, row: object
) -> None:
    first, second = db.claimed(P0), db.claimed(P1)
    # So that the two meet at the guard, and not where they create the month.
    first.add(records(value_of(a_part("earlier")), start=0))
    first.flush(refuse_nothing)
    first.add(records(value_of(row), b"junk", start=1))
    second.add(records(value_of(a_part("other")), at=P1))
    second.flush(refuse_nothing)
    second.add(records(value_of(row), at=P1, start=1))
    assert meet(db, first, second) == []
    assert (second.counts["rows"], second.counts["duplicates"]) == (1, 1)


def test_released_partitions_leave_the_buffer_and_the_others_stay(db: Database) -> None:
    sink = db.claimed(P0, P1)
    sink.add(records(value_of(a_part("a"))))
    sink.add(records(value_of(a_part("b")), at=P1))
    sink.release([P0])
    sink.add(records(value_of(a_part("c")), start=1))  # ours no more
    assert sink.flush(refuse_nothing) == {P1: 1}
    assert [part.trajectory_id for part in stored_parts(db.dsn)] == ["b"]


def test_a_flush_is_due_by_records_by_bytes_and_by_age(db: Database) -> None:
    sink = db.sink(postgres_batch_records=2, postgres_batch_bytes=10_000_000)
    sink.claim([P0])
    assert not sink.due(0.0)
    sink.add(records(value_of(a_part("a"))))
    assert not sink.due(10.0)
    assert sink.due(11.0)
    sink.add(records(value_of(a_part("b")), start=1))
    assert sink.due(10.5)
    sink.flush(refuse_nothing)
    assert not sink.due(99.0)


def test_conflicts_are_refused_with_their_bytes_and_the_rest_is_stored(db: Database) -> None:
    sink, refused = db.claimed(), list[Quarantined]()
    values = [
        value_of(a_part("a")),
        value_of(a_part("a", content_hash="other")),
        value_of(a_part("a", 1)),  # after the last
        value_of(a_part("b", 1)),  # without its predecessor
        value_of(an_entry(value=1.0)),
        value_of(an_entry(value=2.0)),
        value_of(a_part("c")),
    ]
    sink.add(records(*values))
    assert sink.flush(refused.extend) == {P0: 7}
    assert [(q.offset, q.reason) for q in refused] == [(n, "conflict") for n in (1, 2, 3, 5)]
    assert [q.value for q in refused] == [values[n] for n in (1, 2, 3, 5)]
    assert {part.trajectory_id for part in stored_parts(db.dsn)} == {"a", "c"}
    assert [reward.value for reward in stored_rewards(db.dsn)] == [1.0]


def test_a_failing_refusal_leaves_nothing_stored_and_the_batch_can_come_again(db: Database) -> None:
    sink = db.claimed()
    batch = records(value_of(a_part("a")), b"junk")
    sink.add(batch)

    def fail(_: Sequence[Quarantined]) -> None:
        raise QuarantineError

    with pytest.raises(QuarantineError):
        sink.flush(fail)
    assert db.count("parts") == 0
    again, refused = db.claimed(), list[Quarantined]()
    again.add(batch)
    assert again.flush(refused.extend) == {P0: 2}
    assert (db.count("parts"), len(refused)) == (1, 1)


def test_a_database_that_dies_before_the_commit_leaves_nothing_stored(db: Database) -> None:
    sink = db.claimed()
    sink.add(records(value_of(a_part("a")), b"junk"))

    def cut_the_line(_: Sequence[Quarantined]) -> None:
        rows(db.dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                  " datname = current_database() AND state = 'idle in transaction'")  # fmt: skip

    with pytest.raises(UnreachableError, match="lost Postgres at"):
        sink.flush(cut_the_line)
    assert db.count("parts") == 0
    assert db.claimed().claim([P0]) == {P0: 0}


@pytest.mark.parametrize("place", range(5))
def test_a_record_too_odd_for_jsonb_is_refused_alone_wherever_it_stands(
    db: Database, place: int
) -> None:
    sink, refused = db.claimed(), list[Quarantined]()
    parts = [a_part(f"t-{i}") for i in range(5)]
    parts[place] = a_part("odd", metadata=ODD)
    sink.add(records(*map(value_of, parts)))
    assert sink.flush(refused.extend) == {P0: 5}
    [odd] = refused
    assert (odd.offset, odd.reason, odd.trajectory_id) == (place, "invalid", "odd")
    assert odd.value == value_of(parts[place])
    assert "numeric" in odd.detail
    assert db.count("parts") == db.count("trajectories") == 4
    sink.add(records(value_of(a_part("next")), start=5))
    assert sink.flush(refuse_nothing) == {P0: 6}


def test_parts_after_a_refused_one_are_conflicts_that_say_so(db: Database) -> None:
    sink, refused = db.claimed(), list[Quarantined]()
    odd = a_part("t", 0, last=False, steps=[a_step(0, state=ODD)])
    sink.add(records(value_of(odd), value_of(a_part("t", 1))))
    sink.flush(refused.extend)
    assert [q.reason for q in refused] == ["invalid", "conflict"]
    assert "part 0, which is not held" in refused[1].detail


def test_a_chain_over_several_windows_is_one_trajectory(db: Database) -> None:
    sink = db.claimed()
    april = datetime(2026, 4, 1, tzinfo=UTC)
    sink.add(records(value_of(a_part("t", 0, last=False))))
    sink.flush(refuse_nothing)
    sink.add(records(value_of(a_part("t", 1, window_start=april)), start=1))
    sink.flush(refuse_nothing)
    found = rows(db.dsn, "SELECT part, window_start, previous_hash FROM trajectories ORDER BY part")
    assert [row[0] for row in found] == [0, 1]
    assert found[1][1:] == (april, content_hash("t", 0))


def test_what_is_stored_can_be_read_back_by_those_who_check(db: Database) -> None:
    sink = db.claimed()
    sink.add(records(value_of(a_part("a", n_events=9)), value_of(an_entry(source_offset=44))))
    sink.flush(refuse_nothing)
    assert [part[:5] for part in stored_parts(db.dsn)] == [("a", 0, content_hash("a", 0), 0, 9)]
    assert list(stored_rewards(db.dsn)) == [("r-1", "t-1", 2.5, 0, 44)]
    assert list(stored_offsets(db.dsn)) == [("postgres", "trajectories", 0, 2)]
    assert list(stored_quarantine(db.dsn)) == []


def test_migrations_apply_once_also_when_two_start_at_the_same_time(
    stack: Stack, unique: str
) -> None:
    dsn = fresh_database(stack, unique, migrated=False)
    barrier = threading.Barrier(2)

    def start(_: int) -> list[str]:
        barrier.wait()
        return migrate(dsn)

    with ThreadPoolExecutor() as pool:
        applied = list(pool.map(start, range(2)))
    assert sorted(map(len, applied)) == [0, len(migrations())]
    assert migrate(dsn) == []


def test_a_changed_migration_is_an_error_that_names_it(db: Database) -> None:
    with psycopg.connect(db.dsn) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'x' WHERE name LIKE '002%'")
    for attempt in (migrate, a_sink):
        with pytest.raises(MigrationError, match=r"002_views\.sql was changed after"):
            attempt(db.dsn)


def test_a_sink_does_not_start_without_its_tables(stack: Stack, unique: str) -> None:
    dsn = fresh_database(stack, unique, migrated=False)
    with pytest.raises(MigrationError, match=r"lacks 001_tables\.sql, .*run `ropewalk migrate`"):
        a_sink(dsn)


def test_an_unreachable_database_is_one_line_without_the_password() -> None:
    with pytest.raises(
        UnreachableError, match=r"127\.0\.0\.1:1/x .*ROPEWALK_POSTGRES_DSN"
    ) as error:
        a_sink("postgresql://user:secret@127.0.0.1:1/x")
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_database_that_does_not_exist_is_named(stack: Stack) -> None:
    with pytest.raises(UnreachableError, match="nowhere"):
        a_sink(make_conninfo(stack.postgres_dsn, dbname="nowhere"))


def test_a_dsn_that_is_none_is_named_as_the_setting() -> None:
    with pytest.raises(ConfigError, match="ROPEWALK_POSTGRES_DSN is not a connection string"):
        a_sink("postgresql://[half")
