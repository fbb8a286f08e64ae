"""The laws of the engine on its first random logs: enough to notice a rule that is gone.

All of them, on many more logs: tests/unit/stream_processors/test_engine_laws.py.
"""

from tests.support.engine_runs import failure_of

N_LOGS = 30


def test_a_replay_gives_what_the_live_run_gave() -> None:
    failures = ((seed, failure_of(seed)) for seed in range(N_LOGS))
    assert next((failure for failure in failures if failure[1]), None) is None
