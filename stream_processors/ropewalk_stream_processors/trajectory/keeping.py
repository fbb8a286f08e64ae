"""An accepted event as an open part keeps it."""

from ropewalk_schemas.codec import Decoded
from ropewalk_schemas.events import LifeEvent, LLMCall
from ropewalk_schemas.windows import to_micros
from ropewalk_stream_processors.trajectory.hashing import event_digest
from ropewalk_stream_processors.trajectory.records import (
    CallLink,
    InputRecord,
    KeptEvent,
    Moment,
)


def kept_event(record: InputRecord, decoded: Decoded, before: Moment) -> KeptEvent:
    """The raw bytes, and what ordering and closing need."""
    event: LifeEvent = decoded.event
    value = record.value or b""  # an accepted event has one
    call = None
    if decoded.type == "llm_call":
        asked: LLMCall = decoded.event
        call = CallLink(asked.call_id, asked.thread, asked.base_call)
    return KeptEvent(
        record.offset,
        decoded.type,
        event.writer,
        event.seq,
        event.event_id,
        event_digest(value),
        value,
        to_micros(event.occurred_at),
        decoded.has_extra,
        before,
        call,
        record.timestamp_ms,
        record.headers,
    )
