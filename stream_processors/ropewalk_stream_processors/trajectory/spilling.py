"""Spilling: an open trajectory's records go to chunks, and hold the replay point no longer.

When, and into which chunks, follows from the log alone. So every owner names the same chunks at the
same offset, a chunk that is written again is the same, and one that no account of N needs is needed
by no account beyond N either.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from operator import attrgetter

from ropewalk_schemas.chunks import ChunkRecord, Span, chunk_key, encode_chunk
from ropewalk_schemas.published import encode_published
from ropewalk_schemas.topics import CHUNKS
from ropewalk_stream_processors.trajectory.life import NEVER, Life
from ropewalk_stream_processors.trajectory.records import Output
from ropewalk_stream_processors.trajectory.state import PartitionState

_OVERHEAD = 64  # of a record, about
_OFFSET = attrgetter("offset")


class Spilling(PartitionState):
    """Spills what holds the replay point back, and lets go of chunks that nothing needs.

    Attributes:
        chunk_bytes: The most of a chunk; a larger record has one to itself.
        small_bytes: A chunk this small is always written again, with what is new.
    """

    chunk_bytes = 8 * 1024 * 1024
    small_bytes = 16 * 1024

    def _spill_oldest(self, offset: int) -> None:
        """Spill the life that holds the replay point, if it is due: as of just before `offset`."""
        life = self._holding.settle(self.lives)
        if life is not None and self._holding.is_due(self.clock_ms, offset, self.settings):
            self._spill(life, offset)

    def _spill(self, life: Life, to: int) -> None:
        kept, begin = self._split_off(life)
        pieces = _pieces(records_of(life, begin), self.chunk_bytes)
        self._unname(life, life.chunks[len(kept) :])
        life.chunks = [*kept, *((piece[0].offset, to) for piece in pieces)]
        life.n_spilled, life.held_reward = len(life.events), None
        life.header = None  # the newest chunk has it
        header = life.to_header().model_dump_json().encode()
        for piece in pieces:
            key = chunk_key(life.trajectory_id, (piece[0].offset, to))
            value = encode_chunk(piece, header if piece is pieces[-1] else b"")
            self.outputs.append(Output(CHUNKS.name, key, value, ()))

    def _split_off(self, life: Life) -> tuple[list[Span], int]:
        """The chunks that stay, and the offset from which records are written.

        Chunks that are not much larger than what comes after them are written again with it: so a
        life has few chunks, and no record is written often.
        """
        kept, begin = list(life.chunks), life.spilled_to
        n_bytes = _bytes_of(life, begin, NEVER)
        while kept:
            first = kept[-1][0]
            n_held = _bytes_of(life, first, begin)
            if n_held > max(2 * n_bytes, self.small_bytes) or n_held >= self.chunk_bytes // 2:
                break
            kept.pop()
            begin, n_bytes = first, n_bytes + n_held
        return kept, begin

    def _release(self, life: Life, *, needed: Collection[int]) -> None:
        """Let go of the chunks in which nothing is at one of the needed offsets."""
        ends = [*(first for first, _ in life.chunks[1:]), life.spilled_to]
        spans = list(zip(life.chunks, ends, strict=False))
        unneeded = [c for c, end in spans if not any(c[0] <= at < end for at in needed)]
        self._unname(life, unneeded)
        life.chunks = [chunk for chunk in life.chunks if chunk not in unneeded]

    def _unname(self, life: Life, chunks: Sequence[Span]) -> None:
        """From here on no account names these chunks."""
        self.unnamed += [(self._at + 1, chunk_key(life.trajectory_id, c)) for c in chunks]


def records_of(life: Life, begin: int) -> list[ChunkRecord]:
    """Everything of a life from an offset on that a restart needs, in log order."""
    bases = [kept for kept in life.bases.values() if kept.offset >= begin]
    events = life.events[bisect_left(life.events, begin, key=_OFFSET) :]
    kept = [
        ChunkRecord(k.offset, k.timestamp_ms, k.before.clock_ms, False, tuple(k.headers), k.value)
        for k in (*bases, *events)
    ]
    rewards = [
        ChunkRecord(entry.source_offset, 0, 0, True, (), encode_published(entry))
        for entry in life.rewards
        if entry.source_offset >= begin
    ]
    return sorted((*kept, *rewards), key=_OFFSET)


def _bytes_of(life: Life, first: int, end: int) -> int:
    """Bytes of the events and bases between two offsets; enough to choose chunks by."""
    at, to = (bisect_left(life.events, offset, key=_OFFSET) for offset in (first, end))
    bases = (len(kept.value) for kept in life.bases.values() if first <= kept.offset < end)
    return sum(len(kept.value) for kept in life.events[at:to]) + sum(bases)


def _pieces(records: Sequence[ChunkRecord], most_bytes: int) -> list[list[ChunkRecord]]:
    """The records in as few runs as messages can carry."""
    pieces: list[list[ChunkRecord]] = []
    n_bytes = 0
    for record in records:
        n_bytes += _size(record)
        if not pieces or n_bytes > most_bytes:
            pieces.append([])
            n_bytes = _size(record)
        pieces[-1].append(record)
    return pieces


def _size(record: ChunkRecord) -> int:
    held = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.value) + held + _OVERHEAD
