"""A fixed, small selection of `ropewalk chaos`; the whole is `make chaos`."""

import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ropewalk_deploy.chaos.arena import Arena, open_arena
from ropewalk_deploy.chaos.battle import fight
from ropewalk_deploy.chaos.faults import FAULTS
from ropewalk_deploy.chaos.replays import fight_in_replays

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

log = logging.getLogger(__name__)
SEED = int(os.environ.get("ROPEWALK_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
# One of each kind; what `tests/e2e/test_chaos.py` does all the time is not repeated here.
SELECTION = (
    "die-at-points-worker",
    "die-at-points-sink-postgres",
    "die-at-points-sink-parquet",
    "zombie-sink-parquet-at-link",
    "broker-killed",
    "postgres-cut-at-commit",
    "kill-agents-with-a-spool",
)
PUBLISHES_TOO_EARLY = "tests.support.partial_replay_worker"


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    yield from an_arena(tmp_path_factory)


@pytest.fixture
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Servers for a test that leaves what is wrong in the logs."""
    yield from an_arena(tmp_path_factory)


def an_arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    home = tmp_path_factory.mktemp("faults")
    home.parent.chmod(0o755)  # the database server's user must get in when tests run as root
    with open_arena(home, log.info) as arena:
        yield arena


@pytest.mark.parametrize("name", SELECTION)
def test_nothing_is_lost_and_nothing_counts_twice(arena: Arena, name: str) -> None:
    log.warning("repeat with ROPEWALK_CHAOS_SEED=%d", SEED)
    fought = fight(arena, FAULTS[name], SEED, events=600, rate=150.0)
    assert fought.problems == [], _log_tail(arena.log)
    assert fought.lost == fought.duplicated == 0
    assert fought.events >= (600 if FAULTS[name].play is None else 1)


def test_an_engine_that_publishes_half_a_replay_is_found_out(spoilt: Arena) -> None:
    fought = fight_in_replays(spoilt, SEED, worker_module=PUBLISHES_TOO_EARLY)
    found = " ".join(fought.problems)
    assert "replay: the same refusals" in found, found


def _log_tail(file: Path) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-60:])
