"""Spilling where the laws do not look: sizes, an account of a version that spilled nothing."""

from collections.abc import Iterable

from tests.support.events import (
    T0_MS,
    a_decision,
    a_reward,
    a_start,
    an_end,
    event_record,
    tick_record,
)

from ropewalk_schemas.chunks import decode_chunk
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.topics import CHUNKS, MAX_EVENT_BYTES
from ropewalk_stream_processors.deleting import orphans, take_deletable
from ropewalk_stream_processors.ledger import floor_key, known_of, progress_key
from ropewalk_stream_processors.trajectory.account import capture, named_chunks, restore
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord, Output

PLACE = Place("agent-events", 0, "1")
SPILLS = Settings(spill_ms=100, spill_records=1, default=Limits(max_bytes=8 * 2**20))
NEVER = SPILLS.model_copy(update={"spill_ms": 0})


def an_engine(settings: Settings = SPILLS) -> Engine:
    """An engine whose clock runs since offset 0."""
    engine = Engine(PLACE, n_partitions=1, settings=settings)
    engine.apply(tick_record(0, T0_MS))
    return engine


def feed(engine: Engine, records: Iterable[InputRecord]) -> list[Output]:
    for record in records:
        engine.apply(record)
    given, engine.outputs = engine.outputs, []
    return given


def spilled(given: Iterable[Output]) -> dict[bytes, bytes]:
    return {o.key or b"": o.value or b"" for o in given if o.topic == CHUNKS.name}


def ticks(first: int, *times: int) -> list[InputRecord]:
    return [tick_record(first + i, T0_MS + ms) for i, ms in enumerate(times)]


def restored(progress: Progress, chunks: dict[bytes, bytes]) -> Engine:
    return restore(progress, PLACE, n_partitions=1, initial=SPILLS, chunks=chunks)


def test_what_is_old_and_far_back_is_spilled_and_holds_c_no_longer() -> None:
    engine = an_engine()
    given = feed(engine, [event_record(a_start(), 1, T0_MS), *ticks(2, 50, 100)])
    assert list(spilled(given)) == [b"1/3/t-1"]
    taken = capture(engine, worker="w")
    assert (taken.replay_offset, taken.chunks, taken.headers) == (4, {"t-1": [(1, 3)]}, [])


def test_what_is_old_but_not_far_back_is_not_spilled_nor_what_is_far_back_but_young() -> None:
    near = an_engine(SPILLS.model_copy(update={"spill_ms": 50, "spill_records": 5}))
    for engine in (near, an_engine(), an_engine(NEVER)):
        assert not feed(engine, [event_record(a_start(), 1, T0_MS), *ticks(2, 50, 99)])
        assert engine.lives


def test_a_version_that_spilled_nothing_left_an_account_from_which_all_is_spilled_anew() -> None:
    log = [event_record(a_start(), 1, T0_MS), *ticks(2, 50, 100, 200)]
    before = an_engine(NEVER)
    feed(before, log)
    taken = capture(before, worker="w").model_copy(update={"settings": SPILLS})
    engine = restored(taken, {})
    assert feed(engine, log) == []
    assert capture(engine, worker="w").chunks == {}, "an account names what nobody wrote"
    chunks = spilled(feed(engine, ticks(5, 300)))
    assert list(chunks) == [b"1/5/t-1"]
    assert named_chunks(capture(engine, worker="w")) == set(chunks)


def test_a_long_life_has_few_chunks_and_writes_no_record_often() -> None:
    engine = an_engine()
    chunks = spilled(feed(engine, [event_record(a_start(), 1, T0_MS)]))
    n_events, n_bytes, most = 400, 0, 0
    for seq in range(1, n_events):
        event = event_record(a_decision(seq, reasoning="x" * 2_000), 2 * seq, T0_MS + 200 * seq)
        found = spilled(feed(engine, [event, *ticks(2 * seq + 1, 200 * seq + 150)]))
        chunks |= found
        n_bytes += sum(map(len, found.values()))
        most = max(most, len(engine.lives["t-1"].chunks))
    held = sum(len(kept.value) for kept in engine.lives["t-1"].events)
    assert most <= 8
    assert n_bytes < 20 * held
    names = named_chunks(capture(engine, worker="w"))
    unnamed = {key for _, key in engine.unnamed}
    assert names | unnamed == set(chunks)
    assert not names & unnamed


class _SmallChunks(Engine):
    chunk_bytes = 3000


def test_a_chunk_fits_into_a_message_and_a_large_event_has_one_to_itself() -> None:
    engine = _SmallChunks(PLACE, n_partitions=1, settings=SPILLS)
    sizes = [10, 1_000, 1_000, 9_000, 10]
    events = [a_start(), *(a_decision(i, reasoning="x" * n) for i, n in enumerate(sizes, 1))]
    records = [event_record(event, i, T0_MS) for i, event in enumerate(events, 1)]
    given = feed(engine, [tick_record(0, T0_MS), *records, *ticks(7, 150)])
    held = {key: len(decode_chunk(value).records) for key, value in spilled(given).items()}
    assert held == {b"1/7/t-1": 3, b"4/7/t-1": 1, b"5/7/t-1": 1, b"6/7/t-1": 1}
    assert Engine.chunk_bytes + MAX_EVENT_BYTES < CHUNKS.max_message_bytes / 2


def test_a_spilled_life_is_restored_with_its_rewards_and_closes_as_it_would_have() -> None:
    log = [
        event_record(a_start(), 1, T0_MS),
        event_record(a_reward("r1", "t-1"), 2, T0_MS + 10),
        *ticks(3, 150, 160),
        event_record(a_reward("r2", "t-1"), 5, T0_MS + 170),
    ]
    end = event_record(an_end(1), 6, T0_MS + 180)
    engine = an_engine()
    chunks = spilled(feed(engine, log))
    taken = capture(engine, worker="w")
    assert taken.replay_offset == 5, "a reward that no chunk holds"
    again = restored(taken, dict(chunks))
    assert feed(again, log[-1:]) == []
    assert feed(again, [end]) == feed(engine, [end])
    assert engine.unnamed == again.unnamed == [(7, key) for key in chunks]


def test_a_replay_does_not_join_a_reward_again() -> None:
    log = [
        event_record(a_start(), 1, T0_MS),
        event_record(a_start(t="other"), 2, T0_MS + 40),
        event_record(a_reward("r1", "t-1"), 3, T0_MS + 45),
        *ticks(4, 110),
    ]
    engine = an_engine()
    chunks = spilled(feed(engine, log))
    taken = capture(engine, worker="w")
    assert (taken.replay_offset, list(chunks)) == (2, [b"1/4/t-1"])
    again = restored(taken, chunks)
    feed(again, log[1:])
    assert [entry.reward_id for entry in again.lives["t-1"].rewards] == ["r1"]


def test_restoring_lets_each_chunk_go() -> None:
    engine = an_engine()
    chunks = spilled(feed(engine, [event_record(a_start(), 1, T0_MS), *ticks(2, 50, 100)]))
    restored(capture(engine, worker="w"), chunks)
    assert chunks == {}


# -- what the topics tell


def an_account(n: int, chunks: dict[str, list[tuple[int, int]]] | None = None) -> Progress:
    taken = capture(an_engine(), worker="w")
    return taken.model_copy(update={"next_offset": n, "chunks": chunks or {}})


def test_the_floor_counts_where_a_late_account_took_the_place_of_the_newest() -> None:
    late, floor = (an_account(n).model_dump_json().encode() for n in (5, 9))
    records = [(floor_key(3, 9), floor), (progress_key(3), late)]
    known = known_of(3, records)
    assert known.progress is not None
    assert (known.progress.next_offset, known.floors) == (9, frozenset({9}))
    assert known_of(3, [*records, (floor_key(3, 9), None)]).floors == frozenset()


def test_only_chunks_that_end_before_n_and_have_no_name_are_orphans() -> None:
    keys = [b"0/8/a", b"2/9/b", b"3/10/c", b"4/11/d"]
    assert orphans(keys, an_account(10, {"b": [(2, 9)]})) == [(10, b"0/8/a")]


def test_what_an_older_account_names_is_not_deleted_with_it() -> None:
    unnamed = [(5, b"a"), (9, b"b"), (10, b"c")]
    assert take_deletable(unnamed, 9) == [b"a", b"b"]
    assert unnamed == [(10, b"c")]
