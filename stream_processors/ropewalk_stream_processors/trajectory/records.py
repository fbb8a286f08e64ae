"""What the engine reads and what it gives: records of the log, outputs, and kept events."""

from typing import NamedTuple

from ropewalk_schemas.limits import Settings
from ropewalk_schemas.quarantine import Headers
from ropewalk_schemas.topics import KIND_HEADER, SETTINGS, TICK

NO_HEADERS: Headers = ()


class InputRecord(NamedTuple):
    """One record of the input partition; `timestamp_ms` is the broker's append time."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = NO_HEADERS

    def control(self) -> bytes | None:
        """``tick`` or ``settings`` when the worker itself wrote the record, else None."""
        if self.key is None:
            for name, value in self.headers:
                if name == KIND_HEADER and value in (TICK, SETTINGS):
                    return value
        return None


class Output(NamedTuple):
    """One record to publish, into the same partition number as the input."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Moment(NamedTuple):
    """What the partition knew just before a record: a replay that starts there needs it."""

    clock_ms: int
    broker_ms: int
    settings: Settings


class Held(NamedTuple):
    """A record the replay point may not pass: its offset, and what was known just before it."""

    offset: int
    before: Moment


class KeptEvent(NamedTuple):
    """An accepted event of an open part: its raw bytes, and what ordering and closing need.

    `digest` covers the value; `call` is set for LLM calls.
    """

    offset: int
    type: str
    writer: str
    seq: int
    event_id: str
    digest: bytes
    value: bytes
    occurred_us: int
    has_extra: bool
    before: Moment
    call: "CallLink | None"
    timestamp_ms: int
    headers: Headers


class CallLink(NamedTuple):
    """How an LLM call hangs together with others: its thread, and the call its prompt extends."""

    call_id: str
    thread: str
    base_call: str | None
