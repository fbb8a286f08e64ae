"""What a partition is restored from: its newest account, and the chunks that one names."""

import logging
import time
from typing import NamedTuple

from ropewalk_stream_processors.deleting import Unnamed, orphans
from ropewalk_stream_processors.errors import LostChunksError
from ropewalk_stream_processors.kafka import LogReader, chunk_records, progress_records
from ropewalk_stream_processors.ledger import Known, known_of
from ropewalk_stream_processors.trajectory.account import named_chunks

log = logging.getLogger(__name__)
TELL_EVERY_S = 5.0


class Found(NamedTuple):
    """What the topics tell of a partition; `unnamed` chunks are in the topic and not needed."""

    known: Known
    chunks: dict[bytes, bytes]
    unnamed: Unnamed


def find(reader: LogReader, partition: int) -> Found:
    """The newest account and its chunks; only those are kept in memory.

    An owner before us may still delete chunks, once a newer account is durable: then that is read.

    Raises:
        LostChunksError: If chunks are gone without a newer account.
    """
    before = None
    while True:
        known = known_of(partition, progress_records(reader, partition))
        named = named_chunks(known.progress) if known.progress else set()
        found, others = _chunks(reader, partition, named)
        if found.keys() == named:
            left = orphans(others, known.progress) if known.progress else []
            return Found(known, found, left)
        if before is not None and before == known.progress:
            raise _lost(partition, named - found.keys())
        before = known.progress


def _chunks(
    reader: LogReader, partition: int, named: set[bytes]
) -> tuple[dict[bytes, bytes], set[bytes]]:
    """The chunks of these keys, and the keys of all others."""
    found: dict[bytes, bytes] = {}
    others: set[bytes] = set()
    told_at = time.monotonic()
    for key, value in chunk_records(reader, partition):
        if key is None:
            continue
        if value is None:
            found.pop(key, None)
            others.discard(key)
        elif key in named:
            found[key] = value
        else:
            others.add(key)
        if time.monotonic() - told_at > TELL_EVERY_S:
            told_at = time.monotonic()
            n_mib = sum(map(len, found.values())) // 2**20
            fields = {"partition": partition, "found": len(found), "of": len(named), "mib": n_mib}
            log.info("reading chunks", extra={"fields": fields})
    return found, others


def _lost(partition: int, missing: set[bytes]) -> LostChunksError:
    msg = (
        f"partition {partition} needs {len(missing)} chunks that are not in the topic 'chunks', "
        f"such as {min(missing).decode(errors='replace')}: it lost records. Restore the topic; to "
        "read the whole log again instead, delete the partition's accounts knowingly"
    )
    return LostChunksError(msg)
