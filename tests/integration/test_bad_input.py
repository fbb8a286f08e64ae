"""Whatever comes in, a partition goes on, and what is refused is kept byte for byte."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
import pyarrow.dataset as pads
import pytest
from confluent_kafka import KafkaError, Message, Producer
from tests.support.events import a_decision, a_start, an_end
from tests.support.pipeline import Pipeline

from ropewalk_deploy.audit.quarantine import Filter, refused_records
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.topics import AGENT_EVENTS, CLIENT_MESSAGE_BYTES, KIND_HEADER, SETTINGS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

N = AGENT_EVENTS.partitions
RUN = f"bad{random.SystemRandom().randrange(10**9)}"


class At(NamedTuple):
    """A record's place in agent-events."""

    partition: int
    offset: int

    @property
    def text(self) -> str:
        return f"{AGENT_EVENTS.name}/{self.partition}/{self.offset}"


@dataclass(frozen=True)
class Bad:
    """A record nobody should send. Its partition is the key's unless it says another."""

    name: str
    reason: str
    value: bytes | None
    key: bytes | None
    partition: int
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def bad(
    name: str,
    reason: str,
    value: bytes | Callable[[str], bytes] | None,
    **given: Any,
) -> Bad:
    """A bad record of a trajectory of its own."""
    trajectory_id = f"{RUN}/{name}"
    key = given.pop("key", trajectory_id.encode())
    partition = given.pop("partition", partition_of(trajectory_id.encode(), N))
    made = value(trajectory_id) if callable(value) else value
    return Bad(name, reason, made, key, partition, **given)


def event(**changes: Any) -> Callable[[str], bytes]:
    """A decision with fields replaced; None removes one."""

    def made(trajectory_id: str) -> bytes:
        data = json.loads(encode_event(a_decision(0, t=trajectory_id, reasoning="MARK")))
        data.update(changes)
        return json.dumps({k: v for k, v in data.items() if v is not None}).encode()

    return made


def spelled(written: bytes) -> Callable[[str], bytes]:
    """A decision whose reasoning is spelled as given, quotes included."""
    return lambda trajectory_id: event()(trajectory_id).replace(b'"MARK"', written)


def number(written: bytes) -> Callable[[str], bytes]:
    """A decision whose state holds a number spelled as given."""
    return lambda t: event(state={"x": 12345})(t).replace(b"12345", written)


def sized(n_bytes: int) -> bytes:
    """Bytes that no compression shrinks."""
    return random.Random(n_bytes).randbytes(n_bytes)


OTHERS = partition_of(f"{RUN}/wrong partition".encode(), N)
BAD = [
    bad("not json", "not_json", b"this is not JSON"),
    bad("cut short", "not_json", lambda t: event()(t)[:-5]),
    bad("a list", "not_json", b"[1, 2]"),
    bad("empty", "not_json", b""),
    bad("null value", "empty", None),
    bad("invalid utf-8", "invalid_utf8", spelled(b'"\xff\xfe"')),
    bad("bytes", "invalid_utf8", b"\xff\xfe\x00\x01"),
    bad("nul escaped", "nul", spelled(b'"a\\u0000b"')),
    bad("nul raw", "not_json", spelled(b'"a\x00b"')),
    bad("nan", "not_finite", number(b"NaN")),
    bad("infinity", "not_finite", number(b"Infinity")),
    bad("minus infinity", "not_finite", number(b"-Infinity")),
    bad("1e999", "not_finite", number(b"1e999")),
    bad("too deep", "too_deep", spelled(b"[" * 70 + b"]" * 70)),
    bad("unknown type", "unknown_type", event(type="telepathy")),
    bad("no type", "unknown_type", event(type=None)),
    bad("unknown version", "unknown_version", event(schema_version="2.0")),
    bad("missing seq", "invalid", event(seq=None)),
    bad("missing event_id", "invalid", event(event_id=None)),
    bad("seq is text", "invalid", event(seq="one")),
    bad("seq below 0", "invalid", event(seq=-1)),
    bad("action is text", "invalid", event(action="wait")),
    bad("no zone", "invalid", event(occurred_at="2026-03-01T12:00:00")),
    bad("in 2090", "in_the_future", event(occurred_at="2090-01-01T00:00:00Z")),
    bad("9 MB", "too_large", sized(9_000_000)),
    bad("20 MB", "too_large", sized(20_000_000)),
    bad("no key", "no_key", event(), key=None),
    bad("settings of others", "no_key", b"{]", key=None, headers=[(KIND_HEADER, SETTINGS)]),
    bad("wrong partition", "wrong_partition", event(), partition=(OTHERS + 1) % N),
    bad("key mismatch", "key_mismatch", event(trajectory_id="another")),
    bad("with headers", "not_json", b"{", headers=[("trace", b"\xff\x00"), ("trace", b"2")]),
]


@dataclass
class Sent:
    """Where the bad records are, and the good trajectories sent right after each."""

    pipeline: Pipeline
    places: dict[str, At] = field(default_factory=dict)
    good: dict[str, str] = field(default_factory=dict)

    @property
    def bad(self) -> dict[At, Bad]:
        return {self.places[given.name]: given for given in ALL}


def conflict() -> list[Bad]:
    """A start, and another event that claims its (writer, seq)."""
    name = "seq conflict"
    t = f"{RUN}/{name}"
    where = partition_of(t.encode(), N)
    first = Bad("", "", encode_event(a_start(t=t)), t.encode(), where)
    second = encode_event(a_decision(0, t=t, event_id="another"))
    return [first, Bad(name, "seq_conflict", second, t.encode(), where)]


ALL = [*BAD, conflict()[1]]


def trajectory_in(partition: int, name: str) -> str:
    """A trajectory_id of a partition."""
    tries = (f"{RUN}/good after {name} {i}" for i in range(1000))
    return next(t for t in tries if partition_of(t.encode(), N) == partition)


def produce(pipeline: Pipeline, records: list[Bad]) -> dict[str, At]:
    """Send raw records in order; gives where the named ones are."""
    places: dict[str, At] = {}
    producer = Producer(
        {
            "bootstrap.servers": pipeline.places.bootstrap_servers,
            "message.max.bytes": CLIENT_MESSAGE_BYTES,
            "enable.idempotence": True,
        }
    )

    def delivered(name: str) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            places[name] = At(message.partition() or 0, message.offset() or 0)

        return note

    for record in records:
        producer.produce(
            AGENT_EVENTS.name,
            record.value,
            record.key,
            record.partition,
            delivered(record.name),
            headers=list(record.headers),
        )
    assert producer.flush(60) == 0
    return places


@pytest.fixture(scope="module")
def sent(pipeline: Pipeline) -> Iterator[Sent]:
    with pipeline.running():
        pipeline.wait_until_owned()
        sent = Sent(pipeline)
        records: list[Bad] = []
        for given in [*BAD, *conflict()]:
            records.append(given)
            t = sent.good[given.name] = trajectory_in(given.partition, given.name)
            records += [
                Bad("", "", encode_event(life), t.encode(), given.partition)
                for life in (a_start(t=t), an_end(1, t=t))
            ]
        sent.places = produce(pipeline, records)
        pipeline.wait_until_settled()
        pipeline.verify()
        yield sent


def test_each_is_in_quarantine_with_its_bytes_its_place_and_the_reason(sent: Sent) -> None:
    found = {At(r.partition, r.offset): r for r in _refused(sent.pipeline)}
    for place, given in sent.bad.items():
        refused = found[place]
        assert (given.name, refused.reason) == (given.name, given.reason), refused.detail
        assert refused.topic == AGENT_EVENTS.name
        assert refused.key == given.key
        assert refused.value == given.value
        assert list(refused.headers) == given.headers
        assert refused.stage == "assembler"
        assert len(refused.detail) > 10


def _refused(pipeline: Pipeline) -> list[Quarantined]:
    with LogScanner(pipeline.places.bootstrap_servers) as scanner:
        return list(refused_records(scanner, Filter(topic=AGENT_EVENTS.name)))


Row = tuple[int, int, str, bytes | None, bytes | None]


def _postgres_rows(pipeline: Pipeline) -> list[Row]:
    query = (
        b'SELECT partition, "offset", reason, key, value FROM quarantine '
        b"WHERE topic = 'agent-events'"
    )
    with psycopg.connect(pipeline.places.postgres_dsn) as connection:
        return connection.execute(query).fetchall()


def _parquet_rows(pipeline: Pipeline) -> list[Row]:
    source = pads.dataset(pipeline.places.parquet_path / "quarantine", format="parquet")
    table = source.to_table(columns=["topic", "partition", "offset", "reason", "key", "value"])
    return [tuple(row.values())[1:] for row in table.to_pylist() if row["topic"] == "agent-events"]


@pytest.mark.parametrize("rows", [_postgres_rows, _parquet_rows])
def test_each_is_stored_in_both_sinks(sent: Sent, rows: Callable[[Pipeline], list[Row]]) -> None:
    found = {At(row[0], row[1]): row[2:] for row in rows(sent.pipeline)}
    for place, given in sent.bad.items():
        reason, key, value = found[place]
        assert (given.name, reason, key) == (given.name, given.reason, given.key)
        assert value == given.value, given.name


def test_the_partition_goes_on_after_each(sent: Sent) -> None:
    with psycopg.connect(sent.pipeline.places.postgres_dsn) as connection:
        query = b"SELECT trajectory_id FROM trajectories WHERE complete AND close_reason = 'ended'"
        in_postgres = {row[0] for row in connection.execute(query)}
    source = pads.dataset(sent.pipeline.places.parquet_path / "trajectories", format="parquet")
    in_parquet = set(source.to_table(columns=["trajectory_id"])["trajectory_id"].to_pylist())
    good = set(sent.good.values())
    assert len(good) == len(ALL) + 1
    assert good <= in_postgres
    assert good <= in_parquet


def test_status_counts_them_by_reason_and_says_what_it_means(sent: Sent) -> None:
    said = sent.pipeline.answer("status")["quarantined"]
    for reason in {given.reason for given in ALL}:
        assert said[reason]["count"] >= sum(given.reason == reason for given in ALL)
        assert len(said[reason]["meaning"]) > 10
    shown = sent.pipeline.ropewalk("status")
    assert shown.returncode == 0
    assert "too_large" in shown.stdout


def test_ls_lists_them_newest_last(sent: Sent) -> None:
    said = sent.pipeline.answer("quarantine", "ls", "--limit", "0")
    found = {At(row["partition"], row["offset"]): row for row in said["records"]}
    assert said["count"] == len(said["records"])
    for place, given in sent.bad.items():
        assert found[place]["reason"] == given.reason
        assert found[place]["bytes"] == len(given.value or b"")
    chosen = sent.pipeline.answer("quarantine", "ls", "--reason", "too_deep", "--limit", "0")
    assert {row["reason"] for row in chosen["records"]} == {"too_deep"}
    assert sent.places["too deep"].text in sent.pipeline.ropewalk(
        "quarantine", "ls", "--reason", "too_deep", "--limit", "0"
    ).stdout  # fmt: skip


def test_show_shows_one_whole(sent: Sent) -> None:
    place = sent.places["invalid utf-8"]
    row = sent.pipeline.answer("quarantine", "show", place.text)
    assert (row["partition"], row["offset"]) == place
    assert "\\xff\\xfe" in row["value"]
    assert row["key"] == repr(f"{RUN}/invalid utf-8".encode())
    nothing = sent.pipeline.ropewalk("quarantine", "show", "agent-events/0/999999")
    assert nothing.returncode == 1
    assert nothing.stderr.startswith("ropewalk: nothing refused at agent-events/0/999999")
    wrong = sent.pipeline.ropewalk("quarantine", "show", "somewhere")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "topic/partition/offset" in wrong.stderr


def test_replay_sends_the_same_bytes_again_and_marks_them(sent: Sent) -> None:
    place = sent.places["20 MB"]
    chosen = ("--partition", str(place.partition), "--offset", str(place.offset))
    refused = sent.pipeline.ropewalk("quarantine", "replay", *chosen)
    assert refused.returncode == 1, "nobody said yes"
    said = sent.pipeline.answer("quarantine", "replay", *chosen, "--yes")
    assert (said["sent"], said["marked"]) == (1, 1)
    sent.pipeline.wait_until_settled()
    value = sized(20_000_000)
    again = [r for r in _refused(sent.pipeline) if r.value == value]
    assert len(again) == 2
    assert {r.reason for r in again} == {"too_large"}
    with psycopg.connect(sent.pipeline.places.postgres_dsn) as connection:
        query = b'SELECT "offset" FROM quarantine WHERE replayed_at IS NOT NULL AND partition = %s'
        marked = [row[0] for row in connection.execute(query, (place.partition,))]
    assert place.offset in marked
    sent.pipeline.verify()


def test_what_came_without_its_start_is_taken_when_it_is_sent_again_after_it(sent: Sent) -> None:
    t = trajectory_in(0, "headless")
    end = Bad("end", "headless", encode_event(an_end(1, t=t)), t.encode(), 0)
    produce(sent.pipeline, [end])
    sent.pipeline.wait_until_settled()
    assert [r.reason for r in _refused(sent.pipeline) if r.trajectory_id == t] == ["headless"]
    produce(sent.pipeline, [Bad("", "", encode_event(a_start(t=t)), t.encode(), 0)])
    said = sent.pipeline.answer("quarantine", "replay", "--trajectory", t, "--yes")
    assert (said["sent"], said["marked"]) == (1, 1)
    sent.pipeline.wait_until_settled()
    sent.pipeline.verify()
    with psycopg.connect(sent.pipeline.places.postgres_dsn) as connection:
        query = b"SELECT n_events, complete FROM trajectories WHERE trajectory_id = %s"
        assert connection.execute(query, (t,)).fetchall() == [(2, True)]
