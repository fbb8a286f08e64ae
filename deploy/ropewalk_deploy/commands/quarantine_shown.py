"""How `ropewalk quarantine` shows refused records, and what became of them."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ropewalk_deploy.audit.quarantine import event_id_of, place_of, text_of, trajectory_of
from ropewalk_deploy.audit.replaying import SAYS, Judged, advice_for, counted
from ropewalk_deploy.audit.resent import origins_of
from ropewalk_schemas.reasons import MEANING


def summary(judged: Judged) -> dict[str, Any]:
    """One record as plain data."""
    record, copy = judged.record, judged.copy
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "reason": record.reason,
        "detail": record.detail,
        "stage": record.stage,
        "trajectory_id": trajectory_of(record),
        "event_id": event_id_of(record),
        "bytes": len(record.value or b""),
        "broker_at": _instant(record.broker_ms),
        "quarantined_at": _instant(record.quarantined_ms),
        "state": judged.state,
        "already_stored": judged.state == "stored",
        "sent_again_from": [text_of(place) for place in origins_of(record.headers)],
        "sent_again_as": None if copy is None else text_of(copy.place),
        "sent_again_at": None if copy is None else _instant(copy.at_ms),
        "mended_by": advice_for(record),
    }


def whole(judged: Judged) -> dict[str, Any]:
    """One record with everything that is kept of it."""
    record = judged.record
    return summary(judged) | {
        "key": repr(record.key),
        "headers": [[name, repr(value)] for name, value in record.headers],
        "quarantined_by": record.quarantined_by,
        "value": (record.value or b"").decode("utf-8", "backslashreplace"),
    }


def line(judged: Judged) -> str:
    """One record in one line."""
    record = judged.record
    return f"{text_of(place_of(record))}  {record.reason}: {record.detail}{_note(judged)}"


def _note(judged: Judged) -> str:
    notes = []
    if origins := origins_of(judged.record.headers):
        nth = {1: "2nd", 2: "3rd"}.get(len(origins), f"{len(origins) + 1}th")
        notes.append(f"refused for the {nth} time, first at {text_of(origins[0])}")
    if judged.copy is not None:
        notes.append(f"sent again as {text_of(judged.copy.place)} at {_instant(judged.copy.at_ms)}")
    if judged.state in ("stored", "unknown", "elsewhere"):
        notes.append(SAYS[judged.state])
    return "".join(f"  [{note}]" for note in notes)


def by_reason(judged: Sequence[Judged]) -> Iterator[str]:
    """One line per reason: how many, what it means, and what became of them since."""
    for reason, n in Counter(each.record.reason for each in judged).most_common():
        states = counted(each for each in judged if each.record.reason == reason)
        since = ", ".join(f"{n:,} {SAYS[state]}" for state, n in states.most_common())
        yield f"{n:>8,}  {reason:<16} {MEANING[reason]}  ({since})"


def plan(judged: Sequence[Judged], chosen: Sequence[Judged], *, again: bool) -> Iterator[str]:
    """What matches, by what became of it; how the rest is mended; how much is sent."""
    yield f"refused records that match: {len(judged):,}"
    for state, n in counted(judged).most_common():
        reasons = Counter(each.record.reason for each in judged if each.state == state)
        of = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common())
        yield f"{n:>8,}  {SAYS[state]} ({of})"
    advices = {
        each.record.topic: advice
        for each in judged
        if (advice := advice_for(each.record)) is not None
    }
    yield from (f"records of {topic}: {advice}" for topic, advice in sorted(advices.items()))
    if not chosen and not again:
        yield "nothing is left to send; --again sends what was sent before"


def dry_run(
    judged: Sequence[Judged], chosen: Sequence[Judged], listed: Sequence[Judged], *, as_json: bool
) -> str:
    """What would be sent."""
    if as_json:
        reasons = Counter(each.record.reason for each in chosen)
        said = {"dry_run": True, "matched": len(judged), "would_send": len(chosen)}
        rows = {"reasons": dict(reasons), "records": [*map(summary, listed)]}
        return json.dumps(said | {"states": dict(counted(judged))} | rows)
    more = [f"and {n:,} more"] if (n := len(chosen) - len(listed)) else []
    return "\n".join([f"would be sent: {len(chosen):,}", *map(line, listed), *more])


def _instant(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
