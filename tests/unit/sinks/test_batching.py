import pytest

from ropewalk_sinks.batching import FlushPolicy

POLICY = FlushPolicy(max_records=10, max_bytes=100, max_age_s=5.0)


@pytest.mark.parametrize(
    ("records", "size", "now", "due"),
    [
        (0, 0, 1e9, False),
        (9, 99, 4.999, False),
        (10, 0, 0.0, True),
        (1, 100, 0.0, True),
        (1, 1, 5.0, True),
    ],
)
def test_a_buffer_goes_out_at_the_first_of_its_limits(
    records: int, size: int, now: float, *, due: bool
) -> None:
    assert POLICY.due(records=records, size=size, opened_at=0.0, now=now) is due
