import pytest

from ropewalk_sinks.errors import DeletedRecordsError
from ropewalk_sinks.sink import TopicPartition
from ropewalk_sinks.starting import start_offset

AT = TopicPartition("trajectories", 3)


@pytest.mark.parametrize("claimed", [5, 7, 9])
def test_reading_starts_at_the_claimed_offset_while_the_log_holds_it(claimed: int) -> None:
    assert start_offset(AT, claimed, low=5, high=9) == claimed


def test_records_deleted_before_they_were_stored_stop_the_sink_and_are_named() -> None:
    with pytest.raises(DeletedRecordsError, match=r"records 2 to 4 of trajectories\[3\]") as error:
        start_offset(AT, 2, low=5, high=9)
    assert "ROPEWALK_ACCEPT_DELETED_RECORDS" in str(error.value)


def test_a_log_shorter_than_what_is_stored_is_another_log() -> None:
    with pytest.raises(DeletedRecordsError, match="made anew, or this is another cluster"):
        start_offset(AT, 10, low=5, high=9)
