"""What lies in a spool's folder, for a person to see; changes nothing."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ropewalk_producers.spool.folder import folders_in, is_living, pid_of, segments_in
from ropewalk_producers.spool.format import HEADER_BYTES, Found, mark_of, scan


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """One segment.

    Attributes:
        pid: Of the process that wrote it.
        living: Whether that process, or one that drains it, is at work on it.
        kept: Set aside because something in it cannot be read.
        events: Those not acknowledged, as far as its mark says.
        oldest_ms: When the oldest of them was recorded, in Unix time.
        torn_bytes: Of an event at the end that was not written whole.
        damaged_bytes: Of records that cannot be read.
    """

    path: str
    topic: str
    pid: int
    living: bool
    kept: bool
    events: int
    bytes: int
    oldest_ms: int | None
    torn_bytes: int
    damaged_bytes: int


def spooled(folder: Path) -> list[SegmentSummary]:
    """All segments of a spool, by topic and process, oldest first."""
    return [
        summary
        for topic_folder in folders_in(folder)
        for owner in folders_in(topic_folder)
        for summary in _of_owner(owner)
    ]


def _of_owner(owner: Path) -> list[SegmentSummary]:
    summaries = []
    living = is_living(owner)
    for kept in (False, True):
        for path in segments_in(owner, damaged=kept):
            with suppress(FileNotFoundError):  # drained meanwhile
                summaries.append(_summary(path, path.read_bytes(), living=living, kept=kept))
    return summaries


def _summary(path: Path, data: bytes, *, living: bool, kept: bool) -> SegmentSummary:
    mark = mark_of(data)
    start = 0 if mark is None else min(mark, len(data))
    got = scan(data[start:], start)
    found = [item for item in got.found if type(item) is Found]
    damaged = sum(item.end - item.begin for item in got.found if type(item) is not Found)
    rest = len(data) - got.end
    is_torn = got.readable and (mark is not None or len(data) < HEADER_BYTES)
    return SegmentSummary(
        path=str(path),
        topic=path.parent.parent.name,
        pid=pid_of(path.parent),
        living=living,
        kept=kept,
        events=0 if kept else len(found),
        bytes=len(data),
        oldest_ms=min((item.record.at_ms for item in found), default=None),
        torn_bytes=rest if is_torn and not living else 0,
        damaged_bytes=damaged + (0 if is_torn else rest),
    )
