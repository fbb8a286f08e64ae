"""A subject leaves every table of Postgres, and what comes at the same moment stays away too."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.support.everything import everything_in_postgres
from tests.support.parquet_log import (
    ALL,
    a_refused,
    account_record,
    an_account,
    log_of,
    refuse_nothing,
    refused_record,
)
from tests.support.published import a_part, a_step, an_entry, raw
from tests.support.sink_lab import fresh_database, rows, wait_for

from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.published import MessageRow
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.reward_specs import RewardSpec
from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.erasure import Subject
from ropewalk_sinks.judging.model import Score, Usage, Verdict
from ropewalk_sinks.judging.rubric import DEFAULT_RUBRIC
from ropewalk_sinks.judging.store import JudgmentStore
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.postgres_erase import PostgresEraser, leftovers, tombstones
from ropewalk_sinks.postgres_migrations import migrate
from ropewalk_sinks.postgres_scores import rescore
from ropewalk_sinks.settlement.entries import OpenClaim
from ropewalk_sinks.settlement.store import SettlementStore
from ropewalk_sinks.sink import SourceRecord

pytestmark = pytest.mark.integration

ALICE, BOB = "alice", "bob"
SECRET = "planted-93b1-of-alice"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def dsn(stack: Stack, unique: str) -> str:
    """A database in which t-1 of Alice, and t-2 and t-3 of Bob, have something in every table."""
    dsn = fresh_database(stack, unique)
    store(dsn, log_of([row for i in (1, 2, 3) for row in a_life(f"t-{i}")]))
    store(dsn, [refused_record(i, a_refusal(f"t-{i}", i)) for i in (1, 2, 3)])
    store(dsn, [account_record(3, an_account(100))])
    fill(dsn)
    judgment = rows(dsn, "SELECT judgment_id FROM judgments WHERE NOT accepted")[0][0]
    refusal = a_refused(9, topic="judgments", key=judgment.encode(), value=SECRET.encode())
    store(dsn, [refused_record(4, refusal)])
    return dsn


@contextmanager
def a_sink(dsn: str) -> Iterator[PostgresSink]:
    settings = PostgresSettings(bootstrap_servers="unused:1", postgres_dsn=dsn)
    with closing(PostgresSink(settings)) as sink:
        sink.claim(ALL)
        yield sink


def store(dsn: str, records: Sequence[SourceRecord]) -> None:
    with a_sink(dsn) as sink:
        sink.add(records)
        sink.flush(refuse_nothing)


def of_whom(name: str) -> tuple[str, str]:
    return (ALICE, SECRET) if name == "t-1" else (BOB, f"what {name} said")


def a_life(name: str, **changes: Any) -> list[Any]:
    agent_id, said = of_whom(name)
    step = a_step(0, observation=raw(said), claims=[{"outcome_key": "k", "terms": {"x": 1}}])
    given: dict[str, Any] = {
        "agent_id": agent_id,
        "scenario": "s",
        "goal": said,
        "steps": [step],
        "n_steps": 1,
    }
    part = a_part(name, messages=[MessageRow(role="user", content=said)], **given | changes)
    return [part, an_entry(f"r-{name}", name, reason=said)]


def a_refusal(name: str, offset: int) -> Quarantined:
    value = json.dumps({"agent_id": of_whom(name)[0], "said": of_whom(name)[1]}).encode()
    return a_refused(offset, key=name.encode(), value=value)


def fill(dsn: str) -> None:
    """What settlement, the judge and scoring store."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            b"UPDATE trajectories SET group_key = CASE trajectory_id WHEN 't-3' THEN 'g' END"
        )
    spec = RewardSpec(name="mine", version="1")
    for number in (20, 30):  # a reward each time, so that the scores change
        rescore(dsn, spec)
        late = [an_entry(f"late-{number}-{i}", f"t-{i}") for i in (1, 2, 3)]
        store(dsn, log_of(late, first=number))
    rescore(dsn, spec)
    with closing(SettlementStore(dsn)) as settlement:
        settlement.mark([(a_claim(f"t-{i}"), 1) for i in (1, 2, 3)], "rules")
    judge(dsn, "one", accepted=True)
    judge(dsn, "two", accepted=False)


def a_claim(name: str) -> OpenClaim:
    return OpenClaim("demo", name, "event-0", 0, "k", {})


def judge(dsn: str, model: str, *, accepted: bool) -> list[bool]:
    """Judge all groups; gives what was stored of each."""
    with closing(JudgmentStore(dsn, rubric=DEFAULT_RUBRIC, model=model)) as store:
        done = []
        for key, group in store.to_judge(NOW + timedelta(days=300)).items():
            said = [of_whom(member.trajectory_id)[1] for member in group.members]
            scores = tuple(Score(0.5, text) for text in said) if accepted else ()
            verdict = Verdict(scores, "" if accepted else repr(said), repr(said).encode(), Usage())
            done.append(store.record(store.task(key, group), verdict, at=NOW, cost_usd=0.0))
        return done


def erase(dsn: str, *known: str) -> None:
    with closing(PostgresEraser(dsn, Subject("agent", ALICE))) as eraser:
        eraser.remove(known, reason=None, at=NOW)
        eraser.finish(NOW)


TOMBSTONES = {"erasures", "erased_trajectories", "erased_judgments", "samples"}


def test_every_table_loses_the_subject_and_keeps_the_others_as_they_were(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(b"ANALYZE")
    before = everything_in_postgres(dsn)
    holding = {name for name, table in before.items() if any(SECRET in row for row in table)}
    assert holding >= {"trajectories", "messages", "steps", "rewards", "quarantine", "judgments",
                       "judgment_scores", "samples"}  # fmt: skip
    named = {name for name, table in before.items() if any("'t-1'" in row for row in table)}
    assert named >= {"parts", "scores", "score_history", "claims", "settled_claims", "llm_calls"}
    erase(dsn)
    after = everything_in_postgres(dsn)
    for name, table in after.items():
        assert [row for row in table if SECRET in row] == [], name
        if name not in TOMBSTONES | {"judgments"}:
            assert [row for row in table if "'t-1'" in row] == [], name
            mine = [row for row in before[name] if is_alices(row)]
            assert table == [row for row in before[name] if row not in mine], name
    assert rows(dsn, "SELECT accepted, raw, jsonb_array_length(members) FROM judgments") == [
        (True, b"", 1)
    ]
    (stone,) = tombstones(dsn)
    assert (stone.removed.n_parts, stone.removed.n_entries, stone.removed.n_refused) == (1, 3, 2)
    assert list(leftovers(dsn)) == []


def is_alices(row: str) -> bool:
    return "'t-1'" in row or SECRET in row or ALICE in row


def test_a_batch_and_an_erasure_at_the_same_moment_wait_for_each_other(dsn: str) -> None:
    with a_sink(dsn) as sink, ThreadPoolExecutor(1) as pool:
        # The batch first: the erasure waits until it is stored, and removes it.
        erasing = []

        def while_uncommitted(_: Sequence[Quarantined]) -> None:
            erasing.append(pool.submit(erase, dsn))
            wait_for(lambda: waits(dsn) or erasing[0].done(), told="the erasure is under way")
            assert not erasing[0].done()

        again = a_life("t-1", content_hash="changed")[0]  # refused, so that `refuse` is called
        sink.add(log_of([again, *a_life("t-7", agent_id=ALICE)], first=200))
        sink.flush(while_uncommitted)
        erasing[0].result(30)
        assert not [
            name for (name,) in rows(dsn, "SELECT trajectory_id FROM parts") if name == "t-7"
        ]

        # The erasure first: the batch waits until it is there, and sees it.
        with psycopg.connect(dsn) as connection:
            connection.execute(b"SELECT lock_for_erasing()")
            connection.execute(
                b"INSERT INTO erasures (erasure_id, kind, subject_id) VALUES ('e', 'agent', 'eve')"
            )
            sink.add(log_of(a_life("t-8", agent_id="eve"), first=300))
            flushing = pool.submit(sink.flush, refuse_nothing)
            wait_for(lambda: waits(dsn) or flushing.done(), told="the batch is under way")
            assert not flushing.done()
            connection.commit()
        flushing.result(30)
        assert sink.counts["erased"] == 2
        found = "SELECT trajectory_id FROM erased_trajectories WHERE erasure_id = 'e'"
        assert rows(dsn, found) == [("t-8",)]
    assert list(leftovers(dsn)) == []


def waits(dsn: str) -> bool:
    return bool(rows(dsn, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


def test_settlement_judge_and_scoring_bring_nothing_back(dsn: str) -> None:
    with closing(JudgmentStore(dsn, rubric=DEFAULT_RUBRIC, model="three")) as store:
        asked = store.to_judge(NOW + timedelta(days=300)).items()
        tasks = [store.task(key, group) for key, group in asked]
        assert any(m.trajectory_id == "t-1" for task in tasks for m in task.group.members)
        with closing(SettlementStore(dsn)) as settlement:
            erase(dsn)  # while both have read it already
            settlement.mark([(a_claim("t-1"), 2), (a_claim("t-2"), 2)], "rules")
            assert not [c for batch in settlement.claims() for c in batch.claims
                        if c.trajectory_id == "t-1"]  # fmt: skip
        for task in tasks:
            scores = tuple(Score(0.1, SECRET) for _ in task.group.members)
            assert not store.record(task, Verdict(scores, "", b"", Usage()), at=NOW, cost_usd=0.0)
        assert all(s.trajectory_id != "t-1" for j in store.to_emit() for s in j.scores)
    rescore(dsn, RewardSpec(name="mine", version="2"))
    assert list(leftovers(dsn)) == []


def test_an_erasure_goes_through_all_generations(dsn: str) -> None:
    other = "longer_idle"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {other}".encode())
        path = "ALTER ROLE CURRENT_USER IN DATABASE {} SET search_path = {}"
        for schema in (other, "public"):
            connection.execute(
                sql.SQL(path).format(sql.Identifier(connection.info.dbname), sql.Identifier(schema))
            )
            if schema == other:
                migrate(dsn)
                store(dsn, log_of([*a_life("t-1"), *a_life("t-4", agent_id=ALICE)]))
        for name in (other, "not_built"):
            connection.execute(
                "INSERT INTO generations (name, state, ranges, engine_version, log)"
                f" VALUES ('{name}', 'building', '[]', '1', '{{}}')".encode()
            )
    assert rows(dsn, f"SELECT count(*) FROM {other}.parts") == [(2,)]
    erase(dsn)
    assert rows(dsn, f"SELECT count(*) FROM {other}.parts") == [(0,)]
    known = f"SELECT trajectory_id FROM {other}.erased_trajectories ORDER BY 1"
    assert rows(dsn, known) == [("t-1",), ("t-4",)] == rows(dsn, known.replace(f"{other}.", ""))
    assert list(leftovers(dsn)) == []
