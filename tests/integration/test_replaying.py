"""`ropewalk quarantine replay` sends each refused record again once: killed at any moment, run by
several at once, with Postgres away; and twice only if told so."""

import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
from confluent_kafka import Producer
from tests.support.pipeline import Pipeline, wait_for

from ropewalk_deploy.audit.accounts import Place
from ropewalk_deploy.audit.quarantine import Filter, refused_records, text_of
from ropewalk_deploy.audit.resent import origins_of
from ropewalk_deploy.kafka import LogScanner
from ropewalk_deploy.resending import CHUNK_RECORDS
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.topics import AGENT_EVENTS, CLIENT_MESSAGE_BYTES, OUTCOMES, QUARANTINE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

N = 3_000
NO_DATABASE = {"ROPEWALK_POSTGRES_DSN": "postgresql://nobody@127.0.0.1:1/nothing"}
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def running(pipeline: Pipeline) -> Iterator[Pipeline]:
    with pipeline.running():
        pipeline.wait_until_owned()
        yield pipeline
        pipeline.wait_until_settled()
        pipeline.verify()  # whatever was sent again, the books balance


@pytest.fixture
def since() -> str:
    """The begin of a test: what is refused from then on is its own."""
    return datetime.now(UTC).isoformat()


def refuse(pipeline: Pipeline, values: list[bytes], topic: str = AGENT_EVENTS.name) -> list[Place]:
    """Send what will be refused; gives its places once it is in quarantine, and stored."""
    servers = pipeline.places.bootstrap_servers
    producer = Producer({"bootstrap.servers": servers, "message.max.bytes": CLIENT_MESSAGE_BYTES})
    places: list[Place] = []
    for value in values:
        key = value[:24]
        producer.produce(
            topic,
            value,
            key,
            partition_of(key, 4),
            on_delivery=lambda _, m: places.append(
                Place(topic, m.partition() or 0, m.offset() or 0)
            ),
        )
        producer.poll(0)
    assert producer.flush(60) == 0
    with LogScanner(servers) as scanner:
        chosen = Filter(places=frozenset(places))
        wait_for(
            lambda: len(list(refused_records(scanner, chosen))) == len(values),
            told=f"all are refused\n{pipeline.log_tail()}",
        )
    wait_for(lambda: set(places) <= stored(pipeline), told="Postgres has them")
    return places


def stored(pipeline: Pipeline, *, marked: bool = False) -> set[Place]:
    """What Postgres has in quarantine, or of that what is marked."""
    query = b'SELECT topic, partition, "offset" FROM quarantine WHERE replayed_at IS NOT NULL OR %s'
    with psycopg.connect(pipeline.places.postgres_dsn) as connection:
        return set(map(Place._make, connection.execute(query, (not marked,))))


def garbage(name: str, n: int, n_bytes: int = 30) -> list[bytes]:
    """Values that are no JSON, and that no compression shrinks."""
    rng = random.Random(name)
    return [f"{name}-{i:08}-".encode().ljust(24, b".") + rng.randbytes(n_bytes) for i in range(n)]


def copies(pipeline: Pipeline, places: list[Place]) -> Counter[Place]:
    """How often each was sent again, as the log has it."""
    mine, found = set(places), Counter[Place]()
    with LogScanner(pipeline.places.bootstrap_servers) as scanner:
        for topic in {place.topic for place in places}:
            for partition in scanner.partitions(topic):
                for record in scanner.records(topic, partition):
                    found.update(mine.intersection(origins_of(record.headers)))
    return found


def once(places: list[Place]) -> Counter[Place]:
    return Counter(places)


def replay(pipeline: Pipeline, *chosen: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        pipeline.command("quarantine", "replay", *chosen, "--yes", "--json"),
        env=pipeline.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def log_size(pipeline: Pipeline) -> Callable[[], int]:
    """Gives what counts the records of agent-events."""
    scanner = LogScanner(pipeline.places.bootstrap_servers)
    partitions = scanner.partitions(AGENT_EVENTS.name)
    return lambda: sum(scanner.bounds(AGENT_EVENTS.name, p).end for p in partitions)


def test_killed_at_random_moments_it_sends_each_once_in_the_end(
    running: Pipeline, unique: str, since: str
) -> None:
    places = refuse(running, garbage(unique, N, 8_000))
    chosen = ("--reason", "invalid_utf8", "--since", since)
    rng, size = random.Random(), log_size(running)
    n_sent, n_cut_short = 0, 0
    for _ in range(3):
        upto = size() + rng.randrange(1, max(2, (N - n_sent) // 2))
        process = replay(running, *chosen)
        until = time.monotonic() + 60
        while size() < upto and process.poll() is None:  # no pause: the moment is what matters
            assert time.monotonic() < until
        process.kill()
        process.communicate()
        before, n_sent = n_sent, copies(running, places).total()
        n_cut_short += before < n_sent < N
    assert n_cut_short, "no kill came in the middle"
    said = running.answer("quarantine", "replay", *chosen, "--yes")
    assert copies(running, places) == once(places)
    assert said["states"]["replayed"] + said["sent"] == N
    assert said["marked"] == N, "what the killed ones sent is marked too"
    assert set(places) <= stored(running, marked=True)


def test_several_at_once_send_each_once(running: Pipeline, unique: str, since: str) -> None:
    places = refuse(running, garbage(unique, N, 2_000))
    processes = [replay(running, "--reason", "invalid_utf8", "--since", since) for _ in range(3)]
    said = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        said.append(json.loads(out)["sent"])
    assert sum(said) == N, said
    assert copies(running, places) == once(places)


def test_frozen_while_another_takes_over_it_sends_what_it_had_in_hand_at_most(
    running: Pipeline, unique: str, since: str
) -> None:
    places = refuse(running, garbage(unique, N, 8_000))
    chosen = ("--reason", "invalid_utf8", "--since", since)
    size = log_size(running)
    upto = size() + random.Random().randrange(1, N // 2)
    frozen = replay(running, *chosen)
    until = time.monotonic() + 60
    while size() < upto and frozen.poll() is None:
        assert time.monotonic() < until
    frozen.send_signal(signal.SIGSTOP)
    n_sent = copies(running, places).total()
    assert 0 < n_sent < N
    running.answer("quarantine", "replay", *chosen, "--yes")
    assert copies(running, places) == once(places)
    frozen.send_signal(signal.SIGCONT)
    _, err = frozen.communicate(timeout=120)
    assert frozen.returncode == 0 or "run this again: nothing is sent twice" in err
    assert copies(running, places).total() <= N + CHUNK_RECORDS


def test_killed_between_sending_and_marking_it_is_not_sent_again(
    running: Pipeline, unique: str
) -> None:
    (place,) = refuse(running, garbage(unique, 1))
    with psycopg.connect(running.places.postgres_dsn) as connection:
        connection.execute(b"LOCK TABLE quarantine IN ACCESS EXCLUSIVE MODE")
        process = replay(running, text_of(place))
        wait_for(lambda: copies(running, [place]), told="it is sent")
        wait_for(lambda: waits_for_lock(running), told="it is about to mark")
        process.kill()
        process.communicate()
        connection.execute(b"SELECT pg_terminate_backend(pid) " + WAITING)  # it would mark yet
        wait_for(lambda: not waits_for_lock(running), told="Postgres has given it up")
    assert place not in stored(running, marked=True)
    said = running.answer("quarantine", "replay", text_of(place), "--yes")
    assert said == {
        "matched": 1,
        "sent": 0,
        "marked": 1,
        "states": {"replayed": 1},
        "problem": None,
    }
    assert copies(running, [place]) == once([place])
    assert place in stored(running, marked=True)


WAITING = (
    b"FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE quarantine q%'"
)


def waits_for_lock(pipeline: Pipeline) -> bool:
    with psycopg.connect(pipeline.places.postgres_dsn) as connection:
        return connection.execute(b"SELECT count(*) " + WAITING).fetchone() != (0,)


def test_without_postgres_it_is_sent_once_and_marked_later(running: Pipeline, unique: str) -> None:
    (place,) = refuse(running, garbage(unique, 1))
    chosen = ("quarantine", "replay", text_of(place), "--yes", "--json")
    for sent in (1, 0):
        done = running.ropewalk(*chosen, changes=NO_DATABASE)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["sent"], said["marked"]) == (sent, None)
        assert "ROPEWALK_POSTGRES_DSN" in said["problem"]
    told = running.ropewalk(*chosen[:-1], changes=NO_DATABASE)
    assert "run this again to mark it in Postgres" in told.stderr
    assert place not in stored(running, marked=True)
    assert running.answer(*chosen[:-1])["marked"] == 1
    assert place in stored(running, marked=True)
    assert copies(running, [place]) == once([place])


def test_again_sends_again_and_each_refusal_says_which_time_it_is(
    running: Pipeline, unique: str
) -> None:
    (first,) = refuse(running, garbage(unique, 1))
    key = garbage(unique, 1)[0][:24].decode()
    mine = ("--trajectory", key)

    def times() -> list[int]:
        said = running.answer("quarantine", "ls", *mine)
        return sorted(len(row["sent_again_from"]) for row in said["records"])

    assert running.answer("quarantine", "replay", *mine, "--yes")["sent"] == 1
    wait_for(lambda: times() == [0, 1], told="it is refused for the second time")
    unchanged = running.answer("quarantine", "replay", *mine, "--yes")
    assert (unchanged["sent"], unchanged["states"]) == (0, {"replayed": 1, "again": 1})
    assert running.answer("quarantine", "replay", *mine, "--again", "--yes")["sent"] == 1
    wait_for(lambda: times() == [0, 1, 2], told="it is refused for the third time")
    shown = running.ropewalk("quarantine", "ls", *mine).stdout
    assert f"[refused for the 2nd time, first at {text_of(first)}]" in shown
    assert f"[refused for the 3rd time, first at {text_of(first)}]" in shown
    assert f"{text_of(first)}  invalid_utf8" in shown
    newest = running.answer("quarantine", "show", text_of(first))
    assert newest["state"] == "replayed"
    assert copies(running, [first]) == {first: 2}


def test_a_dry_run_sends_nothing_and_says_what_would_be(
    running: Pipeline, unique: str, since: str
) -> None:
    places = refuse(running, garbage(unique, 3))
    assert running.answer("quarantine", "replay", text_of(places[0]), "--yes")["sent"] == 1
    chosen = ("quarantine", "replay", "--since", since, "--dry-run")
    wait_for(
        lambda: running.answer(*chosen)["states"] == {"left": 2, "replayed": 1, "again": 1},
        told="the first is refused again",
    )
    said = running.answer(*chosen, "--limit", "1")
    assert (said["matched"], said["would_send"]) == (4, 2)
    assert said["reasons"] == {"invalid_utf8": 2}
    assert [row["state"] for row in said["records"]] == ["left"]
    shown = running.ropewalk(*chosen, "--limit", "1").stdout
    assert "would be sent: 2" in shown
    assert "and 1 more" in shown
    assert "1  sent again already (1 invalid_utf8)" in shown
    assert copies(running, places) == {places[0]: 1}


def test_records_are_chosen_by_event_by_places_by_stage_and_by_time(
    running: Pipeline, unique: str, since: str
) -> None:
    values = [
        json.dumps({"x": f"{unique}{'.' * 20}", "event_id": f"{unique}-{n}"}).encode()
        for n in range(3)
    ]
    places = refuse(running, values)

    def found(*chosen: str) -> set[Place]:
        rows = running.answer("quarantine", "ls", *chosen)["records"]
        return {Place(row["topic"], row["partition"], row["offset"]) for row in rows}

    assert len(found("--event", f"{unique}-1")) == 1
    assert found(*map(text_of, places[:2])) == set(places[:2])
    assert found("--since", since, "--stage", "assembler") == set(places)
    assert found("--until", since).isdisjoint(places)
    assert found("--since", since, "--stage", "judge") == set()
    refused = running.ropewalk("quarantine", "ls", "--since", "2026-03-01T12:00")
    assert (refused.returncode, "has no zone" in refused.stderr) == (2, True)


def test_an_outcome_that_was_refused_is_sent_to_its_own_topic(
    running: Pipeline, unique: str
) -> None:
    (place,) = refuse(running, garbage(unique, 1), OUTCOMES.name)
    assert running.answer("quarantine", "replay", text_of(place), "--yes")["sent"] == 1
    assert copies(running, [place]) == once([place])


ELSEWHERE = Quarantined(
    "judgments", 0, 10**12, b"j", b"no scores", [], "invalid", "why", "judge", "m", None, 1, 1
)


def test_what_is_not_mended_by_sending_says_what_mends_it(running: Pipeline, unique: str) -> None:
    part = replace(ELSEWHERE, topic="trajectories", reason="conflict", stage="sink postgres")
    producer = Producer({"bootstrap.servers": running.places.bootstrap_servers})
    for record in (ELSEWHERE, part):
        headers = dict[str, str | bytes | None](record.to_headers())
        producer.produce(QUARANTINE.name, record.value, record.key, headers=headers)
    assert producer.flush(30) == 0
    for topic, words in (("judgments", "ropewalk judge --again"), ("trajectories", "supersedes")):
        done = running.ropewalk("quarantine", "replay", "--topic", topic, "--yes")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{topic}/0/{10**12}" in done.stderr
        assert words in done.stderr
    (place,) = refuse(running, garbage(unique, 1))
    mixed = running.ropewalk(
        "quarantine", "replay", text_of(place), f"judgments/0/{10**12}", "--yes"
    )
    assert mixed.returncode == 0, mixed.stderr
    assert "1  not mended by sending again (1 invalid)" in mixed.stdout
    assert "sent again: 1, marked in Postgres: 1" in mixed.stdout


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (("--event", "nobody"), "no refused record matches"),
        (("agent-events/0/99999999",), "nothing refused at agent-events/0/99999999"),
        (("agent-events/0",), "is not a place"),
    ],
)
def test_nothing_that_matches_is_a_failure(
    running: Pipeline, chosen: tuple[str, ...], words: str
) -> None:
    done = running.ropewalk("quarantine", "replay", *chosen, "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ropewalk: ")
    assert words in done.stderr
