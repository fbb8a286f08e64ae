"""A restored life gets back what its chunks hold."""

from collections.abc import Iterable, Sequence
from typing import cast

from ropewalk_schemas.chunks import Chunk, ChunkRecord, Span
from ropewalk_schemas.codec import decode_event
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.published import decode_published
from ropewalk_schemas.trajectory import LedgerEntry
from ropewalk_stream_processors.trajectory.keeping import kept_event
from ropewalk_stream_processors.trajectory.life import Life
from ropewalk_stream_processors.trajectory.records import InputRecord, KeptEvent, Moment


def refill(life: Life, spans: Sequence[Span], chunks: Iterable[Chunk], settings: Settings) -> None:
    """Put events, rewards and bases back; what is of an earlier part and no base is passed over.

    Raises:
        DecodeError: If a record is no event.
    """
    life.chunks = list(spans)
    for chunk in chunks:
        for record in chunk.records:
            if record.offset in life.kept_calls:
                life.bases[record.offset] = _kept(record, settings)
            elif record.offset >= life.begins_at:
                _put_back(life, record, settings)
    life.n_spilled = len(life.events)


def _put_back(life: Life, record: ChunkRecord, settings: Settings) -> None:
    if record.is_reward:
        life.rewards.append(cast("LedgerEntry", decode_published(record.value)))
        return
    kept = _kept(record, settings)
    life.events.append(kept)
    life.writers[kept.writer].now[kept.seq] = kept.event_id


def _kept(record: ChunkRecord, settings: Settings) -> KeptEvent:
    """The event as it was kept; only its clock is known of the moment, as it holds nothing."""
    came = InputRecord(record.offset, record.timestamp_ms, None, record.value, record.headers)
    before = Moment(record.clock_ms, 0, settings)
    return kept_event(came, decode_event(record.value), before)
