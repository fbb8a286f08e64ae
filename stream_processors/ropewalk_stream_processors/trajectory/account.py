"""The account of a partition: what a progress record says, and an engine made from one."""

from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from typing import cast

from ropewalk_schemas.chunks import chunk_key, decode_chunk
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.progress import Counts, LifeHeader, Progress
from ropewalk_schemas.reasons import Reason
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.life import Life
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import Moment
from ropewalk_stream_processors.trajectory.refilling import refill

_QUARANTINED = "quarantined "


def capture(engine: Engine, *, worker: str) -> Progress:
    """The account as of `engine.next_offset`.

    It may be written once every output up to here is durable, and never while replaying.
    """
    replay_offset, before = replay_point(engine)
    return Progress(
        engine_version=engine.place.engine_version,
        worker=worker,
        partition=engine.place.partition,
        replay_offset=replay_offset,
        next_offset=engine.next_offset,
        clock_ms=before.clock_ms,
        broker_ms=before.broker_ms,
        settings=before.settings,
        skip=_lives_to_skip(engine, replay_offset),
        headers=[life.header for life in engine.lives.values() if life.header is not None],
        chunks={life.trajectory_id: life.chunks for life in engine.lives.values() if life.chunks},
        counts=_counts(engine.counts),
        open_events=engine.open_events,
        open_trajectories=len(engine.lives),
        clock_at_next_ms=engine.clock_ms,
        watermark_ms=engine.broker_ms,
    )


def replay_point(engine: Engine) -> tuple[int, Moment]:
    """Where a restart must read from, and clock and settings just before.

    The smallest of: the first offset of every open part, every kept base, the next offset; what
    chunks hold aside.
    """
    point = engine.next_offset, Moment(engine.clock_ms, engine.broker_ms, engine.settings)
    for life in engine.lives.values():
        held = life.held()
        if held is not None and held.offset < point[0]:
            point = held
    return point


def _lives_to_skip(engine: Engine, replay_offset: int) -> dict[str, int]:
    """Lives that are over but whose events a replay from here would meet again.

    An entry stays until the replay point has passed its `through`.
    """
    engine.carried_skip = {i: t for i, t in engine.carried_skip.items() if t > replay_offset}
    engine.over = [over for over in engine.over if over[2] > replay_offset]
    skip = dict(engine.carried_skip)
    for trajectory_id, first, through, from_header in engine.over:
        if first < replay_offset or from_header:
            skip[trajectory_id] = max(through, skip.get(trajectory_id, 0))
    return skip


def _counts(counts: Counter[str]) -> Counts:
    return Counts(
        received=counts["received"],
        assembled=counts["assembled"],
        ledger=counts["ledger"],
        duplicate=counts["duplicate"],
        quarantined={
            cast("Reason", fate.removeprefix(_QUARANTINED)): n
            for fate, n in sorted(counts.items())
            if fate.startswith(_QUARANTINED)
        },
    )


def restore(
    progress: Progress | None,
    place: Place,
    *,
    n_partitions: int,
    initial: Settings,
    poison: frozenset[int] = frozenset(),
    chunks: MutableMapping[bytes, bytes] | None = None,
    engine_type: type[Engine] = Engine,
) -> Engine:
    """An engine that goes on where `progress` stands; the caller feeds it from `next_offset`.

    Args:
        progress: The newest account; None starts at the log's begin.
        place: Input topic, partition and code version.
        n_partitions: How many the input topic has.
        initial: Settings in force before the log says any.
        poison: Offsets to quarantine unseen.
        chunks: What `progress` names of the topic `chunks`; each is let go once it is decoded.
        engine_type: What to make; tests break or watch single rules in a subclass.

    Raises:
        KeyError: If a chunk is not given.
        DecodeError: If a chunk cannot be read.
    """
    if progress is None:
        engine = engine_type(place, n_partitions=n_partitions, settings=initial)
        engine.poison = poison
        return engine
    engine = engine_type(place, n_partitions=n_partitions, settings=progress.settings)
    engine.poison = poison
    engine.next_offset, engine.target = progress.replay_offset, progress.next_offset
    engine.clock_ms, engine.broker_ms = progress.clock_ms, progress.broker_ms
    engine.counts = _counter(progress.counts)
    engine.carried_skip = dict(progress.skip)
    engine.skip = dict(progress.skip)
    for life in _lives(progress, {} if chunks is None else chunks):
        engine.restore_life(life)
        engine.skip[life.trajectory_id] = max(life.through, engine.skip.get(life.trajectory_id, 0))
    return engine


def named_chunks(progress: Progress) -> set[bytes]:
    """Keys of the chunks that an account needs."""
    return {chunk_key(i, span) for i, spans in progress.chunks.items() for span in spans}


def _lives(progress: Progress, chunks: MutableMapping[bytes, bytes]) -> Iterator[Life]:
    """The lives that headers tell of, with what their chunks hold."""
    cut = {header.trajectory_id: header for header in progress.headers}
    for trajectory_id in {**cut, **progress.chunks}:
        spans = progress.chunks.get(trajectory_id, [])
        held = [decode_chunk(chunks.pop(chunk_key(trajectory_id, span))) for span in spans]
        header = cut.get(trajectory_id) or LifeHeader.model_validate_json(held[-1].header)
        life = Life.from_header_record(header)
        if header is not cut.get(trajectory_id):
            life.through = spans[-1][1]
        else:
            life.header = header
        refill(life, spans, held, progress.settings)
        yield life


def _counter(counts: Counts) -> Counter[str]:
    whole: Mapping[str, int] = counts.model_dump(exclude={"quarantined"})
    refused = {f"{_QUARANTINED}{reason}": n for reason, n in counts.quarantined.items()}
    return Counter({**whole, **refused})
