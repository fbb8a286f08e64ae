"""The roles of the migrations: each member can do its work, and nothing beside it."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from tests.support.parquet_log import (
    ALL,
    a_refused,
    account_record,
    an_account,
    log_of,
    refuse_nothing,
    refused_record,
)
from tests.support.published import T0, a_part, an_entry
from tests.support.sink_lab import fresh_database, rows

from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.reward_specs import RewardSpec
from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.erasure import Subject
from ropewalk_sinks.errors import MigrationError, StorageError
from ropewalk_sinks.judging.model import Score, Usage, Verdict
from ropewalk_sinks.judging.rubric import DEFAULT_RUBRIC
from ropewalk_sinks.judging.store import JudgmentStore
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.postgres_erase import PostgresEraser, entries_left, leftovers, tombstones
from ropewalk_sinks.postgres_groups import postgres_groups
from ropewalk_sinks.postgres_ledger import ledger_as_of
from ropewalk_sinks.postgres_marks import mark_replayed
from ropewalk_sinks.postgres_migrations import migrate
from ropewalk_sinks.postgres_reads import last_window, stored_offsets, stored_parts
from ropewalk_sinks.postgres_scores import rescore
from ropewalk_sinks.settlement.entries import OpenClaim
from ropewalk_sinks.settlement.store import SettlementStore

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, tzinfo=UTC)
ROLES = ("reader", "writer", "operator")
As = Callable[[str], str]


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> str:
    """A database in which the sink, as its owner, has stored some of everything."""
    dsn = fresh_database(stack, f"roles{os.getpid()}")
    store(dsn, "t-1", "t-2")
    return dsn


def store(dsn: str, *names: str, first: int = 0, month: int = 3) -> None:
    """Store a part, a reward, a refused record and an account, as the sink does."""
    start = T0.replace(month=month)
    parts = [a_part(n, group_key=f"g{month}", scenario="s", window_start=start) for n in names]
    with closing(
        PostgresSink(PostgresSettings(bootstrap_servers="unused:1", postgres_dsn=dsn))
    ) as sink:
        sink.claim(ALL)
        sink.add(log_of([*parts, *(an_entry(f"r-{n}", n) for n in names)], first=first))
        sink.add([refused_record(first, a_refused(first + 7))])
        sink.add([account_record(first, an_account(first + 100))])
        sink.flush(refuse_nothing)


@pytest.fixture(scope="module")
def as_member(dsn: str) -> Iterator[As]:
    """Gives the DSN of somebody who may log in and is a member of one role."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        for role in ROLES:
            owner.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pw' IN ROLE {}").format(
                    sql.Identifier(f"{role}{os.getpid()}"), sql.Identifier(f"ropewalk_{role}")
                )
            )
        yield lambda role: make_conninfo(dsn, user=f"{role}{os.getpid()}", password="pw")
        for role in ROLES:
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(f"{role}{os.getpid()}")))


@contextmanager
def refused(dsn: str) -> Iterator[psycopg.Connection]:
    """Whatever is done inside must be forbidden."""
    forbidden = pytest.raises(psycopg.errors.InsufficientPrivilege)
    with psycopg.connect(dsn, autocommit=True) as connection, forbidden:
        yield connection


def all_refused(dsn: str, *statements: str | sql.Composed) -> None:
    """Each statement must be forbidden, whatever comes of the others."""
    for statement in statements:
        with refused(dsn) as connection:
            connection.execute(statement.encode() if isinstance(statement, str) else statement)


def tables(dsn: str, kinds: str) -> list[str]:
    query = (
        "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        f" WHERE nspname = 'public' AND relkind = ANY ('{{{kinds}}}') ORDER BY 1"
    )
    return [name for (name,) in rows(dsn, query)]


def test_a_member_of_any_role_reads_every_table_view_and_function(dsn: str, as_member: As) -> None:
    for role in ROLES:
        own = as_member(role)
        for name in tables(dsn, "r,p,v"):
            assert rows(own, f"SELECT count(*) FROM {name}"), (role, name)
        assert {part.trajectory_id for part in stored_parts(own)} >= {"t-1", "t-2"}
        assert stored_offsets(own)
        assert last_window(own)
        assert ledger_as_of(own, NOW + timedelta(days=9)).rewards
        assert postgres_groups(own, trainable=False)
        assert rows(own, "SELECT * FROM scores_as_of('infinity')")
        assert [*tombstones(own), *leftovers(own), entries_left(own)] == [0]


def test_a_reader_writes_nothing(dsn: str, as_member: As) -> None:
    own = as_member("reader")
    all_refused(
        own,
        *(
            sql.SQL(statement).format(sql.Identifier(name))
            for name in tables(dsn, "r,p")
            for statement in ("DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "TRUNCATE {}")
        ),
        "UPDATE quarantine SET replayed_at = now()",
        "SELECT create_month('2031-01-01')",
        "SELECT forget_refused_judgments('a', 'b')",
        "SELECT erase_rows('{t-1}', '{}', '{}', '{}', '{}')",
        "SELECT forget_samples()",
        "CREATE TABLE public.mine (x int)",
    )


def test_a_writer_is_sink_settlement_judge_and_scorer(dsn: str, as_member: As) -> None:
    own = as_member("writer")
    store(own, "t-3", "t-4", first=10, month=8)  # in a month that has no tables yet
    assert rows(as_member("reader"), "SELECT count(*) FROM trajectories_y2026m08") == [(2,)]
    spec = RewardSpec(name="mine", version="1")
    assert rescore(own, spec).new == 4
    with closing(SettlementStore(own)) as settlement:
        claim = OpenClaim("demo", "t-1", "event-0", 0, "outcome", {})
        assert [*settlement.claims(), *settlement.unsettled("rules")] == []
        settlement.mark([(claim, 1)], "rules")
        settlement.mark([(claim, 2)], "rules")
    with closing(JudgmentStore(own, rubric=DEFAULT_RUBRIC, model="m")) as judge:
        assert judge.lock()
        for (key, group), accepted in zip(
            judge.to_judge(NOW + timedelta(days=300)).items(), (True, False), strict=True
        ):
            scores = (Score(0.5, "fair"), Score(0.6, "better")) if accepted else ()
            verdict = Verdict(scores, "" if accepted else "no answer", b"raw", Usage())
            assert judge.record(judge.task(key, group), verdict, at=NOW, cost_usd=0.0)
        judge.mark_emitted(judge.to_emit())
        assert judge.forget_refused() == 1


def test_a_writer_neither_erases_nor_alters_what_is_stored(dsn: str, as_member: As) -> None:
    own = as_member("writer")
    all_refused(
        own,
        *(
            sql.SQL(statement).format(sql.Identifier(name))
            for name in tables(dsn, "r,p")
            for statement in ("DELETE FROM {}", "TRUNCATE {}", "ALTER TABLE {} ADD COLUMN x int")
        ),
        "UPDATE trajectories SET reward = 1",
        "UPDATE rewards SET value = 1",
        "UPDATE parts SET content_hash = ''",
        "UPDATE quarantine SET replayed_at = now()",
        "INSERT INTO erasures (erasure_id, kind, subject_id) VALUES ('e', 'agent', 'a')",
        "SELECT erase_rows('{t-1}', '{}', '{}', '{}', '{}')",
        "CREATE TABLE public.mine (x int)",
    )
    eraser = PostgresEraser(own, Subject("trajectory", "t-1"))
    with closing(eraser), pytest.raises(StorageError, match="permission denied"):
        eraser.remove([], reason=None, at=NOW)


def test_an_operator_marks_and_erases_and_does_nothing_more(dsn: str, as_member: As) -> None:
    own = as_member("operator")
    assert mark_replayed(own, [("agent-events", 0, 7, 0)]) == 1
    store(dsn, "t-9", first=20)
    with closing(PostgresEraser(own, Subject("trajectory", "t-9"))) as eraser:
        removed = eraser.remove([], reason="a test", at=NOW)
        eraser.finish(NOW)
    assert (removed.n_parts, removed.n_entries) == (1, 1)
    assert "t-9" not in {part.trajectory_id for part in stored_parts(own)}
    assert [stone.is_finished for stone in tombstones(own)] == [True]
    all_refused(
        own,
        *(
            sql.SQL(statement).format(sql.Identifier(name))
            for name in tables(dsn, "r,p")
            for statement in ("DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}")
        ),
        "INSERT INTO parts VALUES ('t', 0, '', now(), true)",
        "UPDATE quarantine SET value = NULL",
        "UPDATE rewards SET value = 1",
        "SELECT create_month('2031-01-01')",
        "CREATE TABLE public.mine (x int)",
    )


def test_functions_with_their_owners_rights_use_their_own_schema_only(
    dsn: str, as_member: As
) -> None:
    own = as_member("writer")
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE trajectories (window_start timestamptz)")
        connection.execute("SET search_path = pg_temp, public")
        connection.execute("SELECT public.create_month('2027-05-01')")
    found = (
        "SELECT inhparent::regclass::text FROM pg_inherits"
        " WHERE inhrelid = 'trajectories_y2027m05'::regclass"
    )
    assert rows(dsn, found) == [("trajectories",)]


def test_the_schema_may_have_any_name(stack: Stack, unique: str, as_member: As) -> None:
    dsn = fresh_database(stack, unique, migrated=False)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "other one"')
        for user in ("CURRENT_USER", f"writer{os.getpid()}"):
            path = f'ALTER ROLE {user} IN DATABASE {unique} SET search_path = "other one"'
            connection.execute(path.encode())
    assert migrate(dsn)
    store(dsn, "t-1")
    own = make_conninfo(as_member("writer"), dbname=unique)
    store(own, "t-2", first=10, month=4)
    found = rows(own, "SELECT trajectory_id FROM trajectories_y2026m04")
    assert found == [("t-2",)]
    assert rows(own, "SELECT to_regclass('public.parts') IS NULL") == [(True,)]


def test_many_databases_of_one_cluster_are_migrated_at_once(stack: Stack, unique: str) -> None:
    dsns = [fresh_database(stack, f"{unique}_{n}", migrated=False) for n in range(6)]
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        for role in ("writer", "operator"):  # so that all of them have to do it
            connection.execute(f"REVOKE ropewalk_reader FROM ropewalk_{role}".encode())
    with ThreadPoolExecutor(len(dsns)) as pool:
        assert all(pool.map(migrate, dsns))
    for role in ("writer", "operator"):
        asked = f"SELECT pg_has_role('ropewalk_{role}', 'ropewalk_reader', 'USAGE')"
        assert rows(stack.postgres_dsn, asked) == [(True,)]


def test_who_may_not_create_roles_is_told_what_a_superuser_must_run(
    stack: Stack, unique: str
) -> None:
    dsn = fresh_database(stack, unique, migrated=False)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {unique} LOGIN PASSWORD 'pw'".encode())
        superuser.execute(f"ALTER DATABASE {unique} OWNER TO {unique}".encode())
        superuser.execute(b"REVOKE ropewalk_reader FROM ropewalk_writer")  # as if none were there
        own = make_conninfo(dsn, user=unique, password="pw")
        with pytest.raises(MigrationError, match="let a superuser run: CREATE ROLE") as told:
            migrate(own)
        given = str(told.value).split("superuser run: ")[1].split("; then run")[0]
        for statement in given.split("; "):
            if statement.startswith("GRANT"):  # the roles are there, for the other tests
                superuser.execute(statement.encode())
        assert "008_roles.sql" in migrate(own)
        store(own, "t-1")
