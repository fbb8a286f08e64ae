"""What must hold for every log, and that breaking any single rule is noticed.

`ROPEWALK_CASES=20000 ROPEWALK_SEED=7 pytest tests/unit/stream_processors/test_engine_laws.py` for a
longer run over other logs. A failing case is rerun by `failure_of(seed)`.
"""

import os
from collections import Counter
from itertools import chain
from random import Random

import pytest
from tests.support.engine_logs import Entry, Log, a_log
from tests.support.engine_mutants import MUTANTS
from tests.support.engine_runs import Rules, failure_of, pure_run, shortened
from tests.support.events import (
    T0_MS,
    a_decision,
    a_start,
    an_end,
    at,
    event_record,
    tick_record,
)
from tests.support.spill_mutants import SPILL_MUTANTS

from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.limits import Limits, Settings
from ropewalk_stream_processors.trajectory import state as state_module
from ropewalk_stream_processors.trajectory import timers as timers_module
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.life import Due, Life
from ropewalk_stream_processors.trajectory.timers import Timers

CASES = int(os.environ.get("ROPEWALK_CASES", "800"))
SEED = int(os.environ.get("ROPEWALK_SEED", "0"))

MET_AT_LEAST_ONCE = (
    "accounts", "bases in chunks", "chunks", "chunks with rewards", "closed by bytes",
    "closed by duration", "closed by ended", "closed by gaps", "closed by idle", "closed by window",
    "crashes", "deleted", "delta", "delta on a base kept over a cut", "delta without its base",
    "duplicates", "empty last part", "kept for nothing", "later part", "orphans",
    "part with rewards", "poisoned", "received", "refused empty", "refused headless",
    "refused in_the_future", "refused invalid", "refused invalid_utf8", "refused key_mismatch",
    "refused no_key", "refused poison", "refused seq_conflict", "refused wrong_partition",
    "restored with chunks", "restored with headers", "restored with kept bases",
    "restored with lives to skip", "reward holds", "several chunks", "spilled headless",
    "stale accounts whose chunks are gone", "zombies",
)  # fmt: skip


@pytest.mark.timeout(24 * 3600)
def test_crashes_stale_accounts_and_zombies_change_nothing() -> None:
    met: Counter[str] = Counter()
    for seed in range(SEED, SEED + CASES):
        failure = failure_of(seed, stats=met)
        assert failure is None, _report(seed, failure)
    assert [what for what in MET_AT_LEAST_ONCE if not met[what]] == [], dict(met)


def _report(seed: int, failure: str) -> str:
    """How to rerun it, and a short log that shows it."""

    def fails(log: Log) -> str | None:
        found = (failure_of(s, log=log) for s in range(30))
        return next((failure for failure in found if failure), None)

    log = a_log(Random(seed))
    shown = shortened(log, fails) if fails(log) else log
    return f"failure_of({seed}): {failure}\n{shown!r}\n{fails(shown)}"


# -- breaking a rule is noticed

# Where each was last found; should logs be drawn otherwise one day, the search goes on from 0.
FOUND_AT = {
    "S is left out": 4,
    "S goes by the first offset of the part": 4,
    "S entries are dropped when their id returns": 72,
    "S entries are dropped before C reaches through": 201,
    "S leaves out lives restored from H": 17,
    "H forgets first_offset": 65,
    "H forgets ended": 28,
    "H forgets status": 8,
    "H forgets termination": 8,
    "H forgets error": 28,
    "H forgets handed_to": 6,
    "H forgets gaps_at": 8,
    "H forgets idle_at": 4,
    "H forgets keep_at": 9,
    "H forgets the counts of writers": 3,
    "settings are as of N": 42,
    "limits come from configuration, not from the log": 4,
    "bases are kept over an idle gap": 76,
    "bases are kept whatever their age": 19,
    "accounts are written before outputs are flushed": 3,
    "records to skip are stored inside the account": 2,
    "through ignores duplicates": 25,
    "duplicates extend a life": 21,
    "rewards join parts without an event": 2,
    "event ids are known over a cut until a restart": 6,
    "a later part may have an earlier window": 7,
    "only the end hands over, not a writer's close": 61,
    "nobody hands over": 7,
    "writers without a count are not waited for": 2,
}
SPILL_FOUND_AT = {
    "an account is written before its chunks are flushed": 6,
    "chunks are deleted before the account without them": 2,
    "chunks are deleted without a floor": 150,
    "chunks are deleted that an account of this N still names": 2,
    "a chunk's header forgets ended": 15,
    "a chunk's header forgets status": 15,
    "a chunk's header forgets termination": 15,
    "a chunk's header forgets error": 29,
    "a chunk's header forgets handed_to": 6,
    "a chunk's header forgets gaps_at": 10,
    "a chunk's header forgets project": 10,
    "chunks of kept bases go at a cut": 4,
    "a replay joins rewards that chunks hold": 53,
    "a replay takes events that chunks hold": 21,
    "when is spilled depends on the process": 4,
}
TRIES = 3000


def _life_restored_from_a_header() -> Log:
    """One id twice; its second life is cut and over while another life holds C."""
    limits = Limits(
        settle_ms=500,
        idle_ms=4000,
        duration_ms=30_000,
        window_s=10,
        max_bytes=4 * len(encode_event(a_decision(1, "x", "B"))),
    )
    settings = Settings(keep_ms=5000, cap_ms=600, default=limits)
    events = [
        (10, a_start(0, "y-0", "yA")),
        (20, a_start(0, "x", "A")),
        (30, a_start(0, "z", "zA")),
        (40, an_end(1, "x", "A")),
        (50, a_start(0, "x", "B")),
        *[(50 + 10 * seq, a_decision(seq, "x", "B", occurred_at=at(0.1))) for seq in range(1, 5)],
        (100, an_end(5, "x", "B")),
        (110, an_end(1, "y-0", "yA")),
    ]
    records = [event_record(event, 0, ms) for ms, event in events]
    records += [tick_record(0, 110 + 200 * i) for i in range(1, 40)]
    stamped = [
        Entry(record._replace(offset=i, timestamp_ms=T0_MS + record.timestamp_ms))
        for i, record in enumerate(records)
    ]
    return Log(settings, tuple(stamped), frozenset({"x"}))


DIRECTED = {"S leaves out lives restored from H": _life_restored_from_a_header()}


@pytest.mark.parametrize("rule", MUTANTS)
def test_the_laws_fail_when(rule: str) -> None:
    tries = chain([FOUND_AT.get(rule, 0)], range(TRIES))
    log = DIRECTED.get(rule)
    assert any(_fails(seed, MUTANTS[rule], log) for seed in tries)


def _fails(seed: int, rules: Rules, log: Log | None) -> bool:
    return failure_of(seed, rules=rules, log=log, spills=False) is not None


@pytest.mark.parametrize("rule", SPILL_MUTANTS)
def test_the_laws_fail_when_spilling(rule: str) -> None:
    tries = chain([SPILL_FOUND_AT.get(rule, 0)], range(TRIES))
    assert any(failure_of(seed, rules=SPILL_MUTANTS[rule]) is not None for seed in tries)


def test_the_directed_logs_are_sound_themselves() -> None:
    for log in DIRECTED.values():
        assert [failure_of(seed, log=log) for seed in range(100)] == [None] * 100


# -- timers


class _LookingAtEveryLife:
    """What `Timers` is short for: of all lives, the first whose deadline has passed."""

    def __init__(self) -> None:
        self.lives: dict[int, Life] = {}

    def arm(self, life: Life) -> None:
        self.lives[id(life)] = life
        life.armed = 0

    def disarm(self, life: Life) -> None:
        life.armed = None

    def is_due(self, clock_ms: int) -> bool:
        return clock_ms > 0

    def next_due(self, clock_ms: int) -> tuple[Life, int, Due] | None:
        alive = [life for life in self.lives.values() if life.armed is not None]
        due = [(life.due()[0], life.first, n) for n, life in enumerate(alive)]
        if not due or min(due)[0] > clock_ms:
            return None
        life = alive[min(due)[2]]
        return life, *life.due()


def test_timers_fire_as_if_every_life_was_looked_at_before_every_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in range(60):
        log = a_log(Random(seed))
        with monkeypatch.context() as patched:
            patched.setattr(state_module, "Timers", _LookingAtEveryLife)
            wanted = pure_run(log).outputs
        with monkeypatch.context() as patched:
            patched.setattr(timers_module, "MIN_TO_SWEEP", 0)
            assert pure_run(log).outputs == wanted, seed


def test_lives_that_are_over_do_not_stay_in_memory() -> None:
    timers = Timers()
    for n in range(5_000):
        life = Life(f"t-{n}", n, project="demo", window_s=60)
        life.idle_at = 10**9 + n
        timers.arm(life)
        timers.disarm(life)
    assert timers.n_entries <= 2_001


def test_a_run_says_the_same_twice() -> None:
    log = a_log(Random(1))
    assert isinstance(pure_run(log).engine, Engine)
    assert pure_run(log).outputs == pure_run(log).outputs
