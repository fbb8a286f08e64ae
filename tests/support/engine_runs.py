"""Runs of the engine over a log: the pure one, and one with crashes, stale accounts and zombies.

`failure_of` compares them. A mutant passes other `Rules`: then it must find something.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from typing import Any, NamedTuple, cast

from tests.support.engine_logs import N_PARTITIONS, Log, a_log

from ropewalk_schemas.progress import Progress
from ropewalk_schemas.published import REWARD_KIND
from ropewalk_schemas.topics import KIND_HEADER
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
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
        skips_apart: Records to skip are stored under their own keys, not inside the account.
    """

    engine: type[Engine] = Engine
    capture: Callable[[Engine], Progress] = lambda engine: account.capture(engine, worker="w")
    restore: Callable[..., Engine] = account.restore
    flush_first: bool = True
    records_in_replay: bool = False
    skips_apart: bool = True


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
        now = rules.capture(engine)
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


def _restored(
    progress: Progress | None,
    log: Log,
    rules: Rules,
    poison: Iterable[int],
    engine_type: type[Engine] | None = None,
) -> Engine:
    return rules.restore(
        progress,
        PLACE,
        n_partitions=N_PARTITIONS,
        initial=log.initial,
        poison=frozenset(poison),
        engine_type=engine_type or rules.engine,
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


@dataclass
class World:
    """What outlives a process: the log, what was published, the accounts, the records to skip."""

    log: Log
    rules: Rules
    pure: Pure
    r: Random
    published: set[Output] = field(default_factory=set)
    accounts: list[tuple[int, int, str, frozenset[int]]] = field(default_factory=list)
    skips: set[int] = field(default_factory=set)
    stats: Counter[str] = field(default_factory=Counter)
    crashiness: float = 0.1


class _Process:
    """One worker's life after life on one partition, in steps that a crash may come between."""

    def __init__(self, world: World, *, newest: bool = True) -> None:
        self.world = world
        self.start(newest=newest)

    def start(self, *, newest: bool) -> None:
        world = self.world
        chosen = None
        if world.accounts:
            chosen = (
                max(world.accounts, key=lambda a: a[1])
                if newest
                else world.r.choice([*world.accounts, None])
            )
        skips = world.skips if world.rules.skips_apart else (chosen[3] if chosen else frozenset())
        self.account = Progress.model_validate_json(chosen[2]) if chosen else None
        self.engine = _restored(self.account, world.log, world.rules, skips)
        self.at = 0
        while (
            self.at < len(world.log.entries)
            and world.log.entries[self.at].record.offset < self.engine.next_offset
        ):
            self.at += 1
        self.pending: tuple[int, int, str, frozenset[int]] | None = None
        self.unflushed = 0
        # Perhaps new code, that would not fail again on what was poison.
        self.fixed = frozenset(world.skips if world.r.random() < 0.5 else ())
        self.replaying = self.account is not None
        if self.account:
            if self.engine.next_offset == self.account.next_offset:
                self._replayed(self.account)
            world.stats["restored"] += 1
            world.stats["restored with lives to skip"] += bool(self.account.skip)
            world.stats["restored with headers"] += bool(self.account.headers)
            kept = [header for header in self.account.headers if header.kept_calls]
            world.stats["restored with kept bases"] += bool(kept)

    @property
    def idle(self) -> bool:
        """Whether all is applied and flushed."""
        done = self.at == len(self.world.log.entries)
        return done and not self.engine.outputs and self.pending is None

    def step(self) -> None:
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
            self.world.published.add(self.engine.outputs.pop(0))
            self.unflushed = max(0, self.unflushed - 1)

    def _capture(self) -> None:
        engine, rules = self.engine, self.world.rules
        if self.pending is None and (
            engine.next_offset >= engine.target or rules.records_in_replay
        ):
            progress = rules.capture(engine)
            self.pending = (
                progress.replay_offset,
                progress.next_offset,
                progress.model_dump_json(),
                engine.poison,
            )
            self.unflushed = len(engine.outputs) if rules.flush_first else 0

    def _write(self) -> None:
        if self.pending is None or self.unflushed:
            return
        written, self.pending = self.pending, None
        self.world.accounts.append(written)
        self.world.stats["accounts"] += 1
        progress = Progress.model_validate_json(written[2])
        hold(
            progress.counts.balanced(open_events=progress.open_events),
            "a written account does not balance",
        )
        pure = self.world.pure.accounts.get(progress.next_offset)
        hold(pure is not None, "an account stands where no record ends")
        now, then = _function_of_the_log(progress), _function_of_the_log(cast("Progress", pure))
        differing = [name for name in now if now[name] != then[name]]
        hold(not differing, f"accounts at {progress.next_offset} differ in {differing}")


def _function_of_the_log(progress: Progress) -> dict[str, object]:
    """What of an account follows from the log alone: all but what only replays of it need."""
    fields = {name: getattr(progress, name) for name in type(progress).model_fields}
    del fields["skip"]
    return fields | {"headers": {header.trajectory_id: header for header in progress.headers}}


def crashed_run(log: Log, pure: Pure, r: Random, rules: Rules) -> World:
    """Crashes at any point, the newest or a stale account, and perhaps a zombie beside."""
    world = World(log, rules, pure, r, crashiness=r.choice([0.1, 0.4, 0.8]))
    with_zombie = r.random() < 0.4
    processes = [_Process(world)]
    for _ in range(6 * len(log.entries) + 300):
        if with_zombie and len(processes) == 1 and world.accounts and r.random() < 0.01:
            processes.append(_Process(world, newest=False))
            world.stats["zombies"] += 1
        r.choice(processes).step()
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
) -> str | None:
    """What goes wrong in one case, or None."""
    r = Random(seed)
    log = log or a_log(r, size)
    try:
        pure = pure_run(log, rules)
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
