"""Runs of the engine over a log: the pure one, and one with crashes, stale accounts and zombies.

`failure_of` compares them. A mutant passes other `Rules`: then it must find something.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from typing import Any, NamedTuple, cast

from tests.support.engine_logs import N_PARTITIONS, Log, a_log, beside

from ropewalk_schemas.chunks import decode_chunk
from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.published import REWARD_KIND
from ropewalk_schemas.topics import CHUNKS, KIND_HEADER, SETTINGS
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
from ropewalk_stream_processors.deleting import Unnamed, orphans, take_deletable
from ropewalk_stream_processors.trajectory import account, chains
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.life import Life
from ropewalk_stream_processors.trajectory.outputs import Place
from ropewalk_stream_processors.trajectory.records import InputRecord, KeptEvent, Output

PLACE = Place("agent-events", 0, "engine-1")
Seq = tuple[str, int]


@dataclass(frozen=True)
class Rules:
    """What a run is made of; each field a place where a rule can be broken.

    Attributes:
        flush_first: A progress record is written only once all outputs before it are durable.
        records_in_replay: Whether progress records are written before the replay is over.
        chunks_first: Chunks count among the outputs that must be durable before.
        chunks_of: What a restart reads of the chunks that an account names.
        deletes_first: Chunks are deleted as soon as they are not needed.
        floors: An account after which chunks are deleted is stored under a key of its own.
        deletable: Which chunks may go once an account is durable.
        orphans: Which of the chunks found at a restart may go.
        skips_apart: Records to skip are stored under their own keys, not inside the account.
    """

    engine: type[Engine] = Engine
    capture: Callable[[Engine], Progress] = lambda engine: account.capture(engine, worker="w")
    restore: Callable[..., Engine] = account.restore
    flush_first: bool = True
    records_in_replay: bool = False
    skips_apart: bool = True
    chunks_first: bool = True
    chunks_of: Callable[[dict[bytes, bytes]], dict[bytes, bytes]] = dict
    deletes_first: bool = False
    floors: bool = True
    deletable: Callable[[Unnamed, int], list[bytes]] = take_deletable
    orphans: Callable[[Iterable[bytes], Progress], Unnamed] = orphans


RULES = Rules()


class LawBrokenError(Exception):
    """What the engine's contract promises does not hold; the message says what."""


def hold(law: object, otherwise: str) -> None:
    """Raise unless `law` is true."""
    if not law:
        raise LawBrokenError(otherwise)


# -- the pure run


class Told(NamedTuple):
    """One published part, as the engine knew it and as it travels."""

    life: tuple[str, int]
    events: list[Seq]
    seen: dict[str, set[int]]
    counts: dict[str, int | None]
    handed_to: set[str]
    row: Trajectory


class _Watching(Engine):
    """Notes what the engine does; mixed in before the engine under test."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fates: dict[int, str] = {}
        self.told: list[Told] = []
        self.seen: dict[tuple[str, int], dict[str, set[int]]] = {}
        self.at_once: dict[str, dict[str, set[int]]] = {}
        self.stats: Counter[str] = Counter()

    def _settle(self, offset: int, fate: str) -> None:
        hold(offset not in self.fates, f"{offset} is {fate} and {self.fates.get(offset)}")
        self.fates[offset] = fate

    def _count(self, fate: str, n: int = 1) -> None:
        super()._count(fate, n)
        if fate in ("duplicate", "ledger"):
            self._settle(self._at, fate)

    def _refuse(self, record: InputRecord, refusal: Any) -> None:
        super()._refuse(record, refusal)
        self.stats[f"refused {refusal.reason}"] += 1
        self._settle(record.offset, "quarantined")

    def _add(self, life: Life, kept: KeptEvent, event: Any) -> None:
        twice = kept.seq in self._seen(life).get(kept.writer, ())
        hold(not twice, f"{kept.writer} {kept.seq} is accepted twice")
        if final := self.at_once.get(life.trajectory_id):
            late = f"{life.trajectory_id} was final at once, yet {kept.writer} {kept.seq} is new"
            hold(kept.seq in final.get(kept.writer, ()), late)
        self._seen(life).setdefault(kept.writer, set()).add(kept.seq)
        super()._add(life, kept, event)

    def _seen(self, life: Life) -> dict[str, set[int]]:
        return self.seen.setdefault((life.trajectory_id, life.first), {})

    def _finish(self, life: Life, why: str) -> None:
        if why == "ended":
            self.at_once[life.trajectory_id] = self._seen(life)
        elif why == "keep":
            self.stats["kept for nothing"] += 1
        if life.start is not None and life.part and not life.events:
            self.stats["empty last part"] += why != "keep"
        super()._finish(life, why)

    def _publish(self, life: Life, why: str, *, last: bool) -> None:
        for kept in life.events:
            self._settle(kept.offset, "assembled")
        self._note_calls(life)
        self.stats[f"closed by {why}"] += 1
        self.stats["later part"] += life.part > 0
        self.stats["part with rewards"] += bool(life.rewards)
        super()._publish(life, why, last=last)
        self.told.append(
            Told(
                (life.trajectory_id, life.first),
                [(kept.writer, kept.seq) for kept in life.events],
                {writer: set(seqs) for writer, seqs in self._seen(life).items()},
                {writer: seqs.count for writer, seqs in life.writers.items()},
                set(life.handed_to),
                row_of(self.outputs[-1]),
            )
        )

    def _note_calls(self, life: Life) -> None:
        calls = chains.calls_by_id(life.bases.values(), life.events)
        for kept in life.events:
            if kept.call and kept.call.base_call:
                links = chains.chain(calls, kept.call.call_id)
                self.stats["delta without its base" if links is None else "delta"] += 1
                before = [link for link in links or () if link.offset < life.begins_at]
                self.stats["delta on a base kept over a cut"] += bool(before)

    def note_spills(self, given: list[Output]) -> None:
        for output in given:
            if output.topic == CHUNKS.name:
                chunk = decode_chunk(output.value or b"")
                self.stats["chunks"] += 1
                self.stats["chunks with rewards"] += any(r.is_reward for r in chunk.records)
                headless = chunk.header and not parse_json(chunk.header)["started"]
                self.stats["spilled headless"] += bool(headless)
        for life in self.lives.values():
            self.stats["bases in chunks"] += bool(life.chunks and life.header)
            self.stats["reward holds"] += life.held_reward is not None
            self.stats["several chunks"] += len(life.chunks) > 1


def row_of(output: Output) -> Trajectory:
    """A published part, as the contract's own model reads it."""
    return Trajectory.model_validate_json(output.value or b"")


@dataclass
class Pure:
    """What the uncrashed run gave.

    Attributes:
        outputs: What each record caused, in order, by its offset.
        accounts: The account by its next offset, after every record.
    """

    outputs: dict[int, list[Output]]
    accounts: dict[int, Progress]
    engine: _Watching

    @property
    def stats(self) -> Counter[str]:
        return self.engine.stats


def never_spilling(engine: type[Engine]) -> type[Engine]:
    """The same engine, but it spills nothing."""
    return type("NeverSpilling", (engine,), {"_spill_oldest": lambda *_: None})


def hold_spilling_changes_nothing(pure: Pure, log: Log, rules: Rules) -> None:
    """Whether, when and how often is spilled shows in no output and no count."""
    poison = frozenset(entry.record.offset for entry in log.entries if entry.poison)
    engine = _restored(None, log, rules, poison, never_spilling(rules.engine))
    for record, _ in log.entries:
        engine.apply(record)
        given = [o for o in pure.outputs[record.offset] if o.topic != CHUNKS.name]
        hold(
            given == engine.outputs, f"spilling at {record.offset}: {_only(given, engine.outputs)}"
        )
        engine.outputs = []
        counts = pure.accounts[engine.next_offset].counts
        hold(counts == rules.capture(engine).counts, f"spilling at {record.offset}: counts differ")


def _hold_what_holds_too_long_is_spilled(
    now: Progress, record: InputRecord, engine: Engine, given: list[Output]
) -> None:
    """As long as something holds the replay point too far and too long, every record spills."""
    settings = engine.settings
    if not settings.spill_ms or record.control() == SETTINGS:
        return
    far = now.replay_offset + max(settings.spill_records, 1) <= record.offset
    long = now.clock_ms + settings.spill_ms <= engine.clock_ms
    if far and long:
        spilled = any(output.topic == CHUNKS.name for output in given)
        hold(spilled, f"at {record.offset} C stays at {now.replay_offset}, and nothing is spilled")


def pure_run(log: Log, rules: Rules = RULES) -> Pure:
    """The whole log without a crash; every law that needs no crash is held here."""
    poison = frozenset(entry.record.offset for entry in log.entries if entry.poison)
    watching = cast("type[_Watching]", type("Watching", (_Watching, rules.engine), {}))
    engine = cast("_Watching", _restored(None, log, rules, poison, watching))
    settings = list(log.all_settings())
    limits = [m for s in settings for m in (s.default, *s.projects.values())]
    held_at_most = (
        2 * max(m.duration_ms for m in limits)
        + max(m.idle_ms for m in limits)
        + max(s.cap_ms for s in settings)
    )
    before = rules.capture(engine)
    accounts = {before.next_offset: before}
    outputs: dict[int, list[Output]] = {}
    for record, _ in log.entries:
        if record.key is not None and record.key.decode(errors="replace") in log.resent:
            engine.at_once.pop(record.key.decode(), None)  # sent again: new events may come
        engine.apply(record)
        outputs[record.offset], engine.outputs = engine.outputs, []
        engine.note_spills(outputs[record.offset])
        now = rules.capture(engine)
        _hold_what_holds_too_long_is_spilled(now, record, engine, outputs[record.offset])
        hold(now.replay_offset >= before.replay_offset, "the replay point goes back")
        # Before the first record there is no clock.
        held = engine.clock_ms - now.clock_ms if now.clock_ms else 0
        hold(held <= held_at_most, f"the replay point is held for {held} > {held_at_most} ms")
        hold(now.counts.balanced(open_events=now.open_events), "the account does not balance")
        accounts[now.next_offset] = before = now
    _hold_every_event_has_one_fate(engine)
    _hold_the_parts_of_a_life_fit(engine.told)
    for output in chain.from_iterable(outputs.values()):
        if output.headers == ((KIND_HEADER, REWARD_KIND),):
            LedgerEntry.model_validate_json(output.value or b"")
    return Pure(outputs, accounts, engine)


def _with_small_chunks(engine: type[Engine]) -> type[Engine]:
    """The same engine, to which a few events are much."""
    return type(engine.__name__, (engine,), {"chunk_bytes": 1500, "small_bytes": 300})


def _restored(
    progress: Progress | None,
    log: Log,
    rules: Rules,
    poison: Iterable[int],
    engine_type: type[Engine] | None = None,
    chunks: dict[bytes, bytes] | None = None,
) -> Engine:
    return rules.restore(
        progress,
        PLACE,
        n_partitions=N_PARTITIONS,
        initial=log.initial,
        poison=frozenset(poison),
        chunks=chunks,
        engine_type=_with_small_chunks(engine_type or rules.engine),
    )


def _hold_every_event_has_one_fate(engine: _Watching) -> None:
    still_open = {kept.offset for life in engine.lives.values() for kept in life.events}
    hold(not still_open & set(engine.fates), "an open event has a fate already")
    known = len(engine.fates) + len(still_open)
    hold(known == engine.counts["received"], "a received record has no fate")


def _hold_the_parts_of_a_life_fit(told: list[Told]) -> None:
    before: dict[tuple[str, int], Told] = {}
    for one in told:
        row, previous = one.row, before.get(one.life)
        name = f"{row.trajectory_id} part {row.part}"
        hold(row.part == (previous.row.part + 1 if previous else 0), f"{name} is out of turn")
        if previous:
            hold(not previous.row.last, f"{name} follows the last part")
            hold(row.previous_hash == previous.row.content_hash, f"{name} does not fit")
            hold(row.window_start >= previous.row.window_start, f"{name}: the window goes back")
        _hold_the_spans_are_true(one, name)
        before[one.life] = one


def _hold_the_spans_are_true(one: Told, name: str) -> None:
    """Each event is in exactly one part: the spans of a part hold its events and no others."""
    row, held, missing = one.row, set[Seq](), set[Seq]()
    for span in row.writers:
        lost = {(span.writer, seq) for seq in span.missing}
        held |= {(span.writer, seq) for seq in range(span.from_seq, span.to_seq + 1)} - lost
        missing |= lost
    hold(held == set(one.events), f"{name}: spans tell of {held}, it holds {one.events}")
    hold(row.n_missing == len(missing), f"{name}: n_missing is wrong")
    if row.last:
        writers = set(one.seen) | one.handed_to
        # A writer may have counted fewer than it sent: what it sent is there all the same.
        ends = {w: max(one.counts.get(w) or 0, max(one.seen.get(w, {-1})) + 1) for w in writers}
        lost = {(w, q) for w in writers for q in range(ends[w]) if q not in one.seen.get(w, ())}
        hold(missing == lost, f"{name}: missing is {missing}, not {lost}")
        complete = not lost and all(one.counts.get(w) is not None for w in writers)
        hold(row.complete == complete, f"{name}: complete is wrong")


# -- a run with crashes


class _Crash(Exception):  # noqa: N818 - what happens, not what is wrong
    pass


class Account(NamedTuple):
    """An account as stored; `floor` when it stands under a key of its own."""

    next_offset: int
    value: str
    skips: frozenset[int]
    floor: bool = False


@dataclass
class World:
    """What outlives a process: the log, what was published, the accounts, the records to skip.

    `chunks` holds the newest value of each key, as a reader of the topic finds it.
    """

    log: Log
    rules: Rules
    pure: Pure
    r: Random
    published: set[Output] = field(default_factory=set)
    accounts: list[Account] = field(default_factory=list)
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    skips: set[int] = field(default_factory=set)
    stats: Counter[str] = field(default_factory=Counter)
    crashiness: float = 0.1

    def __post_init__(self) -> None:
        self.beside = beside(self.r)

    def found(self, *, newest: bool) -> tuple[Progress | None, frozenset[int]]:
        """The account a process starts from, and the skips beside it.

        What reads slowly may find that chunks its account names are gone; then it reads again.
        """
        if not newest and self.accounts:
            chosen = self.r.choice([*self.accounts, None])
            if chosen is None:
                return None, frozenset()
            progress = Progress.model_validate_json(chosen.value)
            if account.named_chunks(progress) <= self.chunks.keys():
                return progress, chosen.skips
            self.stats["stale accounts whose chunks are gone"] += 1
        if not self.accounts:
            return None, frozenset()
        best = max(self.accounts, key=lambda a: a.next_offset)
        progress = Progress.model_validate_json(best.value)
        gone = account.named_chunks(progress) - self.chunks.keys()
        hold(not gone, f"chunks that the newest account names are gone: {gone}")
        return progress, best.skips

    def publish(self, output: Output) -> None:
        self.published.add(output)
        if output.topic == CHUNKS.name:
            key, value = output.key or b"", output.value or b""
            hold(self.chunks.get(key, value) == value, f"two chunks have the key {key!r}")
            self.chunks[key] = value

    def delete_floors(self, below: set[int]) -> None:
        self.accounts = [a for a in self.accounts if not a.floor or a.next_offset not in below]

    def compact(self) -> None:
        """Of each key only the newest record stays."""
        own = [a for a in self.accounts if not a.floor]
        self.accounts = [a for a in self.accounts if a.floor] + own[-1:]


class _Process:
    """One worker's life after life on one partition, in steps that a crash may come between."""

    def __init__(self, world: World, *, newest: bool = True) -> None:
        self.world = world
        self.start(newest=newest)

    def start(self, *, newest: bool) -> None:
        world = self.world
        self.account, skips = world.found(newest=newest)
        named = account.named_chunks(self.account) if self.account else set()
        held = world.rules.chunks_of({key: world.chunks[key] for key in named})
        poison = world.skips if world.rules.skips_apart else skips
        self.engine = _restored(self.account, world.log, world.rules, poison, chunks=held)
        if self.account:
            self.engine.unnamed += world.rules.orphans(world.chunks, self.account)
            world.stats["orphans"] += len(self.engine.unnamed)
        self.at = 0
        while (
            self.at < len(world.log.entries)
            and world.log.entries[self.at].record.offset < self.engine.next_offset
        ):
            self.at += 1
        self.pending: Account | None = None
        self.unflushed = 0
        self.deleting: list[bytes] = []
        self.floors = {a.next_offset for a in world.accounts if a.floor}
        # Perhaps new code, that would not fail again on what was poison.
        self.fixed = frozenset(world.skips if world.r.random() < 0.5 else ())
        self.replaying = self.account is not None
        if self.account:
            if self.engine.next_offset == self.account.next_offset:
                self._replayed(self.account)
            self._note_restored(self.account)

    def _note_restored(self, account: Progress) -> None:
        stats = self.world.stats
        stats["restored"] += 1
        stats["restored with lives to skip"] += bool(account.skip)
        stats["restored with headers"] += bool(account.headers)
        stats["restored with chunks"] += bool(account.chunks)
        stats["restored with kept bases"] += any(h.kept_calls for h in account.headers)

    @property
    def idle(self) -> bool:
        """Whether all is applied and flushed."""
        done = self.at == len(self.world.log.entries)
        pending = self.engine.outputs or self.deleting or self.pending is not None
        return done and not pending

    def step(self) -> None:
        if self.deleting and self.world.beside.random() < 0.1:
            self._delete_one()
        x, r = self.world.r.random(), self.world.r
        if x < 0.5:
            self._apply()
        elif x < 0.75:
            self._flush_one()
        elif x < 0.85:
            self._capture()
        elif x < 0.95:
            self._write()
        elif r.random() < self.world.crashiness:
            self.world.stats["crashes"] += 1
            self.start(newest=r.random() < 0.7)

    def finish(self) -> None:
        """Go on to the end of the log without a crash of its own."""
        while not self.idle:
            self._apply()
            while self.engine.outputs:
                self._flush_one()
            self._write()
            while self.deleting:
                self._delete_one()

    def _apply(self) -> None:
        world = self.world
        if self.at == len(world.log.entries):
            return
        record, poison = world.log.entries[self.at]
        if poison and record.offset not in self.engine.poison | self.fixed:
            world.skips.add(record.offset)  # the third crash: stored before the restart
            world.stats["poisoned"] += 1
            self.start(newest=True)
            return
        n_before = len(self.engine.outputs)
        self.engine.apply(record)
        given = self.engine.outputs[n_before:]
        wanted = world.pure.outputs[record.offset] if record.offset >= self.engine.target else []
        hold(given == wanted, f"at {record.offset}: published {_only(given, wanted)}")
        self.at += 1
        if self.replaying and self.account and self.engine.next_offset >= self.account.next_offset:
            self._replayed(self.account)

    def _replayed(self, account: Progress) -> None:
        """What a replay ends with is what the account said."""
        self.replaying = False
        for name, now in (
            ("open events", (self.engine.open_events, account.open_events)),
            ("open trajectories", (len(self.engine.lives), account.open_trajectories)),
            ("clock", (self.engine.clock_ms, account.clock_at_next_ms)),
            ("broker time", (self.engine.broker_ms, account.watermark_ms)),
        ):
            hold(now[0] == now[1], f"after a replay: {name} {now[0]} is not {now[1]}")

    def _flush_one(self) -> None:
        if self.engine.outputs:
            self.world.publish(self.engine.outputs.pop(0))
            self.unflushed = max(0, self.unflushed - 1)

    def _delete_one(self) -> None:
        if self.deleting:
            self.world.chunks.pop(self.deleting.pop(0), None)
            self.world.stats["deleted"] += 1

    def _capture(self) -> None:
        engine, rules = self.engine, self.world.rules
        if self.pending is None and (
            engine.next_offset >= engine.target or rules.records_in_replay
        ):
            progress = rules.capture(engine)
            value = progress.model_dump_json()
            self.pending = Account(progress.next_offset, value, engine.poison)
            waited = [o for o in engine.outputs if rules.chunks_first or o.topic != CHUNKS.name]
            self.unflushed = len(waited) if rules.flush_first else 0
            if rules.deletes_first:
                self.deleting += rules.deletable(engine.unnamed, progress.next_offset)

    def _write(self) -> None:
        if self.pending is None or self.unflushed:
            return
        written, self.pending = self.pending, None
        self.world.accounts.append(written)
        self.world.stats["accounts"] += 1
        self._floor(written)
        progress = Progress.model_validate_json(written.value)
        hold(
            progress.counts.balanced(open_events=progress.open_events),
            "a written account does not balance",
        )
        pure = self.world.pure.accounts.get(progress.next_offset)
        hold(pure is not None, "an account stands where no record ends")
        now, then = _function_of_the_log(progress), _function_of_the_log(cast("Progress", pure))
        differing = [name for name in now if now[name] != then[name]]
        hold(not differing, f"accounts at {progress.next_offset} differ in {differing}")

    def _floor(self, written: Account) -> None:
        """Perhaps now is the time to delete what no account beyond this one needs."""
        world, rules = self.world, self.world.rules
        if not self.engine.unnamed or world.beside.random() < 0.5:
            return
        n = written.next_offset
        if rules.floors:
            world.accounts.append(written._replace(floor=True))
        self.deleting += rules.deletable(self.engine.unnamed, n)
        world.delete_floors({floor for floor in self.floors if floor < n})
        self.floors = {floor for floor in self.floors if floor >= n} | {n}


def _function_of_the_log(progress: Progress) -> dict[str, object]:
    """What of an account follows from the log alone: all but what only replays of it need."""
    fields = {name: getattr(progress, name) for name in type(progress).model_fields}
    del fields["skip"]
    return fields | {"headers": {header.trajectory_id: header for header in progress.headers}}


def crashed_run(log: Log, pure: Pure, r: Random, rules: Rules) -> World:
    """Crashes at any point, the newest or a stale account, and perhaps a zombie beside."""
    world = World(log, rules, pure, r, crashiness=r.choice([0.1, 0.4, 0.8]))
    with_zombie, compacting = r.random() < 0.4, world.beside.random() < 0.5
    processes = [_Process(world)]
    for _ in range(6 * len(log.entries) + 300):
        if with_zombie and len(processes) == 1 and world.accounts and r.random() < 0.01:
            processes.append(_Process(world, newest=False))
            world.stats["zombies"] += 1
        r.choice(processes).step()
        if compacting and world.chunks and world.beside.random() < 0.05:
            world.compact()
        if processes[0].idle and r.random() < 0.02:
            break
    processes[0].finish()
    return world


# -- one case


def failure_of(
    seed: int,
    size: float = 1.0,
    *,
    rules: Rules = RULES,
    log: Log | None = None,
    stats: Counter[str] | None = None,
    spills: bool = True,
) -> str | None:
    """What goes wrong in one case, or None."""
    r = Random(seed)
    log = log or a_log(r, size, spills=spills)
    try:
        pure = pure_run(log, rules)
        hold_spilling_changes_nothing(pure, log, rules)
        world = crashed_run(log, pure, r, rules)
    except LawBrokenError as broken:
        return str(broken)
    if stats is not None:
        stats.update(pure.stats + world.stats + Counter(cases=1, records=len(log.entries)))
        stats["received"] += pure.engine.counts["received"]
        stats["duplicates"] += pure.engine.counts["duplicate"]
    lost = set(chain.from_iterable(pure.outputs.values())) - world.published
    return f"never published: {str(min(map(str, lost)))[:1500]}" if lost else None


def _only(given: list[Output], wanted: list[Output]) -> str:
    extra = [output for output in given if output not in wanted]
    lost = [output for output in wanted if output not in given]
    return f"not by the pure run {extra} / only by the pure run {lost}"[:4000]


def shortened(log: Log, fails: Callable[[Log], object]) -> Log:
    """A smaller log that still fails: records are left out as long as it does."""
    step = len(log.entries) // 2
    while step:
        at = 0
        while at < len(log.entries):
            less = Log(log.initial, log.entries[:at] + log.entries[at + step :], log.resent)
            if fails(less):
                log = less
            else:
                at += step
        step //= 2
    return log
