"""A topic that is made anew under a worker stops it; a group that does not form is joined anew."""

from types import SimpleNamespace
from typing import cast

import pytest

from ropewalk_stream_processors.errors import LostEventsError, WorkerError
from ropewalk_stream_processors.partitions import Partitions, check_same_log
from ropewalk_stream_processors.watch import Watch


class Broker:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.found: str | None = "id-1"
        self.owned = 4
        self.is_away = False

    def topic_id(self) -> str | None:
        if self.is_away:
            raise WorkerError("no answer")
        return self.found

    def n_owned(self) -> int:
        return self.owned


def a_worker(*, owns: bool = True) -> Partitions:
    """Three open trajectories with eight events, in two partitions."""
    engines = [
        SimpleNamespace(lives={"a": 1, "b": 1}, open_events=5),
        SimpleNamespace(lives={"c": 1}, open_events=3),
    ]
    owned = {n: SimpleNamespace(engine=engine) for n, engine in enumerate(engines) if owns}
    return cast("Partitions", SimpleNamespace(owned=owned))


@pytest.mark.parametrize(("found", "what"), [("id-2", "made anew"), (None, "deleted")])
def test_another_topic_or_none_stops_the_worker_and_what_was_open_is_counted(
    found: str | None, what: str
) -> None:
    broker = Broker()
    watch = Watch(broker, a_worker(), 6.0)
    watch.look(5.0)
    broker.found = found
    with pytest.raises(LostEventsError, match=f"{what} while it was read: 8 events of 3 open"):
        watch.look(5.0)


def test_a_worker_without_partitions_waits_as_long_as_others_have_them() -> None:
    broker = Broker()
    watch = Watch(broker, a_worker(owns=False), 6.0)
    for _ in range(100):
        watch.look(5.0)


def test_nobody_with_partitions_ends_the_worker_after_a_while() -> None:
    broker = Broker()
    watch = Watch(broker, a_worker(owns=False), 20.0)
    broker.owned = 0
    for _ in range(7):
        watch.look(5.0)
    with pytest.raises(WorkerError, match="nobody has read agent-events for 40 s"):
        watch.look(5.0)


def test_a_broker_that_is_away_is_no_group_that_does_not_form() -> None:
    broker = Broker()
    watch = Watch(broker, a_worker(owns=False), 6.0)
    broker.owned = 0
    for n in range(100):
        broker.is_away = n % 5 == 4
        watch.look(5.0)


def test_a_log_that_ends_before_what_is_accounted_for_is_another_log() -> None:
    check_same_log(0, 5, 5)
    with pytest.raises(LostEventsError, match="ends at offset 4, but 5 records are accounted"):
        check_same_log(0, 4, 5)
