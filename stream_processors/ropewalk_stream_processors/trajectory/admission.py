"""What a record must satisfy before the engine counts it as an event."""

from collections.abc import Container

from ropewalk_schemas.codec import Decoded, decode_event
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.partitioning import partition_of
from ropewalk_schemas.topics import MAX_EVENT_BYTES
from ropewalk_schemas.windows import EPOCH, from_micros
from ropewalk_stream_processors.trajectory.records import InputRecord, Moment


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
        self._horizon_of: Moment | None = None
        self._horizon = EPOCH

    def admit(self, record: InputRecord, now: Moment, live: Container[str]) -> Decoded:
        """The event a record holds.

        Args:
            record: The record at hand.
            now: Broker time and settings with the record applied.
            live: Trajectories with a live life here: their keys are known to fit.

        Raises:
            DecodeError: With the quarantine reason and a sentence for a person.
        """
        key, value = _key_and_value(record)
        decoded = decode_event(value)
        event = decoded.event
        if key != event.trajectory_id.encode():
            detail = f"the key is {key[:200]!r}, the trajectory_id {event.trajectory_id!r}"
            raise DecodeError("key_mismatch", detail)
        if event.trajectory_id not in live:
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
        if now is not self._horizon_of:
            self._horizon_of = now
            self._horizon = from_micros((now.broker_ms + now.settings.future_ms) * 1000)
        event = decoded.event
        begun = event.occurred_at if decoded.type == "reward" else event.started_at
        if EPOCH <= event.occurred_at <= self._horizon and EPOCH <= begun <= self._horizon:
            return
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
