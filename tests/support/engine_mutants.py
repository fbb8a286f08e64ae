"""The engine with one rule broken each: the laws must fail for every one of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from tests.support.engine_runs import RULES, Rules

from ropewalk_schemas.progress import LifeHeader, Progress
from ropewalk_stream_processors.trajectory import account, chains
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.life import NEVER, Life
from ropewalk_stream_processors.trajectory.records import Held, InputRecord, KeptEvent, Moment

MUTANTS: dict[str, Rules] = {}


def _mutant(name: str, rules: Rules) -> None:
    MUTANTS[name] = rules


def _capture(change: Callable[[Engine, Progress], dict[str, Any]]) -> Rules:
    """Rules whose account is changed after it was taken."""

    def capture(engine: Engine) -> Progress:
        taken = RULES.capture(engine)
        return taken.model_copy(update=change(engine, taken))

    return replace(RULES, capture=capture)


def _restore(change: Callable[[Engine, Progress, Any], None]) -> Rules:
    """Rules whose engine is changed after it was restored from an account."""

    def restore(progress: Progress | None, place: Any, **given: Any) -> Engine:
        engine = account.restore(progress, place, **given)
        if progress is not None:
            change(engine, progress, given)
        return engine

    return replace(RULES, restore=restore)


def _engine(engine: type[Engine]) -> Rules:
    return replace(RULES, engine=engine)


# -- S: lives that are over


def _without_those_from_headers(engine: Engine, taken: Progress) -> dict[str, Any]:
    c = taken.replay_offset
    skip = {i: t for i, t in engine.carried_skip.items() if t > c}
    for trajectory_id, first, through, _ in engine.over:
        if first < c < through:
            skip[trajectory_id] = max(through, skip.get(trajectory_id, 0))
    return {"skip": skip}


class _FirstOfPart(Engine):
    def _finish(self, life: Life, why: str) -> None:
        first = life.events[0].offset if life.events else life.begins_at
        super()._finish(life, why)
        trajectory_id, _, through, from_header = self.over[-1]
        self.over[-1] = (trajectory_id, first, through, from_header)


class _DropsOnReturn(Engine):
    def _take_event(self, record: InputRecord, decoded: Any, before: Any) -> None:
        self.carried_skip.pop(decoded.event.trajectory_id, None)
        super()._take_event(record, decoded, before)


def _dropped_at_first(engine: Engine, taken: Progress) -> dict[str, Any]:
    firsts = {over[0]: over[1] for over in engine.over}
    c = taken.replay_offset
    return {"skip": {i: t for i, t in taken.skip.items() if c - firsts.get(i, c) < 20}}


_mutant("S is left out", _capture(lambda _, __: {"skip": {}}))
_mutant("S goes by the first offset of the part", _engine(_FirstOfPart))
_mutant("S entries are dropped when their id returns", _engine(_DropsOnReturn))
_mutant("S entries are dropped before C reaches through", _capture(_dropped_at_first))
_mutant("S leaves out lives restored from H", _capture(_without_those_from_headers))

# -- H: live lives that were cut

FORGOTTEN: dict[str, Any] = {
    "first_offset": 1 << 40,
    "begins_at": 0,
    "part": 0,
    "previous_hash": "",
    "ended": False,
    "status": None,
    "termination": None,
    "error": None,
    "writers": {},
    "handed_to": [],
    "gaps_at": None,
    "idle_at": None,
    "keep_at": None,
    "window_start_us": 0,
    "window_s": 77,
    "last_event_us": 0,
    "kept_calls": [],
    "start": None,
}


def _changed_headers(change: Callable[[LifeHeader], dict[str, Any]]) -> Rules:
    return _capture(lambda _, p: {"headers": [h.model_copy(update=change(h)) for h in p.headers]})


def _forgetting(name: str) -> Rules:
    def change(header: LifeHeader) -> dict[str, Any]:
        if name == "start":
            return {"start": header.start | {"metadata": {}, "goal": None}}
        return {name: FORGOTTEN[name]}

    return _changed_headers(change)


def _headers_now(engine: Engine, _: Progress) -> dict[str, Any]:
    return {"headers": [_header_now(life) for life in engine.lives.values() if life.header]}


def _header_now(life: Life) -> LifeHeader:
    header = cast("LifeHeader", life.header)
    now = life.to_header()
    writers = {
        w: h.model_copy(update={"seen": life.writers[w].seen()}) for w, h in now.writers.items()
    }
    return now.model_copy(update={"writers": writers, "begins_at": header.begins_at})


def _no_skip_of_headers(engine: Engine, progress: Progress, _: Any) -> None:
    engine.skip = dict(progress.skip)


_mutant("H is left out", _capture(lambda _, __: {"headers": []}))
_mutant("H is taken as of N", _capture(_headers_now))
_mutant("events of a cut life below its begin are not skipped", _restore(_no_skip_of_headers))
for _name in FORGOTTEN:
    _mutant(f"H forgets {_name}", _forgetting(_name))
_mutant(
    "H forgets the counts of writers",
    _changed_headers(
        lambda h: {
            "writers": {w: x.model_copy(update={"count": None}) for w, x in h.writers.items()}
        }
    ),
)

# -- clock, broker time and settings just before C

_mutant("the clock is as of N", _capture(lambda e, _: {"clock_ms": e.clock_ms}))
_mutant("broker time is as of N", _capture(lambda e, _: {"broker_ms": e.broker_ms}))
_mutant("settings are as of N", _capture(lambda e, _: {"settings": e.settings}))
_mutant(
    "limits come from configuration, not from the log",
    _restore(lambda engine, _, given: setattr(engine, "settings", given["initial"])),
)

# -- kept bases


def _without_bases(engine: Engine, _: Progress) -> dict[str, Any]:
    """C does not wait for kept bases."""
    point = account.replay_point(engine)
    opens = [held for life in engine.lives.values() if (held := _held_by_events(life))]
    first = min(opens, default=None, key=lambda held: held.offset)
    if first is not None:
        point = first.offset, first.before
    else:
        now = Moment(engine.clock_ms, engine.broker_ms, engine.settings)
        point = engine.next_offset, now
    return _as_of(engine, *point)


def _held_by_events(life: Life) -> Held | None:
    bases, life.bases = life.bases, {}
    held, life.bases = life.held(), bases
    return held


def _used_bases(engine: Engine, _: Progress) -> dict[str, Any]:
    """C waits only for bases that a call of the open part was seen to build on."""
    held: list[KeptEvent] = []
    for life in engine.lives.values():
        held += life.events[life.n_spilled :][:1]
        calls = chains.calls_by_id(life.bases.values(), life.events)
        for kept in life.events:
            if kept.call:
                held += chains.chain(calls, kept.call.call_id) or []
    now = Moment(engine.clock_ms, engine.broker_ms, engine.settings)
    first = min(held, key=lambda kept: kept.offset, default=None)
    return _as_of(engine, *((first.offset, first.before) if first else (engine.next_offset, now)))


def _as_of(engine: Engine, offset: int, before: Moment) -> dict[str, Any]:
    return {
        "replay_offset": offset,
        "clock_ms": before.clock_ms,
        "broker_ms": before.broker_ms,
        "settings": before.settings,
        "skip": account._lives_to_skip(engine, offset),
    }


class _BasesPastIdle(Engine):
    def _cut(self, life: Life, why: str, begins_at: int, *, at_ms: int = 0) -> None:
        calls = chains.calls_by_id(life.bases.values(), life.events)
        super()._cut(life, why, begins_at, at_ms=at_ms)
        if life.trajectory_id in self.lives and why == "idle":
            life.bases = chains.tips(calls, not_before_ms=-NEVER)
            life.kept_calls = frozenset(life.bases)
            life.header = life.to_header()


class _BasesOfAnyAge(Engine):
    def _cut(self, life: Life, why: str, begins_at: int, *, at_ms: int = 0) -> None:
        calls = chains.calls_by_id(life.bases.values(), life.events)
        super()._cut(life, why, begins_at, at_ms=at_ms)
        if life.trajectory_id in self.lives and why != "idle":
            life.bases = chains.tips(calls, not_before_ms=-NEVER)
            life.kept_calls = frozenset(life.bases)
            life.header = life.to_header()


_mutant("kept bases do not hold the replay point", _capture(_without_bases))
_mutant("kept bases hold the replay point only once used", _capture(_used_bases))
_mutant("bases are kept over an idle gap", _engine(_BasesPastIdle))
_mutant("bases are kept whatever their age", _engine(_BasesOfAnyAge))

# -- replay


class _CountsInReplay(Engine):
    def _count(self, fate: str, n: int = 1) -> None:
        self.counts[fate] += n


class _PublishesInReplay(Engine):
    def _live(self) -> bool:
        return True

    def _count(self, fate: str, n: int = 1) -> None:
        if self._at >= self.target:
            self.counts[fate] += n


_mutant("replay counts", _engine(_CountsInReplay))
_mutant("replay publishes", _engine(_PublishesInReplay))
_mutant("accounts are written during a replay", replace(RULES, records_in_replay=True))
_mutant("accounts are written before outputs are flushed", replace(RULES, flush_first=False))
_mutant("records to skip are stored inside the account", replace(RULES, skips_apart=False))

# -- what moves what


class _ThroughOfAccepted(Engine):
    """`through` ignores duplicates and conflicts."""

    def _take_known(self, record: InputRecord, event: Any, known: str) -> None:
        super()._take_known(record, event, known)
        life = self.lives[event.trajectory_id]
        life.through = max([life.begins_at, *(kept.offset + 1 for kept in life.events)])


class _DuplicatesExtend(Engine):
    def _take_known(self, record: InputRecord, event: Any, known: str) -> None:
        super()._take_known(record, event, known)
        life = self.lives[event.trajectory_id]
        life.idle_at = self.clock_ms + self._limits(life).idle_ms


class _RewardsInEmptyParts(Engine):
    def _pass_on(self, record: InputRecord, reward: Any, before: Moment) -> None:
        super()._pass_on(record, reward, before)
        life = self.lives.get(reward.trajectory_id)
        if life is not None and not life.events:
            life.rewards.append(self._write.ledger_entry(record, reward))


class _IdsKeptOverACut(Engine):
    """Event ids of earlier parts are known while the process lives, and forgotten by a restart."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ids: dict[tuple[str, int, str, int], str] = {}

    def _add(self, life: Life, kept: KeptEvent, event: Any) -> None:
        self.ids[life.trajectory_id, life.first, kept.writer, kept.seq] = kept.event_id
        super()._add(life, kept, event)

    def _take_known(self, record: InputRecord, event: Any, known: str) -> None:
        life = self.lives[event.trajectory_id]
        key = (event.trajectory_id, life.first, event.writer, event.seq)
        super()._take_known(record, event, known or self.ids.get(key, ""))


class _WindowsGoBack(Engine):
    def _add(self, life: Life, kept: KeptEvent, event: Any) -> None:
        if not life.events:
            life.window_start_us = None
        super()._add(life, kept, event)


class _OnlyTheEndHandsOver(Engine):
    def _turn(self, life: Life, kept: KeptEvent, event: Any) -> None:
        handed_to = set(life.handed_to)
        super()._turn(life, kept, event)
        if kept.type == "writer_closed":
            life.handed_to = handed_to


class _NobodyHandsOver(Engine):
    def _turn(self, life: Life, kept: KeptEvent, event: Any) -> None:
        super()._turn(life, kept, event)
        life.handed_to = set()


class _TheEndIsEnough(Engine):
    """Final at once when the writers that said a count are there, whoever else was seen."""

    def _add(self, life: Life, kept: KeptEvent, event: Any) -> None:
        super()._add(life, kept, event)
        known = {w: seqs for w, seqs in life.writers.items() if seqs.count is not None}
        if life.start and life.ended and all(seqs.all_there() for seqs in known.values()):
            life.handed_to, life.writers = set(), known


_mutant("through ignores duplicates", _engine(_ThroughOfAccepted))
_mutant("duplicates extend a life", _engine(_DuplicatesExtend))
_mutant("rewards join parts without an event", _engine(_RewardsInEmptyParts))
_mutant("event ids are known over a cut until a restart", _engine(_IdsKeptOverACut))
_mutant("a later part may have an earlier window", _engine(_WindowsGoBack))
_mutant("only the end hands over, not a writer's close", _engine(_OnlyTheEndHandsOver))
_mutant("nobody hands over", _engine(_NobodyHandsOver))
_mutant("writers without a count are not waited for", _engine(_TheEndIsEnough))
