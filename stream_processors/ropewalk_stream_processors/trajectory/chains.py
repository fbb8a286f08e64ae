"""Delta chains: which earlier call a prompt extends, back to a call that carried it whole."""

from collections.abc import Iterable, Mapping

from ropewalk_stream_processors.trajectory.records import KeptEvent

Calls = Mapping[str, KeptEvent]


def calls_by_id(bases: Iterable[KeptEvent], events: Iterable[KeptEvent]) -> dict[str, KeptEvent]:
    """Every call that may serve as a base in the open part; the newest of an id counts."""
    found = {kept.call.call_id: kept for kept in bases if kept.call}
    found.update({kept.call.call_id: kept for kept in events if kept.call})
    return found


def chain(calls: Calls, call_id: str) -> list[KeptEvent] | None:
    """The calls from `call_id` back to its full call; None when a base is not known."""
    links: list[KeptEvent] = []
    passed: set[int] = set()
    following: str | None = call_id
    while following is not None:
        kept = calls.get(following)
        if kept is None or kept.call is None or kept.offset in passed:
            return None
        links.append(kept)
        passed.add(kept.offset)
        following = kept.call.base_call
    return links


def tips(calls: Calls, *, not_before_ms: int) -> dict[int, KeptEvent]:
    """What may still serve as a base after a cut.

    The chain of the last call of every writer and thread: recorders extend prompts per thread.

    Args:
        calls: Every call that may serve as a base so far.
        not_before_ms: A chain whose full call came before this clock instant is too old.

    Returns:
        The kept calls by offset.
    """
    newest: dict[tuple[str, str], str] = {}
    for kept in sorted(calls.values(), key=lambda kept: kept.offset):
        if kept.call:
            newest[kept.writer, kept.call.thread] = kept.call.call_id
    keep: dict[int, KeptEvent] = {}
    for call_id in newest.values():
        links = chain(calls, call_id)
        if links and links[-1].before.clock_ms > not_before_ms:
            keep.update({kept.offset: kept for kept in links})
    return keep
