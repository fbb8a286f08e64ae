from itertools import pairwise

import pytest

from ropewalk_deploy.commands.failures import KNOWN_ERRORS, exit_status
from ropewalk_deploy.errors import SettingError as CommandSettingError
from ropewalk_deploy.restarts import (
    FIRST_DELAY_S,
    HEALTHY_AFTER_S,
    HOPELESS,
    LONGEST_DELAY_S,
    verdict,
)
from ropewalk_sinks import errors as sinks
from ropewalk_stream_processors import errors as worker


@pytest.mark.parametrize("status", [0, 1, 70, -9, -15])
def test_what_died_young_waits_longer_each_time(status: int) -> None:
    delays = [verdict(status, lived_s=1, n_quick_deaths=n).delay_s for n in range(10)]
    assert delays[0] == FIRST_DELAY_S
    assert delays == sorted(delays)
    assert all(later == min(2 * delay, LONGEST_DELAY_S) for delay, later in pairwise(delays))
    assert delays[-1] == LONGEST_DELAY_S


def test_what_lived_long_starts_again_at_once() -> None:
    assert verdict(-9, lived_s=HEALTHY_AFTER_S, n_quick_deaths=9).delay_s == FIRST_DELAY_S


def test_many_deaths_do_not_overflow_the_delay() -> None:
    assert verdict(1, lived_s=0, n_quick_deaths=500).delay_s == LONGEST_DELAY_S


@pytest.mark.parametrize("status", sorted(HOPELESS))
def test_what_a_person_must_change_is_not_tried_again(status: int) -> None:
    assert verdict(status, lived_s=1000, n_quick_deaths=0).give_up


@pytest.mark.parametrize(
    ("error", "is_hopeless"),
    [
        (CommandSettingError, True),
        (worker.SettingError, True),
        (worker.TopicError, True),
        (worker.LostEventsError, True),
        (worker.WorkerError, False),
        (worker.PublishError, False),
        (worker.EngineError, False),
        (sinks.ConfigError, True),
        (sinks.MissingTopicError, True),
        (sinks.MigrationError, True),
        (sinks.DeletedRecordsError, True),
        (sinks.UnreachableError, False),
        (sinks.FencedError, False),
        (sinks.QuarantineError, False),
        (sinks.StorageError, False),
    ],
)
def test_the_status_of_an_error_says_whether_to_try_again(
    error: type[Exception], *, is_hopeless: bool
) -> None:
    assert issubclass(error, KNOWN_ERRORS)
    status = exit_status(error("why"))
    assert status != 0
    assert (status in HOPELESS) == is_hopeless
