"""In which order a worker makes things durable, and what it must not do in a replay."""

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, Self, cast

import pytest
from faust.transport import consumer as base
from faust.types import TP
from tests.support.events import T0_MS, a_start, an_end, event_record, settings_record, tick_record

from ropewalk_schemas.limits import Settings
from ropewalk_schemas.progress import Crash, Progress
from ropewalk_schemas.topics import AGENT_EVENTS, CHUNKS, PROGRESS, TRAJECTORIES
from ropewalk_stream_processors import partitions as partitions_module
from ropewalk_stream_processors import restoring
from ropewalk_stream_processors.config import WorkerSettings
from ropewalk_stream_processors.errors import EngineError, LostChunksError, LostEventsError
from ropewalk_stream_processors.ledger import crash_key, floor_key, progress_key
from ropewalk_stream_processors.partitions import INITIAL_SETTINGS, Partitions
from ropewalk_stream_processors.trajectory.records import InputRecord
from ropewalk_stream_processors.transport import BatchConsumer

Records = list[tuple[bytes | None, bytes | None]]
EVENTS = [a_start(t="open"), a_start(t="over"), an_end(1, t="over")]
LOG = [event_record(event, offset, T0_MS) for offset, event in enumerate(EVENTS)]


class Publisher:
    """Notes what it is told to do."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.values: list[bytes] = []

    def send(self, topic: str, _: int, key: bytes | None, value: bytes, *__: object) -> None:
        named = topic in (PROGRESS.name, CHUNKS.name)
        said = f"{topic} {(key or b'').decode()}" if named else topic
        self.done.append(said if value is not None else f"delete {said}")
        self.values.append(value)

    def flush(self) -> None:
        self.done.append("flush")

    def check(self) -> None:
        pass


class Reader:
    """A log that begins at `low` and ends at `high`."""

    low, high = 0, len(LOG)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def bounds(self, _: str, __: int) -> tuple[int, int]:
        return self.low, self.high


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """What workers of a test read; accounts are given to `a_worker`."""
    reader = Reader()
    monkeypatch.setattr(partitions_module, "LogReader", lambda *_, **__: reader)
    monkeypatch.setattr(restoring, "progress_records", lambda *_: _accounts)
    monkeypatch.setattr(restoring, "chunk_records", lambda *_: _chunks.items())
    return reader


_accounts: Records = []
_chunks: dict[bytes, bytes] = {}


def a_worker(
    accounts: Iterable[tuple[bytes, bytes]] = (),
    chunks: Mapping[bytes, bytes] = MappingProxyType({}),
    limits: Settings = INITIAL_SETTINGS,
) -> tuple[Partitions, Publisher]:
    """A worker that owns partition 0 of 1; its clock stands where chunks may be deleted."""
    publisher = Publisher()
    settings = WorkerSettings(bootstrap_servers="unused:1", limits=limits)
    worker = Partitions(settings, cast("Any", publisher), n_partitions=1, clock=lambda: 100.0)
    _accounts[:] = list(accounts)
    _chunks.clear()
    _chunks.update(chunks)
    worker.assign([0])
    return worker, publisher


def an_account() -> list[tuple[bytes, bytes]]:
    """What a worker wrote after the log: one life open since offset 0, one over."""
    worker, publisher = a_worker()
    worker.take(0, LOG)
    worker.capture(0)
    worker.account(worker.captured())
    return [(progress_key(0), publisher.values[-1])]


def test_outputs_are_durable_before_the_account_that_counts_them() -> None:
    worker, publisher = a_worker()
    worker.take(0, LOG)
    assert worker.capture(0) == 0
    worker.account(worker.captured())
    assert publisher.done == [TRAJECTORIES.name, "flush", f"{PROGRESS.name} 0", "flush"]


def test_an_account_counts_as_written_once_it_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, publisher = a_worker()
    worker.take(0, LOG)
    worker.capture(0)
    seen = []
    monkeypatch.setattr(publisher, "flush", lambda: seen.append(worker.owned[0].written))
    worker.account(worker.captured())
    assert seen == [None, None]
    assert worker.owned[0].written is not None


def test_the_group_commit_comes_after_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    async def commit(*_: object) -> bool:
        done.append("commit")
        return True

    fake = SimpleNamespace(captured=list, account=lambda _: done.append("account"))
    monkeypatch.setattr(base.ThreadDelegateConsumer, "_commit", commit)
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer.app = SimpleNamespace(partitions=fake)  # type: ignore[assignment] # all it looks at
    asyncio.run(consumer._commit({}))
    assert done == ["account", "commit"]


def test_a_replay_publishes_nothing_and_gives_no_account_before_its_end() -> None:
    worker, publisher = a_worker(an_account())
    assert worker.owned[0].engine.target == len(LOG)
    for record in LOG:
        assert worker.capture(0) is None
        worker.take(0, [record])
    assert publisher.done == []
    assert worker.owned[0].engine.counts["received"] == len(LOG)


def test_a_log_that_begins_after_the_replay_point_stops_the_worker(log: Reader) -> None:
    account = an_account()
    log.low = 1
    with pytest.raises(LostEventsError, match="begins at offset 1, but 0 is needed"):
        a_worker(account)


def test_events_deleted_while_it_reads_stop_the_worker() -> None:
    worker, _ = a_worker()
    ahead = [SimpleNamespace(offset=7)]

    async def earliest(tp: TP) -> dict[TP, int]:
        return {tp: 7}

    consumer = SimpleNamespace(
        _partitions=worker, earliest_offsets=earliest, _current=lambda _: False
    )
    taking = BatchConsumer._take(
        cast("Any", consumer), TP(AGENT_EVENTS.name, 0), cast("Any", ahead), 1
    )
    with pytest.raises(LostEventsError, match="begins at offset 7, but 0 is needed"):
        asyncio.run(taking)


def test_a_record_to_skip_is_written_down_before_it_is_skipped() -> None:
    crash = Crash(partition=0, offset=1, error="ValueError: x", times=3)
    _, publisher = a_worker([(crash_key(0), crash.model_dump_json().encode())])
    assert publisher.done == [f"{PROGRESS.name} 0/skip/1", "flush"]


def test_an_engine_that_fails_stops_the_worker_once_that_is_written_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, publisher = a_worker()

    def fail(_: InputRecord) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(worker.owned[0].engine, "apply", fail)
    with pytest.raises(EngineError, match="time 1 of 3"):
        worker.take(0, LOG)
    assert publisher.done == [f"{PROGRESS.name} 0/crash", "flush"]


# -- spilling

SPILLS = Settings(spill_ms=100, spill_records=1)
LONG = [
    settings_record(SPILLS, 0, T0_MS),
    event_record(a_start(t="long"), 1, T0_MS),
    tick_record(2, T0_MS + 200),
]
OVER = [event_record(an_end(1, t="long"), 3, T0_MS + 210)]
CHUNK = "chunks 1/2/long"


def write_an_account(worker: Partitions) -> None:
    worker.capture(0)
    worker.account(worker.captured())


def spilled() -> tuple[list[tuple[bytes, bytes]], dict[bytes, bytes]]:
    """The account and the chunk of a worker that spilled a life."""
    worker, publisher = a_worker(limits=SPILLS)
    worker.take(0, LONG)
    write_an_account(worker)
    return [(progress_key(0), publisher.values[-1])], {b"1/2/long": publisher.values[0]}


def test_a_chunk_is_durable_before_c_passes_what_it_holds() -> None:
    worker, publisher = a_worker(limits=SPILLS)
    worker.take(0, LONG)
    assert worker.capture(0) == 3
    worker.account(worker.captured())
    assert publisher.done == [CHUNK, "flush", f"{PROGRESS.name} 0", "flush"]
    account = Progress.model_validate_json(publisher.values[-1])
    assert (account.replay_offset, account.chunks) == (3, {"long": [(1, 2)]})


def test_a_chunk_is_deleted_once_an_account_without_it_has_a_key_of_its_own() -> None:
    worker, publisher = a_worker(*spilled(), SPILLS)
    worker.take(0, OVER)
    write_an_account(worker)
    floor = [f"{PROGRESS.name} 0", f"{PROGRESS.name} 0/floor/4"]
    assert publisher.done == [TRAJECTORIES.name, "flush", *floor, "flush", f"delete {CHUNK}"]
    assert publisher.values[2] == publisher.values[1]


def test_an_older_floor_goes_after_the_newer_one_is_durable() -> None:
    ((_, account),), chunks = spilled()
    worker, publisher = a_worker([(floor_key(0, 3), account)], chunks, SPILLS)
    worker.take(0, OVER)
    write_an_account(worker)
    deleted = publisher.done[publisher.done.index("flush", 2) + 1 :]
    assert deleted == [f"delete {CHUNK}", f"delete {PROGRESS.name} 0/floor/3"]


def test_what_a_crash_left_undeleted_is_found_at_the_next_start() -> None:
    accounts, chunks = spilled()
    worker, publisher = a_worker(accounts, chunks | {b"0/1/gone": b"", b"1/9/later": b""}, SPILLS)
    worker.take(0, [tick_record(3, T0_MS + 210)])
    write_an_account(worker)
    assert [done for done in publisher.done if "delete" in done] == ["delete chunks 0/1/gone"]


def test_a_chunk_that_is_gone_stops_the_worker() -> None:
    accounts, _ = spilled()
    with pytest.raises(LostChunksError, match=r"needs 1 chunks .* such as 1/2/long"):
        a_worker(accounts)


def test_a_newer_account_is_read_when_a_chunk_is_gone(
    monkeypatch: pytest.MonkeyPatch, log: Reader
) -> None:
    """Its owner deleted it, after an account without it, between our two looks."""
    log.high = OVER[-1].offset + 1
    older, chunks = spilled()
    worker, publisher = a_worker(older, chunks, SPILLS)
    worker.take(0, OVER)
    write_an_account(worker)
    newer = [(floor_key(0, 4), publisher.values[1])]
    looks = iter([older, newer])
    monkeypatch.setattr(restoring, "progress_records", lambda *_: next(looks))
    _chunks.clear()
    worker.assign([])
    worker.assign([0])
    assert worker.owned[0].engine.target == 4
