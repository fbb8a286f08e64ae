"""Spilling with one rule broken each: the laws must fail for every one of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.support.engine_mutants import FORGOTTEN
from tests.support.engine_runs import RULES, Rules

from ropewalk_schemas.chunks import Chunk, ChunkRecord, Span, decode_chunk, encode_chunk
from ropewalk_schemas.encoding import parse_json, to_json
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.topics import CHUNKS
from ropewalk_stream_processors.deleting import Unnamed
from ropewalk_stream_processors.trajectory import account
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.life import Life
from ropewalk_stream_processors.trajectory.records import InputRecord, Moment

SPILL_MUTANTS: dict[str, Rules] = {}


def _mutant(name: str, rules: Rules) -> None:
    SPILL_MUTANTS[name] = rules


def _engine(engine: type[Engine]) -> Rules:
    return replace(RULES, engine=engine)


def _capture(change: Callable[[Engine, Progress], dict[str, Any]]) -> Rules:
    def capture(engine: Engine) -> Progress:
        taken = RULES.capture(engine)
        return taken.model_copy(update=change(engine, taken))

    return replace(RULES, capture=capture)


# -- order

_mutant("an account is written before its chunks are flushed", replace(RULES, chunks_first=False))
_mutant("chunks are deleted before the account without them", replace(RULES, deletes_first=True))
_mutant("chunks are deleted without a floor", replace(RULES, floors=False))


def _whenever(unnamed: Unnamed, _: int) -> list[bytes]:
    taken = [key for _, key in unnamed]
    unnamed.clear()
    return taken


def _all_unknown(keys: Any, progress: Progress) -> Unnamed:
    named = account.named_chunks(progress)
    return [(progress.next_offset, key) for key in sorted(keys) if key not in named]


_mutant(
    "chunks are deleted that an account of this N still names", replace(RULES, deletable=_whenever)
)
_mutant("chunks beyond N are deleted at a restart", replace(RULES, orphans=_all_unknown))


# -- what an account says


def _half_named(_: Engine, taken: Progress) -> dict[str, Any]:
    return {"chunks": {i: spans[1:] or spans for i, spans in taken.chunks.items()}}


_mutant("an account names no chunks", _capture(lambda *_: {"chunks": {}}))
_mutant("an account leaves out the oldest of several chunks", _capture(_half_named))


class _NamedLater(Engine):
    """C passes what is spilled an account before the chunks are named."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before: dict[str, list[Span]] = {}


def _named_later(engine: Engine, taken: Progress) -> dict[str, Any]:
    assert isinstance(engine, _NamedLater)
    before, engine.before = engine.before, {i: list(spans) for i, spans in taken.chunks.items()}
    return {"chunks": {i: before.get(i, []) for i in taken.chunks if before.get(i)}}


_mutant("C passes before the chunks are named", replace(_capture(_named_later), engine=_NamedLater))


# -- what chunks hold


def _chunks(change: Callable[[Chunk], Chunk]) -> Rules:
    def chunks_of(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
        changed = {key: change(decode_chunk(value)) for key, value in found.items()}
        return {key: encode_chunk(c.records, c.header) for key, c in changed.items()}

    return replace(RULES, chunks_of=chunks_of)


def _header(**changes: Any) -> Rules:
    def change(chunk: Chunk) -> Chunk:
        if not chunk.header:
            return chunk
        return Chunk(1, to_json({**parse_json(chunk.header), **changes}), chunk.records)

    return _chunks(change)


def _records(keep: Callable[[ChunkRecord], bool]) -> Rules:
    return _chunks(lambda c: Chunk(1, c.header, [r for r in c.records if keep(r)]))


def _each(**changes: Any) -> Rules:
    def changed(record: ChunkRecord) -> ChunkRecord:
        values = {name: getattr(record, name) for name in ChunkRecord.__struct_fields__}
        return ChunkRecord(**{**values, **changes})

    return _chunks(lambda c: Chunk(1, c.header, [changed(r) for r in c.records]))


_FORGOTTEN: dict[str, Any] = {
    **{name: v for name, v in FORGOTTEN.items() if name not in {"writers", "keep_at", "start"}},
    "window_at": None,
    "duration_at": None,
    "part_started_us": 0,
    "weight": 0,
    "project": "forgotten",
}
for _name, _value in _FORGOTTEN.items():
    _mutant(f"a chunk's header forgets {_name}", _header(**{_name: _value}))


class _HeaderOfTheCut(Engine):
    """The header in a chunk is the one of the last cut, as of C rather than of N."""

    def _spill(self, life: Life, to: int) -> None:
        header = life.header
        super()._spill(life, to)
        if header is not None:
            last = self.outputs[-1]
            records = decode_chunk(last.value or b"").records
            value = encode_chunk(records, header.model_dump_json().encode())
            self.outputs[-1] = last._replace(value=value)


_mutant("a chunk's header is as of the last cut", _engine(_HeaderOfTheCut))
_mutant("chunks lose the newest record", _chunks(lambda c: Chunk(1, c.header, c.records[:-1])))
_mutant("chunks lose rewards", _records(lambda record: not record.is_reward))
_mutant("chunks lose the clock of bases", _each(clock_ms=-(1 << 50)))
_mutant("chunks lose append times and headers", _each(timestamp_ms=0, headers=()))


class _NoBases(Engine):
    def _spill(self, life: Life, to: int) -> None:
        bases, life.bases = life.bases, {}
        super()._spill(life, to)
        life.bases = bases


class _BasesReleased(Engine):
    def _release(self, life: Life, *, needed: Any) -> None:
        super()._release(life, needed=())


_mutant("chunks lose bases", _engine(_NoBases))
_mutant("chunks of kept bases go at a cut", _engine(_BasesReleased))


# -- replay


class _RewardsHoldNothing(Engine):
    def _pass_on(self, record: InputRecord, reward: Any, before: Moment) -> None:
        super()._pass_on(record, reward, before)
        life = self.lives.get(reward.trajectory_id)
        if life is not None:
            life.held_reward = None


class _RewardsTwice(Engine):
    def _pass_on(self, record: InputRecord, reward: Any, before: Moment) -> None:
        skip, self.skip = self.skip, {}
        super()._pass_on(record, reward, before)
        self.skip = skip


def _no_skip(progress: Progress | None, place: Any, **given: Any) -> Engine:
    engine = account.restore(progress, place, **given)
    if progress is not None:
        engine.skip = {i: to for i, to in engine.skip.items() if i not in progress.chunks}
    return engine


_mutant("rewards that no chunk holds do not hold C", _engine(_RewardsHoldNothing))
_mutant("a replay joins rewards that chunks hold", _engine(_RewardsTwice))
_mutant("a replay takes events that chunks hold", replace(RULES, restore=_no_skip))


# -- when


class _SinceTheStart(Engine):
    """What is spilled depends on when the process started."""

    n_taken = 0

    def apply(self, record: InputRecord) -> None:
        self.n_taken += 1
        super().apply(record)

    def _spill_oldest(self, offset: int) -> None:
        if self.n_taken > 5:
            super()._spill_oldest(offset)


class _HeldForEver(Engine):
    """What comes after a spill is never spilled."""

    def _spill_oldest(self, offset: int) -> None:
        life = self._holding.settle(self.lives)
        if life is not None and not life.chunks:
            super()._spill_oldest(offset)


class _LetsGo(Engine):
    """What is spilled leaves the open part."""

    def _spill(self, life: Life, to: int) -> None:
        super()._spill(life, to)
        life.events, life.n_spilled = [], 0


class _AnyContent(Engine):
    """A chunk's content depends on the process that writes it."""

    def _spill(self, life: Life, to: int) -> None:
        super()._spill(life, to)
        last = self.outputs[-1]
        if last.topic == CHUNKS.name and self.target:
            header = decode_chunk(last.value or b"").header + b" "
            records = decode_chunk(last.value or b"").records
            self.outputs[-1] = last._replace(value=encode_chunk(records, header))


_mutant("when is spilled depends on the process", _engine(_SinceTheStart))
_mutant("only the first part of a life is ever spilled", _engine(_HeldForEver))
_mutant("spilled events leave the open part", _engine(_LetsGo))
_mutant("two owners write other chunks", _engine(_AnyContent))
