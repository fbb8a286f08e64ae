"""From which offset a partition is read, and when it must not be. Pure."""

from ropewalk_sinks.errors import DeletedRecordsError
from ropewalk_sinks.sink import TopicPartition


def start_offset(at: TopicPartition, claimed: int, *, low: int, high: int) -> int:
    """The claimed offset, if the log can give everything from there on.

    Args:
        at: The partition.
        claimed: The next offset to store.
        low: The first offset the log holds.
        high: The offset the log's next record will get.

    Raises:
        DeletedRecordsError: If it cannot.
    """
    if claimed > high:
        message = (
            f"{at.topic}[{at.partition}] ends at offset {high}, but its records up to {claimed} "
            "are stored: the topic was made anew, or this is another cluster; use the broker "
            "this data came from, or an empty database or dataset"
        )
        raise DeletedRecordsError(message)
    if claimed < low:
        raise DeletedRecordsError(deleted(at, claimed, low=low))
    return claimed


def deleted(at: TopicPartition, wanted: int, *, low: int) -> str:
    """What happened to records that are to be stored and not in the log, and what to do."""
    return (
        f"records {wanted} to {low - 1} of {at.topic}[{at.partition}] were deleted by retention "
        f"before they were stored (the log begins at {low}): set "
        "ROPEWALK_ACCEPT_DELETED_RECORDS=true to go on without them, and give the topic a longer "
        "retention"
    )
