"""What a record must satisfy before the engine counts it as an event."""

from collections.abc import Callable

from ropewalk_schemas.codec import Decoded, decode_event
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.topics import MAX_EVENT_BYTES
from ropewalk_schemas.windows import EPOCH, from_micros
from ropewalk_stream_processors.trajectory.records import InputRecord, Moment

KnownKey = Callable[[str], bool]


class Admission:
    """Checks of one partition's records.

    Args:
        partition: The input partition.
        n_partitions: How many the topic has.
    """

    __slots__ = ("_horizon", "_horizon_of", "_n_partitions", "_partition")

    def __init__(self, partition: int, n_partitions: int) -> None:
        self._partition = partition
        self._n_partitions = n_partitions
        self._horizon_of: tuple[int, int] | None = None
        self._horizon = EPOCH

    def admit(self, record: InputRecord, now: Moment, is_open: KnownKey) -> Decoded:
        """The event a record holds.

        Args:
            record: The record at hand.
            now: Broker time and settings with the record applied.
            is_open: Whether a trajectory has a live life here, so that its key is known to fit.

        Raises:
            DecodeError: With the quarantine reason and a sentence for a person.
        """
        key, value = _key_and_value(record)
        decoded = decode_event(value)
        event = decoded.event
        if key != event.trajectory_id.encode():
            detail = f"the key is {key[:200]!r}, the trajectory_id {event.trajectory_id!r}"
            raise DecodeError("key_mismatch", detail)
        if not is_open(event.trajectory_id):
            self._check_partition(key)
        self._check_time(decoded, now)
        return decoded

    def _check_partition(self, key: bytes) -> None:
        belongs = partition_of(key, self._n_partitions)
        if belongs != self._partition:
            detail = (
                f"murmur2 puts the key into partition {belongs} of {self._n_partitions}, "
                f"it came in {self._partition}: set the producer's partitioner to murmur2"
            )
            raise DecodeError("wrong_partition", detail)

    def _check_time(self, decoded: Decoded, now: Moment) -> None:
        key = (now.broker_ms, now.settings.future_ms)
        if key != self._horizon_of:
            self._horizon_of = key
            self._horizon = from_micros(sum(key) * 1000)
        event = decoded.event
        begun = getattr(event, "started_at", event.occurred_at)  # a reward has none
        for name, at in (("occurred_at", event.occurred_at), ("started_at", begun)):
            if at > self._horizon:
                detail = f"{name} is {at.isoformat()}, far ahead of the broker's time"
                raise DecodeError("in_the_future", detail)
            if at < EPOCH:
                detail = f"{name} is {at.isoformat()}, before 1970"
                raise DecodeError("invalid", detail)


def _key_and_value(record: InputRecord) -> tuple[bytes, bytes]:
    if record.value is None:
        detail = "the record has no value (a tombstone)"
        raise DecodeError("empty", detail)
    if len(record.value) > MAX_EVENT_BYTES:
        detail = f"the value has {len(record.value)} bytes; {MAX_EVENT_BYTES} are the most"
        raise DecodeError("too_large", detail)
    if record.key is None:
        detail = "the record has no key; the key is the trajectory_id"
        raise DecodeError("no_key", detail)
    return record.key, record.value
