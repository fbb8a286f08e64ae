"""When something counts as level."""

import math
from random import Random

import pytest

from ropewalk_deploy.chaos.faults import FAULTS
from ropewalk_deploy.chaos.flat import START_S, Bound, Point, check_flat, slope
from ropewalk_deploy.chaos.offsets import Offsets
from ropewalk_deploy.chaos.samples import Held, Sample, Samples, stands_of
from ropewalk_deploy.chaos.soak import fitting
from ropewalk_schemas.topics import AGENT_EVENTS, OUTCOMES, TRAJECTORIES

BOUND = Bound(share=0.05, least=2.5)  # of 100: 15 an hour, in half an hour


def a_life(begin_s: float, minutes: float, per_hour: float, *, noise: float = 0.0) -> list[Point]:
    rng = Random(begin_s)
    return [
        (begin_s + s, 100 + per_hour * s / 3600 + rng.uniform(-noise, noise))
        for s in range(0, int(minutes * 60), 5)
    ]


@pytest.mark.parametrize("per_hour", [0.0, 14.0, -500.0])
def test_what_grows_little_or_shrinks_is_flat(per_hour: float) -> None:
    found = slope("x", [a_life(0, 30, per_hour, noise=1.0)], BOUND, (0.0, 1800.0))
    assert found is not None
    assert found.is_flat
    assert math.isclose(found.per_hour, per_hour, abs_tol=2.0)


def test_what_grows_is_found_over_several_short_lives_that_all_begin_anew() -> None:
    lives = [a_life(begin, 6, 90.0, noise=0.5) for begin in range(0, 1800, 360)]
    found = slope("worker memory", lives, BOUND, (0.0, 1800.0))
    assert found is not None
    assert not found.is_flat
    assert math.isclose(found.per_hour, 90.0, abs_tol=15.0)
    assert found.seconds == 5 * 175
    assert math.isclose(found.allowed, 7.5 * 3600 / (175 * math.sqrt(5)), rel_tol=0.05)
    check = check_flat([found])
    assert not check.ok
    assert "worker memory grows by" in check.wrong[0]


def test_a_start_and_a_peak_are_no_growth() -> None:
    life = a_life(0, 30, 0.0)
    started = [(at, value * at / 180 if at < 180 else value) for at, value in life]
    peak = [(at, value + (900 if 1000 <= at < 1100 else 0)) for at, value in started]
    found = slope("x", [peak], BOUND, (0.0, 1800.0))
    assert found is not None
    assert found.per_hour == 0.0


def test_a_longer_run_allows_less_per_hour() -> None:
    for judged_s, allowed in ((900.0, 30.0), (3600.0, 7.5)):
        end_s = START_S + judged_s
        found = slope("x", [a_life(0, end_s / 60, 10.0)], BOUND, (0.0, end_s))
        assert found is not None
        assert math.isclose(found.allowed, allowed, rel_tol=0.05)
        assert found.is_flat == (judged_s == 900.0)


def test_what_never_lived_long_is_not_judged_and_nothing_judged_is_no_success() -> None:
    assert slope("x", [a_life(0, 3.5, 900.0), []], BOUND, (0.0, 1800.0)) is None
    assert not check_flat([]).ok


def test_lives_are_told_apart_by_their_process() -> None:
    held = [Held(1, 50.0, 5, 2), Held(1, 51.0, 5, 2), Held(2, 40.0, 5, 2)]
    samples = Samples([Sample(5.0 * n, {"worker-1": h}, None) for n, h in enumerate(held)])
    assert samples.lives("worker-1", "memory_mib") == [[(0.0, 50.0), (5.0, 51.0)], [(10.0, 40.0)]]
    assert samples.standing("open") == []


def test_lag_is_what_each_has_not_read() -> None:
    at, out, told = ((topic.name, 0) for topic in (AGENT_EVENTS, TRAJECTORIES, OUTCOMES))
    offsets = Offsets(
        ends={at: 10, out: 8, told: 3},
        worker={at: 7},
        replay={},
        sinks={"postgres": {out: 8, told: 1}, "parquet": {out: 6}},
    )
    stands = stands_of(offsets)
    assert (stands.lag_worker, stands.lag_postgres, stands.lag_parquet) == (3, 2, 2)
    assert (stands.n_events, stands.n_published) == (10, 8)


def test_a_running_system_meets_only_faults_that_leave_it_as_it_is() -> None:
    names = {fault.name for fault in fitting(FAULTS)}
    assert {"kill-worker", "broker-killed", "postgres-killed", "parquet-disk-full"} <= names
    assert not names & {"zombie-sink-parquet", "one-long-trajectory", "kill-settle", "kill-judge"}
