"""The order of a part's events: each writer by seq, writers merged by lowest offset."""

from collections.abc import Iterable
from heapq import heapify, heappop, heapreplace

from ropewalk_stream_processors.trajectory.records import KeptEvent


def in_order(events: Iterable[KeptEvent]) -> list[KeptEvent]:
    """The events as their trajectory tells them.

    Within a writer the seq counts, whatever came first; between writers, repeatedly, the writer
    whose next event has the lowest offset.
    """
    by_writer: dict[str, list[KeptEvent]] = {}
    for kept in events:
        by_writer.setdefault(kept.writer, []).append(kept)
    for queue in by_writer.values():
        queue.sort(key=lambda kept: -kept.seq)
    if len(by_writer) == 1:
        return next(iter(by_writer.values()))[::-1]
    heads = [(queue[-1].offset, writer) for writer, queue in by_writer.items()]
    heapify(heads)
    ordered: list[KeptEvent] = []
    while heads:
        queue = by_writer[heads[0][1]]
        ordered.append(queue.pop())
        if queue:
            heapreplace(heads, (queue[-1].offset, heads[0][1]))
        else:
            heappop(heads)
    return ordered
