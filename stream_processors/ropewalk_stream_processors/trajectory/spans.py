"""What a part holds of each writer, and what is missing in it."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from ropewalk_schemas.published import WriterSpanRow
from ropewalk_schemas.trajectory import WriterSpan
from ropewalk_stream_processors.trajectory.seqs import Range, Seqs, gaps, ranges

MAX_LISTED = 1000
MAX_COUNTED = 2**31 - 1


class Spans(NamedTuple):
    """The spans of a part and how many seqs are missing in them."""

    spans: list[WriterSpan]
    n_missing: int


def spans_of(writers: Mapping[str, Seqs], unseen: set[str], *, last: bool) -> Spans:
    """The spans of a part.

    A part accounts for each writer's seqs from where the part before stopped to the largest it
    holds. The last part accounts for the whole life: up to each writer's count, and for gaps that
    earlier parts had. Seqs held by earlier parts lie between two spans.

    Args:
        writers: The life's writers.
        unseen: Writers that were handed to and never came.
        last: Whether this is the last part.
    """
    spans: list[WriterSpan] = []
    n_missing = n_listed = 0
    for writer, seqs in sorted(writers.items()):
        inside = sorted(seqs.now)
        for first, end in _accounted(seqs, inside, last=last):
            held = inside[bisect_left(inside, first) : bisect_left(inside, end + 1)]
            n_missing += end - first + 1 - len(held)
            # Of the whole part, else many small events far apart would list without bound.
            missing = list(islice(_missing(held, first, end), MAX_LISTED - n_listed))
            n_listed += len(missing)
            spans.append(WriterSpanRow(writer=writer, from_seq=first, to_seq=end, missing=missing))
    if last:
        spans += [WriterSpanRow(writer=w, from_seq=0, to_seq=-1) for w in sorted(unseen)]
    return Spans(spans, min(n_missing, MAX_COUNTED))


def _accounted(seqs: Seqs, inside: list[int], *, last: bool) -> Iterator[Range]:
    """The ranges a part accounts for, without what earlier parts hold."""
    if last:
        first, end = 0, max([*inside[-1:], seqs.last_earlier(), (seqs.count or 0) - 1])
    elif inside:
        first, end = min(inside[0], seqs.last_earlier() + 1), inside[-1]
    else:
        return iter(())
    return gaps(seqs.earlier, first, end)


def _missing(held: list[int], first: int, end: int) -> Iterator[int]:
    for begin, stop in gaps(ranges(held), first, end):
        yield from range(begin, stop + 1)
