"""Which part of a long trajectory the judge reads. Pure.

The rule: a message longer than `message_chars` keeps its begin and its end. If all together are
still longer than `transcript_chars`, the leading system messages, the first user message right
behind them and as many of the last messages as fit are kept, the very last one always; the middle
becomes one note that says how many messages it left out.
"""

from itertools import takewhile
from typing import NamedTuple

from ropewalk_sinks.judging.model import Transcript, Turn

NOTE = "note"


class Bounds(NamedTuple):
    """Characters shown of one message, and of one trajectory."""

    message_chars: int
    transcript_chars: int


def shortened(turns: Transcript, bounds: Bounds) -> Transcript:
    """The turns that are shown, at least the first ones and the last."""
    capped = tuple(capped_turn(turn, bounds.message_chars) for turn in turns)
    if _size(capped) <= bounds.transcript_chars:
        return capped
    n_head = _head(capped)
    room = bounds.transcript_chars - _size(capped[:n_head])
    start = _tail_start(capped, n_head, room)
    if start == n_head:
        return capped
    note = Turn(NOTE, f"[{start - n_head} messages left out]")
    return (*capped[:n_head], note, *capped[start:])


def capped_turn(turn: Turn, limit: int) -> Turn:
    """The turn with at most `limit` characters of its text, and a count of what is left out."""
    left_out = len(turn.text) - limit
    if left_out <= 0:
        return turn
    begin, end = limit - limit // 2, limit // 2
    tail = turn.text[-end:] if end else ""
    return Turn(turn.role, f"{turn.text[:begin]} [{left_out} characters left out] {tail}")


def _head(turns: Transcript) -> int:
    """How many turns make the beginning that is always kept."""
    n_system = sum(1 for _ in takewhile(lambda turn: turn.role == "system", turns))
    has_user = n_system < len(turns) and turns[n_system].role == "user"
    return n_system + has_user


def _tail_start(turns: Transcript, n_head: int, room: int) -> int:
    """Where the kept end begins: behind the head, and before the last turn."""
    start = max(n_head, len(turns) - 1)
    room -= _size(turns[start:])
    while start > n_head and len(turns[start - 1].text) <= room:
        start -= 1
        room -= len(turns[start].text)
    return start


def _size(turns: Transcript) -> int:
    return sum(len(turn.text) for turn in turns)
