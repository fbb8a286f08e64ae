import pytest

from ropewalk_producers.config import Fsync
from ropewalk_producers.spool.policy import Room, is_sync_due


def test_new_trajectories_leave_the_reserve_to_those_already_begun() -> None:
    assert Room(max_bytes=1000, used=799, free=5000).refusal is None
    full = Room(max_bytes=1000, used=800, free=5000)
    assert full.left == 200
    assert "it holds 800 of 1,000 bytes (spool_max_bytes)" in str(full.refusal)


def test_a_disk_that_fills_counts_like_a_spool_that_fills() -> None:
    assert Room(max_bytes=1000, used=0, free=201).refusal is None
    assert "its disk has 200 bytes left" in str(Room(max_bytes=1000, used=0, free=200).refusal)
    assert Room(max_bytes=1000, used=0, free=500).less(300).left == 200


@pytest.mark.parametrize(
    ("fsync", "waiting_s", "due"),
    [
        ("always", 0.0, True),
        ("never", 0.0, True),
        ("interval", 0.09, False),
        ("interval", 0.1, True),
    ],
)
def test_when_the_disk_must_have_it(fsync: Fsync, waiting_s: float, due: bool) -> None:
    assert is_sync_due(fsync, 0.1, waiting_s) is due
