"""The Postgres sink as it runs: real Kafka, real Postgres, processes that are killed."""

import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from decimal import Decimal
from itertools import count as numbers

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions as Group
from confluent_kafka import TopicPartition
from tests.support.published import a_part, an_entry, content_hash, value_of
from tests.support.sink_lab import DEADLINE_S, N_PARTITIONS, Lab, open_lab, rows, wait_for

from ropewalk_deploy.stack.model import Stack
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.outcomes import Outcome
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.progress import Counts, Progress
from ropewalk_schemas.topics import MIB
from ropewalk_sinks.errors import DeletedRecordsError, MissingTopicError, UnreachableError
from ropewalk_sinks.postgres_reads import stored_parts, stored_quarantine, stored_rewards

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

# As tables that stand or fall with a part: rows per part of the builder.
ROWS_PER_PART = {"trajectories": 1, "scores": 1, "messages": 4, "steps": 2, "llm_calls": 2}


@pytest.fixture
def lab(stack: Stack, unique: str) -> Lab:
    return open_lab(stack, unique)


def an_account(next_offset: int) -> bytes:
    account = Progress(
        engine_version="e", worker="w", partition=1, replay_offset=0, next_offset=next_offset,
        clock_ms=0, broker_ms=0, settings=Settings(), skip={}, headers=[],
        counts=Counts(received=9, assembled=4, ledger=1, duplicate=1, quarantined={"nul": 2}),
        open_events=1, open_trajectories=1, clock_at_next_ms=1_500, watermark_ms=1_000,
    )  # fmt: skip
    return account.model_dump_json().encode()


def chains(n_lives: int) -> list[tuple[bytes, bytes]]:
    """Keys and values of lives of three parts and one reward, interleaved in order."""
    sent: list[tuple[bytes, bytes]] = []
    for part in range(3):
        for life in range(n_lives):
            name = f"life-{life}"
            row = a_part(name, part, last=part == 2)
            sent.append((name.encode(), value_of(row)))
    lives = [(life, f"life-{life}") for life in range(n_lives)]
    return sent + [(name.encode(), value_of(an_entry(f"r-{n}", name))) for n, name in lives]


def send_all(lab: Lab, sent: list[tuple[bytes, bytes]]) -> None:
    for key, value in sent:
        lab.producer.produce(lab.settings.topics.trajectories, value=value, key=key)
    assert lab.producer.flush(DEADLINE_S) == 0


def assert_stored_once(lab: Lab, n_lives: int) -> None:
    expected = {
        (f"life-{life}", part, content_hash(f"life-{life}", part), 0, 6)
        for life in range(n_lives)
        for part in range(3)
    }
    stored = list(stored_parts(lab.dsn))
    assert len(stored) == len(expected)
    assert {part[:5] for part in stored} == expected
    assert sorted(r.reward_id for r in stored_rewards(lab.dsn)) == sorted(
        f"r-{life}" for life in range(n_lives)
    )
    for table, per_part in ROWS_PER_PART.items():
        assert rows(lab.dsn, f"SELECT count(*) FROM {table}") == [(per_part * 3 * n_lives,)], table


def test_every_kind_of_record_ends_in_its_table(lab: Lab) -> None:
    topics = lab.settings.topics
    outcome = Outcome.model_validate_json(
        '{"outcome_key":"m","version":2,"occurred_at":"2026-03-01T00:00:00Z","values":{"won":true}}'
    )
    with lab.running():
        lab.send(topics.trajectories, [value_of(a_part()), value_of(an_entry())])
        lab.send(topics.outcomes, [outcome.model_dump_json().encode()])
        lab.send(topics.progress, [an_account(7), an_account(7), an_account(8)], key=b"1")
        lab.send(topics.progress, [b"{}"], key=b"1/skip/5")
        for topic, n in ((topics.trajectories, 2), (topics.outcomes, 1), (topics.progress, 4)):
            lab.wait_until_stored(topic, n)
    assert rows(lab.dsn, "SELECT outcome_key, version, values FROM outcomes") == [
        ("m", 2, {"won": True})
    ]
    columns = (
        "next_offset, received, open, quarantined, by_reason, extract(epoch FROM clock)::float"
    )
    accounts = rows(lab.dsn, f"SELECT {columns} FROM progress ORDER BY 1")
    assert accounts == [(n, 9, 1, 2, {"nul": 2}, Decimal("1.5")) for n in (7, 8)]
    assert len(list(stored_parts(lab.dsn))) == len(list(stored_rewards(lab.dsn))) == 1


def test_what_is_refused_comes_back_through_quarantine_once_with_its_bytes(lab: Lab) -> None:
    topics = lab.settings.topics
    large = b"x" * (31 * MIB)
    values = [
        value_of(a_part()),
        value_of(a_part(content_hash="other")),
        b"\x00\xff not JSON",
        large,
    ]
    with lab.running():
        lab.send(topics.trajectories, values)
        lab.send(topics.quarantine, [b"written by someone else"], key=b"foreign")
        lab.wait_until_stored(topics.trajectories, 4)
        lab.wait_until_stored(topics.quarantine, 4)
    found = rows(
        lab.dsn, 'SELECT topic, reason, value, key, stage FROM quarantine ORDER BY topic, "offset"'
    )
    by_topic = {
        topics.quarantine: [("invalid", b"written by someone else", b"foreign", "quarantine")],
        topics.trajectories: [
            ("conflict", values[1], b"k", "sink postgres"),
            ("invalid", values[2], b"k", "sink postgres"),
            ("invalid", large, b"k", "sink postgres"),
        ],
    }
    assert found == [(topic, *row) for topic in sorted(by_topic) for row in by_topic[topic]]
    assert lab.stored(topics.quarantine) == 4, "a refused record was refused again"


def test_a_conflict_read_twice_is_one_row_of_quarantine(lab: Lab) -> None:
    topics = lab.settings.topics
    lab.send(topics.trajectories, [value_of(a_part()), value_of(a_part(content_hash="other"))])
    with lab.running():
        lab.wait_until_stored(topics.quarantine, 1)
    # As after a crash between the refusal and the commit: the record is refused once more.
    rewind = f"UPDATE sink_offsets SET next_offset = 0 WHERE topic = '{topics.trajectories}'"
    rows(lab.dsn, rewind + " RETURNING 1")
    with lab.running():
        lab.wait_until_stored(topics.quarantine, 2)
    assert len(list(stored_quarantine(lab.dsn))) == 1
    assert len(list(stored_parts(lab.dsn))) == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_at_random_moments_loses_and_doubles_nothing(lab: Lab, seed: int) -> None:
    chance = random.Random(seed)
    n_lives = 400
    sent = chains(n_lives)
    # Duplicates of whole records, right after the first or much later.
    sent = [one for record in sent for one in [record] * chance.choice([1, 1, 2])]
    sent += chance.sample(sent, 200)
    # Junk between them, so that refusals are under way when the process dies.
    sent += [(b"junk", b"junk %d" % n) for n in range(20)]
    group, tick = numbers(), threading.Event()
    topic = lab.settings.topics.trajectories

    def start() -> "subprocess.Popen[str]":
        # Each a group of its own: the offsets are the database's, and nobody waits for the dead.
        name = f"{lab.settings.postgres_group}-{next(group)}"
        return lab.start_process(postgres_group=name, postgres_batch_records=40)

    for number, at in enumerate(range(0, len(sent), 200)):
        send_all(lab, sent[at : at + 200])
        before = lab.stored(topic)
        process = start()
        if number % 2:  # at work
            lab.wait_until_stored(topic, before + 1)
            tick.wait(chance.uniform(0.0, 0.2))
        else:  # at any moment, also while it starts
            tick.wait(chance.uniform(0.6, 2.5))
        process.kill()
        process.communicate()
    process = start()
    lab.wait_until_stored(topic, len(sent))
    process.kill()
    process.communicate()
    assert_stored_once(lab, n_lives)


def test_a_frozen_process_that_wakes_up_is_fenced_and_ends_with_one_line(lab: Lab) -> None:
    topic = lab.settings.topics.trajectories
    send_all(lab, chains(10))
    frozen = lab.start_process()
    lab.wait_until_stored(topic, 40)
    frozen.send_signal(signal.SIGSTOP)
    other = f"{lab.settings.postgres_group}-other"
    heir = lab.start_process(postgres_group=other)
    send_all(
        lab, [(b"life-10", value_of(a_part("life-10", part, last=part == 2))) for part in range(3)]
    )
    lab.wait_until_stored(topic, 43)
    frozen.send_signal(signal.SIGCONT)
    _, said = frozen.communicate(timeout=DEADLINE_S)
    assert frozen.returncode == 1
    assert "FencedError" in said
    assert "Traceback" not in said
    heir.terminate()
    heir.communicate(timeout=DEADLINE_S)
    assert len(list(stored_parts(lab.dsn))) == 33


def test_two_processes_share_the_partitions_and_one_takes_over_when_the_other_leaves(
    lab: Lab,
) -> None:
    topic = lab.settings.topics.trajectories
    sent = chains(60)
    processes = [lab.start_process() for _ in range(2)]
    logs = [follow(process) for process in processes]
    wait_for(
        lambda: (
            all(owned(log) for log in logs)
            and sum(len(owned(log)) for log in logs) == 4 * N_PARTITIONS
        ),
        told="both own partitions",
    )
    send_all(lab, sent[:120])
    lab.wait_until_stored(topic, 120)
    processes[0].terminate()
    assert processes[0].wait(DEADLINE_S) == 0
    send_all(lab, sent[120:])
    lab.wait_until_stored(topic, 240)
    processes[1].terminate()
    assert processes[1].wait(DEADLINE_S) == 0
    assert_stored_once(lab, 60)


def follow(process: "subprocess.Popen[str]") -> list[str]:
    """The lines a process says, growing while it runs."""
    said: list[str] = []
    assert process.stderr is not None

    def read(lines: Iterator[str]) -> None:
        said.extend(lines)

    threading.Thread(target=read, args=(process.stderr,), daemon=True).start()
    return said


def owned(said: list[str]) -> set[str]:
    """The partitions a process says it owns."""
    mine: set[str] = set()
    for line in list(said):
        event, _, fields = line.strip().partition(" ")
        place = fields.partition(" offset=")[0]
        if event == "assigned":
            mine.add(place)
        elif event == "released":
            mine.discard(place)
    return mine


def test_sigterm_stores_what_is_buffered_and_exits_with_0(lab: Lab) -> None:
    topic = lab.settings.topics.trajectories
    process = lab.start_process(postgres_batch_age_s=3_600)
    said = follow(process)
    send_all(lab, chains(5))
    # The report says what was read: it is then in the buffer, and nothing is stored.
    wait_for(lambda: any("records=20" in line for line in said), told="all records are read")
    assert lab.stored(topic) == 0
    process.terminate()
    assert process.wait(DEADLINE_S) == 0
    assert_stored_once(lab, 5)


def test_the_group_shows_progress_to_those_who_watch_kafka(lab: Lab) -> None:
    topic = lab.settings.topics.trajectories
    with lab.running():
        lab.send(topic, [value_of(a_part())])
        lab.wait_until_stored(topic, 1)
        group = lab.settings.postgres_group

        def committed() -> int:
            [found] = lab.admin.list_consumer_group_offsets([Group(group)]).values()
            offsets = found.result(DEADLINE_S).topic_partitions or []
            return sum(o.offset for o in offsets if o.topic == topic and o.offset > 0)

        wait_for(lambda: committed() == 1, told="the offset is committed")


def test_records_deleted_before_they_were_stored_stop_the_sink_loudly(lab: Lab) -> None:
    topic = lab.settings.topics.trajectories
    lab.send(topic, [value_of(a_part(f"t-{i}")) for i in range(5)])
    at = partition_of(b"k", N_PARTITIONS)
    [deleted] = lab.admin.delete_records([TopicPartition(topic, at, 3)]).values()
    deleted.result(DEADLINE_S)
    with (
        pytest.raises(
            DeletedRecordsError, match=rf"records 0 to 2 of {topic}\[{at}\] were deleted"
        ),
        lab.running() as sink,
    ):
        wait_for(lambda: sink._connection.closed, told="the sink stops by itself")
    assert list(stored_parts(lab.dsn)) == []
    with lab.running(accept_deleted_records=True):
        lab.wait_until_stored(topic, 5)
    assert {part.trajectory_id for part in stored_parts(lab.dsn)} == {"t-3", "t-4"}


def test_a_missing_topic_is_named(lab: Lab) -> None:
    topics = lab.settings.topics.model_copy(update={"outcomes": "not-there"})
    with (
        pytest.raises(MissingTopicError, match=r"not-there .*`ropewalk topics apply`"),
        lab.running(topics=topics),
    ):
        pass


def test_a_broker_that_does_not_answer_is_named(lab: Lab) -> None:
    with (
        pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 .*ROPEWALK_BOOTSTRAP_SERVERS"),
        lab.running(bootstrap_servers="127.0.0.1:1"),
    ):
        pass


def test_a_process_says_one_line_and_ends_with_1_when_it_cannot_start(lab: Lab) -> None:
    process = lab.start_process(postgres_dsn="postgresql://u:p@127.0.0.1:1/x")
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert said.startswith("UnreachableError: ")
    assert said.count("\n") == 1
