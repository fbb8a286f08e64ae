"""What a burst took is given back."""

import sys

import psutil
import pytest

from ropewalk_sinks.memory import give_back

MIB = 1024 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="measures the heap of glibc")
def test_what_a_burst_took_is_given_back() -> None:
    process = psutil.Process()
    give_back()
    before = process.memory_full_info().uss
    burst = [bytes(2_000) for _ in range(30_000)]
    survivors = burst[::500]  # they keep the heap from shrinking at its end
    burst.clear()
    kept = process.memory_full_info().uss - before
    give_back()
    assert kept > 40 * MIB
    assert process.memory_full_info().uss - before < 10 * MIB
    assert len(survivors) == 60
