"""Settlement on real servers: killed again and again, the ledger says what it should."""

import json
import random
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from tests.support.events import T0, a_decision, a_start, an_end
from tests.support.pipeline import Pipeline, local_pipeline, wait_for

from ropewalk_deploy.audit.quiet import wait_until_quiet
from ropewalk_deploy.simulation.driver import simulate
from ropewalk_deploy.simulation.earned import claim_rewards
from ropewalk_deploy.simulation.ledger import read_ledger
from ropewalk_deploy.simulation.ledger_lines import Moment
from ropewalk_deploy.simulation.options import SimulationOptions
from ropewalk_deploy.supervisor import Program
from ropewalk_producers import RecorderSettings
from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.events import Claim, Reward
from ropewalk_schemas.outcomes import Outcome
from ropewalk_schemas.topics import AGENT_EVENTS, OUTCOMES
from ropewalk_sinks.config import SettlementSettings
from ropewalk_sinks.settlement.entries import OpenClaim, settle_claim
from ropewalk_sinks.settlement.rulebook import RuleBook
from ropewalk_sinks.settlement.rules import SHIPPED

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Servers of these tests' own: everything stored must settle, and nothing else is there."""
    with local_pipeline(tmp_path_factory.mktemp("settlement")) as pipeline:
        yield pipeline


PROGRAMS = [Program("worker-1", ("worker",)), Program("sink-postgres", ("sink", "postgres"))]
SEED = 20261123
N_TRAJECTORIES, N_MARKETS, N_VERSIONS, N_KILLS = 30, 12, 3, 6
BOOK = RuleBook(SHIPPED, SettlementSettings.model_fields["settlement_rules"].default)
OURS = "WHERE starts_with(trajectory_id, 'settled-')"  # others use the database too
TERMS: tuple[dict[str, Any], ...] = (
    {"side": "yes"},
    {"side": "NO", "direction": "bought"},
    {"side": "yes", "direction": "sell"},
    {"side": "yes", "size": 3.5, "rule": "prediction_market_by_size"},
    {"side": "perhaps"},
)


def market(number: int) -> str:
    return f"prediction:settled:{number}"


def the_claims() -> list[list[OpenClaim]]:
    """Two claims of the one decision of each trajectory; the last market never resolves."""
    return [
        [
            OpenClaim("demo", f"settled-{n}", f"w-settled-{n}-1", idx, market(on), terms)
            for idx, (on, terms) in enumerate(
                [(n % N_MARKETS, TERMS[n % len(TERMS)]), ((n * 5 + 1) % N_MARKETS, TERMS[n % 4])]
            )
        ]
        for n in range(N_TRAJECTORIES)
    ]


def the_outcomes() -> list[Outcome]:
    return [
        Outcome(
            outcome_key=market(number),
            version=version,
            occurred_at=T0 + timedelta(hours=number + version),
            values={"resolved": ("yes", "no", "void")[(number + version * version) % 3]},
        )
        for number in range(N_MARKETS - 1)
        for version in range(1, N_VERSIONS + 1)
    ]


def send(pipeline: Pipeline, topic: str, records: Iterable[tuple[str, bytes]]) -> None:
    producer = Producer(
        {"bootstrap.servers": pipeline.places.bootstrap_servers, "partitioner": "murmur2"}
    )
    for key, value in records:
        producer.produce(topic, value, key.encode())
    assert producer.flush(30) == 0


def events_of(claims: list[OpenClaim]) -> Iterator[tuple[str, bytes]]:
    trajectory = claims[0].trajectory_id
    made = [Claim(outcome_key=c.outcome_key, terms=dict(c.terms)) for c in claims]
    writer = f"w-{trajectory}"
    yield trajectory, encode_event(a_start(0, t=trajectory, w=writer))
    yield trajectory, encode_event(a_decision(1, t=trajectory, w=writer, claims=made))
    yield trajectory, encode_event(an_end(2, t=trajectory, w=writer, n_events=3))


def ask(pipeline: Pipeline, question: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(pipeline.places.postgres_dsn) as connection:
        return connection.execute(question.encode()).fetchall()


def count(pipeline: Pipeline, table: str) -> int:
    return int(ask(pipeline, f"SELECT count(*) FROM {table}")[0][0])


def killed_settlement(pipeline: Pipeline, *, after_s: float) -> None:
    """Run settlement, and kill it with -9 at some moment."""
    process = pipeline.start("settle")
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.kill()
    process.wait()


def earned(entries: Iterable[Reward]) -> dict[str, float]:
    """What counts today, by id; a retraction only says that something does not."""
    entries = list(entries)
    replaced = {entry.supersedes for entry in entries}
    return {
        e.event_id: e.value
        for e in entries
        if e.event_id not in replaced and "retracts" not in e.metadata
    }


def check_truth(pipeline: Pipeline, ledger: Path) -> dict[str, tuple[bool, int]]:
    """Of each check of `ropewalk verify --ledger`: whether it holds, and what was found."""
    found = pipeline.ropewalk("verify", "--ledger", str(ledger), "--timeout", "5", "--json")
    return {c["name"]: (c["ok"], c["found"]) for c in json.loads(found.stdout)["checks"]}


def test_a_settlement_that_is_killed_again_and_again_leaves_the_right_ledger(
    pipeline: Pipeline,
) -> None:
    chance = random.Random(SEED)
    pipeline.environment["ROPEWALK_SETTLEMENT_INTERVAL_S"] = "0.05"
    claims, outcomes = the_claims(), the_outcomes()
    arriving = [*outcomes, *chance.sample(outcomes, 10)]  # repeated, corrections first
    chance.shuffle(arriving)
    with pipeline.running(PROGRAMS):
        pipeline.wait_until_owned()
        for step in range(N_KILLS):
            for of_trajectory in claims[step::N_KILLS]:
                send(pipeline, AGENT_EVENTS.name, events_of(of_trajectory))
            some = [(o.outcome_key, to_json(o.model_dump(mode="json"))) for o in arriving]
            send(pipeline, OUTCOMES.name, some[step::N_KILLS])
            killed_settlement(pipeline, after_s=chance.uniform(0.5, 3.0))
        n_claims, n_outcomes = sum(map(len, claims)), len(outcomes)
        told_of = f"outcomes WHERE starts_with(outcome_key, '{market(0)[:-1]}')"
        wait_for(
            lambda: count(pipeline, f"claims {OURS}") == n_claims, told="all claims are stored"
        )
        wait_for(lambda: count(pipeline, told_of) == n_outcomes, told="all outcomes are stored")

        def is_settled() -> bool:
            answer = pipeline.answer("settle", "--once")
            return bool(answer["emitted"] == answer["waiting"] == 0)

        wait_for(is_settled, told=f"everything is settled\n{pipeline.log_tail()}")

        by_key = {
            key: [o for o in outcomes if o.outcome_key == key]
            for key in map(market, range(N_MARKETS))
        }
        every = [claim for of_trajectory in claims for claim in of_trajectory]
        settled = [settle_claim(claim, by_key[claim.outcome_key], BOOK) for claim in every]
        wanted = [entry for each in settled for entry in each.entries]
        names = (
            "reward_id, occurred_at, project, trajectory_id, name, value, source, source_version, "
            "target_event_id, supersedes, outcome_key, outcome_version, metadata, reason"
        )
        held = [
            Reward.model_validate(dict(zip(["event_id", *names.split(", ")[1:]], row, strict=True)))
            for row in ask(pipeline, f"SELECT {names} FROM rewards {OURS} AND source = 'outcome'")
        ]
        assert earned(held) == earned(wanted)
        assert {entry.event_id for entry in wanted} <= {entry.event_id for entry in held}
        assert count(pipeline, f"quarantine {OURS} AND reason = 'conflict'") == 0

        pending = pipeline.answer("settle", "--pending")
        reasons = {(p["event_id"], p["claim"]): p["reason"] for p in pending}
        expected = {
            (claim.event_id, claim.idx): each.problem(N_VERSIONS)
            for claim, each in zip(every, settled, strict=True)
            if by_key[claim.outcome_key]
        }
        unresolved = [claim for claim in every if not by_key[claim.outcome_key]]
        assert unresolved
        assert reasons == {k: r for k, r in expected.items() if r is not None} | {
            (claim.event_id, claim.idx): "its outcome is not known yet" for claim in unresolved
        }
        # Nothing is looked at twice; without its memory it finds out again and emits nothing.
        assert pipeline.answer("settle", "--once")["settled"] == 0
        with psycopg.connect(pipeline.places.postgres_dsn, autocommit=True) as connection:
            connection.execute("DELETE FROM settled_claims")
        again = pipeline.answer("settle", "--once")
        assert (again["emitted"], again["settled"]) == (0, len(every) - len(unresolved))


def test_settlement_stops_when_told_to(pipeline: Pipeline) -> None:
    def n_started() -> int:
        return pipeline.log_tail(100_000).count("settlement_started")

    before = n_started()
    process = pipeline.start("settle")
    wait_for(lambda: n_started() > before, told="settlement has started")
    process.terminate()
    assert process.wait(20) == 0


def test_what_simulated_agents_bet_on_is_paid_as_the_truth_ledger_says(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    options = SimulationOptions(
        ledger=tmp_path / "ledger",
        run="bets",
        processes=1,
        trajectories=40,
        long=0.0,
        duplicates=0.0,
        vanish=0.0,
        resolved=0.7,
        corrected=0.5,
        reviewed=0.5,
        late_rewards=0.5,
        rounds=2,
        hours_behind=8.0,
    )
    servers = pipeline.places.bootstrap_servers
    settings = RecorderSettings(project="market", service="tests", bootstrap_servers=servers)
    given = [
        *PROGRAMS,
        Program("sink-parquet", ("sink", "parquet")),
        Program("settle", ("settle",)),
    ]
    with pipeline.running(given):
        pipeline.wait_until_owned()
        report = simulate(options, settings, caught_up=lambda after: quiet(pipeline, after))
        ledger = read_ledger(options.ledger)
        worth = [len(claim_rewards(ledger, set(ledger.events), m.at_ms)) for m in ledger.moments]
        assert worth[0] == 0 < worth[1] < worth[2]
        assert report.n_outcomes > 40
        assert count(pipeline, "quarantine WHERE trajectory_id LIKE 'bets/%'") == 0
        checks = check_truth(pipeline, options.ledger)
    assert [name for name, (ok, _) in checks.items() if not ok] == []
    assert checks["postgres: what counts now is the truth"][1] > worth[2]
    assert sum("what counts as of" in name for name in checks) == 6


def quiet(pipeline: Pipeline, after: str) -> Moment:
    return Moment(wait_until_quiet(pipeline.places, judge=None, timeout_s=90), after, judged=False)
