"""The judge on a real Kafka and Postgres, against a real server on loopback."""

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka.cimpl import NewTopic
from tests.support.judge_server import judge_server
from tests.support.published import a_part, an_entry, value_of
from tests.support.sink_lab import DEADLINE_S, N_PARTITIONS, Lab, count, open_lab, rows, wait_for

from ropewalk_deploy.kafka import LogRecord, LogScanner
from ropewalk_deploy.simulation.model_server import INPUT_TOKENS, OUTPUT_TOKENS, ModelServer
from ropewalk_deploy.simulation.scripted_model import always, in_turn
from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.codec import decode_event
from ropewalk_schemas.events import AGENT_EVENT
from ropewalk_schemas.published import MessageRow
from ropewalk_schemas.quarantine import from_record
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_sinks.errors import SinkError
from ropewalk_sinks.judging.config import JudgeSettings
from ropewalk_sinks.judging.model import Score, Usage, Verdict
from ropewalk_sinks.judging.rubric import DEFAULT_RUBRIC, Rubric
from ropewalk_sinks.judging.runner import prompts, run
from ropewalk_sinks.judging.store import JudgmentStore
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.sink import SourceRecord, TopicPartition

pytestmark = pytest.mark.integration

PROCESS = Path(__file__).parents[1] / "support" / "judge_process.py"
SIZE, CONCURRENCY = 3, 3


@dataclass
class Court:
    """One test's database, topics and judge."""

    lab: Lab
    events: str

    def settings(self, server: ModelServer, **changes: Any) -> dict[str, Any]:
        return {
            "bootstrap_servers": self.lab.settings.bootstrap_servers,
            "topics": self.lab.settings.topics.model_dump(),
            "postgres_dsn": self.lab.dsn,
            "judge_topic": self.events,
            "judge_base_url": server.base_url,
            "judge_model": "small-judge",
            "judge_settle_s": 0,
            "judge_interval_s": 0.05,
            "judge_first_wait_s": 0.01,
            "judge_attempts": 3,
            "judge_input_usd": 10,
            "judge_output_usd": 50,
            **changes,
        }

    def once(self, server: ModelServer, *, again: bool = False, **changes: Any) -> dict[str, Any]:
        settings = JudgeSettings.load(**self.settings(server, **changes))
        return run(settings, DEFAULT_RUBRIC, threading.Event(), once=True, again=again)

    def store(self, parts: Sequence[object], *, offset: int = 0) -> None:
        """Put parts or entries through the real sink."""
        sink = PostgresSink(self.lab.settings)
        at = TopicPartition(self.lab.settings.topics.trajectories, 0)
        sink.claim([at])
        sink.add(
            [SourceRecord(at, offset + i, 1, b"k", value_of(p), []) for i, p in enumerate(parts)]
        )
        refused: list[Any] = []
        sink.flush(refused.extend)
        sink.close()
        assert refused == []

    def log(self, topic: str) -> list[LogRecord]:
        with LogScanner(self.lab.settings.bootstrap_servers) as scanner:
            return [r for p in scanner.partitions(topic) for r in scanner.records(topic, p)]

    def rewards(self) -> dict[str, Any]:
        """The reward events in the log by id; one id never has two contents."""
        contents: dict[str, bytes] = {}
        for record in self.log(self.events):
            assert record.value is not None
            event = decoded(record.value)
            assert contents.setdefault(event.event_id, record.value) == record.value
            assert record.key == event.trajectory_id.encode()
        return {event_id: decoded(value) for event_id, value in contents.items()}

    def current(self) -> dict[str, float]:
        """What the ledger says today, after every event of the log is stored twice."""
        events = list(self.rewards().values())
        entries = [
            an_entry(
                e.event_id,
                e.trajectory_id,
                name=e.name,
                value=e.value,
                source="judge",
                source_version=e.source_version,
                supersedes=e.supersedes,
            )
            for e in events
        ]
        self.store([*entries, *entries], offset=10_000)
        found = rows(self.lab.dsn, "SELECT trajectory_id, reward FROM current_rewards")
        return dict(found)


@pytest.fixture
def court(stack: Stack, unique: str) -> Court:
    lab = open_lab(stack, unique)
    topic = f"{unique}-{AGENT_EVENTS.name}"
    new = NewTopic(topic, N_PARTITIONS, 1, config=AGENT_EVENTS.config())
    lab.admin.create_topics([new])[topic].result(DEADLINE_S)
    return Court(lab, topic)


def decoded(value: bytes) -> Any:
    """An event that both decoders take."""
    decode_event(value)
    return AGENT_EVENT.validate_json(value)


def a_group(name: str, size: int = SIZE, start: int = 0, **changes: Any) -> list[Any]:
    return [a_member(name, n, **changes) for n in range(start, start + size)]


def a_member(group: str, n: int, **changes: Any) -> Any:
    messages = [
        MessageRow(role="system", content="You trade."),
        MessageRow(role="user", content=f"Task {group}"),
        MessageRow(role="assistant", content=f"Attempt {n}"),
    ]
    given: dict[str, Any] = {"scenario": "trade", "group_key": group, "policy": "m",
                             "policy_version": "v1", "goal": "profit", "messages": messages,
                             "llm_calls": [], "steps": [], "sequences": []}  # fmt: skip
    return a_part(f"{group}-{n}", **given | changes)


def test_each_member_of_a_settled_group_earns_a_reward_and_nobody_is_asked_twice(
    court: Court,
) -> None:
    court.store([*a_group("a"), *a_group("b")])
    with judge_server(always()) as server:
        first, second = court.once(server), court.once(server)
        asked = len(server.asked)
    assert (first["judged"], first["emitted"], asked) == (2, 2 * SIZE, 2)
    assert first["input_tokens"] == 2 * INPUT_TOKENS
    assert first["cost_usd"] == pytest.approx(2 * (INPUT_TOKENS * 10 + OUTPUT_TOKENS * 50) / 1e6)
    assert set(second.values()) == {0}
    events = court.rewards().values()
    assert {e.trajectory_id for e in events} == {f"{g}-{n}" for g in "ab" for n in range(SIZE)}
    assert {(e.source, e.name, e.source_version) for e in events} == {
        ("judge", "judge", f"small-judge {DEFAULT_RUBRIC.version}")
    }
    assert court.current() == {e.trajectory_id: e.value for e in events}
    assert rows(court.lab.dsn, "SELECT sum(cost_usd) FROM judgments")[0][0] == pytest.approx(
        first["cost_usd"]
    )


def test_only_settled_groups_of_whole_trajectories_are_judged(court: Court) -> None:
    court.store(
        [
            *a_group("good"),
            *a_group("single", 1),
            *a_group("large", 5),
            *a_group("nothing in common", scenario=None, group_key=None),
            *a_group("fresh", finalized_at=datetime.now(UTC)),
            *a_group("gaps", 2),
            a_member("gaps", 2, complete=False),
            *a_group("parts", 2),
            a_member("parts", 2, last=False),
            *a_group("policies", 1),
            *a_group("policies", 1, start=1, policy_version="v2"),
        ]
    )
    with judge_server(always()) as server:
        done = court.once(server, judge_settle_s=60, judge_max_group=4)
    assert (done["judged"], done["too_large"]) == (1, 1)
    assert {e.trajectory_id.rpartition("-")[0] for e in court.rewards().values()} == {"good"}


def test_a_group_that_grew_is_judged_again_and_the_new_rewards_replace_the_old(
    court: Court,
) -> None:
    with judge_server(always()) as server:
        court.store(a_group("a"))
        court.once(server)
        before = {e.trajectory_id: e for e in court.rewards().values()}
        court.store(a_group("a", 1, start=SIZE), offset=100)
        court.once(server)
    after = {e.trajectory_id: e for i, e in court.rewards().items() if e not in before.values()}
    assert len(after) == SIZE + 1
    assert {t: e.supersedes for t, e in after.items()} == {
        **{t: e.event_id for t, e in before.items()}, f"a-{SIZE}": None,
    }  # fmt: skip
    assert court.current() == {t: e.value for t, e in after.items()}


def test_what_stays_wrong_is_quarantined_once_with_its_answer_and_asked_again_on_demand(
    court: Court,
) -> None:
    def choose(text: str, _nth: int) -> Any:
        return "out_of_range" if "Task bad" in text else "good"

    court.store([*a_group("bad"), *a_group("fine")])
    with judge_server(choose) as server:
        first, second = court.once(server), court.once(server)
        server.choose = always()
        third = court.once(server, again=True)
    assert (first["judged"], first["refused"], first["requests"]) == (1, 1, 4)
    assert second["requests"] == 0
    assert (third["judged"], third["asked_again"]) == (1, 1)
    refused = [
        from_record(r.key, r.value, r.headers)
        for r in court.log(court.lab.settings.topics.quarantine)
    ]
    assert [(r.reason, r.stage) for r in refused] == [("invalid", "judge")]
    assert json.loads(refused[0].value or b"")["choices"]
    assert "not between 0 and 1" in refused[0].detail


def test_an_endpoint_that_is_down_decides_nothing(court: Court) -> None:
    court.store(a_group("a"))
    with judge_server(always("broken")) as server:
        down = court.once(server)
        server.choose = always()
        up = court.once(server)
    assert (down["later"], down["judged"], down["refused"]) == (1, 0, 0)
    assert up["judged"] == 1


def test_what_was_answered_is_stored_when_another_answer_ends_the_judge(court: Court) -> None:
    court.store([*a_group("refused"), *a_group("slow")])
    with judge_server(
        lambda text, _: "no_key" if "Task refused" in text else "slow", slow_s=0.5
    ) as server:
        with pytest.raises(SinkError, match="answers 401"):
            court.once(server)
        server.choose = always()
        again = court.once(server)
    assert (again["judged"], again["requests"]) == (1, 1)
    assert len(court.rewards()) == 2 * SIZE


def test_no_more_requests_are_under_way_than_allowed(court: Court) -> None:
    court.store([part for n in range(6) for part in a_group(f"g{n}", 2)])
    under_way, most, lock = [0], [0], threading.Lock()
    together = threading.Barrier(2)

    def choose(_text: str, _nth: int) -> Any:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        together.wait(DEADLINE_S)
        with lock:
            under_way[0] -= 1
        return "good"

    with judge_server(choose) as server:
        done = court.once(server, judge_concurrency=2)
    assert (done["judged"], most[0]) == (6, 2)


def test_a_second_judge_does_not_ask(court: Court) -> None:
    court.store(a_group("a"))
    first = JudgmentStore(court.lab.dsn, rubric=DEFAULT_RUBRIC, model="m")
    with judge_server(always()) as server:
        assert first.lock()
        with pytest.raises(SinkError, match="another judge is at work"):
            court.once(server)
        first.close()
        wait_for(lambda: bool(court.once(server)["judged"]), told="the lock is free")


def test_a_dry_run_shows_prompts_and_asks_nobody(court: Court) -> None:
    court.store([*a_group("a"), *a_group("b")])
    with judge_server(always()) as server:
        settings = JudgeSettings.load(**court.settings(server))
        shown = list(prompts(settings, DEFAULT_RUBRIC))
        assert server.asked == []
    assert [group.group_key for group, _ in shown] == ["a", "b"]
    assert "Task a" in shown[0][1].messages[1]["content"]
    assert count(court.lab.dsn, "judgments") == 0


def start(court: Court, server: ModelServer) -> "subprocess.Popen[bytes]":
    settings = json.dumps(court.settings(server, judge_concurrency=CONCURRENCY))
    return subprocess.Popen([sys.executable, str(PROCESS), settings], stderr=subprocess.DEVNULL)


class RandomlyBad:
    """Good for every third request about a group, so in time; else mostly. Counts good answers."""

    def __init__(self, seed: int) -> None:
        self.seed, self.n_good = seed, 0

    def __call__(self, text: str, nth: int) -> Any:
        bad = ("not_json", "drops", "broken", "too_many")
        chance = random.Random(f"{self.seed} {text} {nth}")
        behaviour = "good" if nth % 3 == 2 else chance.choice(["good", "good", *bad])
        self.n_good += behaviour == "good"
        return behaviour


def test_kills_at_random_moments_leave_the_same_ledger(court: Court) -> None:
    n_groups, n_kills, seed = 40, 6, random.randrange(10**6)
    chance = random.Random(seed)
    court.store([part for n in range(n_groups) for part in a_group(f"g{n}")])
    dsn, told = court.lab.dsn, f"seed {seed}"
    answers = RandomlyBad(seed)
    with judge_server(answers) as server:
        for _ in range(n_kills):
            process = start(court, server)
            wanted = len(server.asked) + chance.randint(1, 2 * n_groups // n_kills)
            wait_for(
                lambda n=wanted: len(server.asked) >= n or count(dsn, "judgments") == n_groups,  # type: ignore[misc]
                told=told,
            )
            process.kill()
            process.wait()
        process = start(court, server)
        emitted = "judgments WHERE emitted_at IS NOT NULL"
        wait_for(lambda: count(dsn, emitted) == n_groups, told=told)
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    # A kill loses at most the answers that were under way.
    assert n_groups <= answers.n_good <= n_groups + CONCURRENCY * n_kills, told
    assert count(dsn, "judgments WHERE accepted") == n_groups
    events = court.rewards()
    assert Counter(e.metadata["group"] for e in events.values()) == {
        f"demo/trade/g{n}": SIZE for n in range(n_groups)
    }
    stored = rows(dsn, "SELECT trajectory_id, value FROM judgment_scores")
    assert len(stored) == len(events) == SIZE * n_groups
    assert court.current() == dict(stored)


def test_what_is_stored_and_not_known_to_be_sent_is_sent_as_it_was(court: Court) -> None:
    court.store([*a_group("a"), *a_group("bad")])
    with judge_server(lambda text, _: "not_json" if "Task bad" in text else "good") as server:
        court.once(server)
        before, ledger = court.rewards(), court.current()
        with psycopg.connect(court.lab.dsn) as connection:  # as after a crash before the mark
            connection.execute("UPDATE judgments SET emitted_at = NULL")
        done = court.once(server)
    assert (done["requests"], done["emitted"]) == (0, SIZE)
    assert len(court.log(court.events)) == 2 * SIZE
    assert court.rewards() == before
    assert court.current() == ledger
    refused = court.log(court.lab.settings.topics.quarantine)
    assert len(refused) == 2
    assert len({(record.key, record.value, str(record.headers)) for record in refused}) == 1


def test_a_database_made_anew_from_the_log_asks_about_no_rewarded_group(court: Court) -> None:
    court.store(a_group("a"))
    with judge_server(always()) as server:
        court.once(server)
        court.current()  # the rewards are stored
        with psycopg.connect(court.lab.dsn) as connection:
            connection.execute("DELETE FROM judgments")
        assert court.once(server)["requests"] == 0


def test_the_first_judgment_that_is_stored_stays(court: Court) -> None:
    court.store(a_group("a"))
    store = JudgmentStore(court.lab.dsn, rubric=DEFAULT_RUBRIC, model="m")
    ((key, group),) = store.to_judge(datetime.now(UTC)).items()
    task = store.task(key, group)
    for value, is_first in ((0.25, True), (0.75, False)):
        verdict = Verdict((Score(value, ""),) * SIZE, "", b"{}", Usage(1))
        assert store.record(task, verdict, at=datetime.now(UTC), cost_usd=0) is is_first
    assert {s.value for j in store.to_emit() for s in j.scores} == {0.25}
    store.close()


def test_the_command_judges_by_a_rubric_of_ones_own(court: Court, tmp_path: Path) -> None:
    court.store(a_group("a"))
    rubric = tmp_path / "calm.txt"
    rubric.write_text("The calmest wins.")
    with judge_server(in_turn("not_json", "good")) as server:
        environment = os.environ | {
            "ROPEWALK_BOOTSTRAP_SERVERS": court.lab.settings.bootstrap_servers,
            "ROPEWALK_POSTGRES_DSN": court.lab.dsn,
            "ROPEWALK_PARQUET_PATH": str(tmp_path),
            "ROPEWALK_TOPICS": court.lab.settings.topics.model_dump_json(),
            "ROPEWALK_JUDGE_TOPIC": court.events,
            "ROPEWALK_JUDGE_BASE_URL": server.base_url,
            "ROPEWALK_JUDGE_MODEL": "small-judge",
            "ROPEWALK_JUDGE_API_KEY": "secret",
            "ROPEWALK_JUDGE_FIRST_WAIT_S": "0.01",
        }

        def judge(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "ropewalk_deploy", "judge", "--rubric", str(rubric)]
            return subprocess.run(
                [*command, *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )

        shown = judge("--dry-run").stdout
        done = judge("--once", "--json")
        server.choose = always("no_key")
        environment["ROPEWALK_JUDGE_MODEL"] = "other-judge"
        failed = judge("--once")
    assert "The calmest wins." in shown
    assert "1 groups would be judged by calm@" in shown
    assert json.loads(done.stdout)["judged"] == 1, done.stderr
    assert {e.source_version for e in court.rewards().values()} == {
        f"small-judge {Rubric('calm', 'The calmest wins.').version}"
    }
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "answers 401" in failed.stderr
    assert "secret" not in failed.stderr + done.stderr
