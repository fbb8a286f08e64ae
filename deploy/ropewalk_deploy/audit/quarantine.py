"""`ropewalk quarantine`: reads the logs for refused records, and which of them hold no loss."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ropewalk_deploy.audit.accounts import Accounts, Place
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.quarantine import Quarantined, from_record
from ropewalk_schemas.topics import AGENT_EVENTS, QUARANTINE, TRAJECTORIES


@dataclass(frozen=True, slots=True)
class Filter:
    """Which refused records: all whose given fields agree.

    `since` (inclusive) and `until` (exclusive) are instants of the refusal. `places`, when there
    are any, are the only ones meant.
    """

    reason: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    trajectory_id: str | None = None
    stage: str | None = None
    event_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    places: frozenset[Place] = field(default_factory=frozenset)

    def takes(self, refused: Quarantined) -> bool:
        """Whether a record is meant."""
        wanted = {
            "reason": self.reason,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "stage": self.stage,
        }
        return (
            all(v is None or getattr(refused, k) == v for k, v in wanted.items())
            and (not self.places or place_of(refused) in self.places)
            and self._in_time(refused.quarantined_ms)
            and self.trajectory_id in (None, trajectory_of(refused))
            and self.event_id in (None, event_id_of(refused))
        )

    def _in_time(self, at_ms: int) -> bool:
        after = self.since is None or at_ms >= self.since.timestamp() * 1000
        return after and (self.until is None or at_ms < self.until.timestamp() * 1000)


def place_of(refused: Quarantined) -> Place:
    """Where a refused record was."""
    return Place(refused.topic, refused.partition, refused.offset)


def text_of(place: Place) -> str:
    """A place as people write it: topic/partition/offset."""
    return f"{place.topic}/{place.partition}/{place.offset}"


def trajectory_of(refused: Quarantined) -> str | None:
    """Whose record it is; an event that could not be read has only its key to say so."""
    if refused.trajectory_id is None and refused.topic == AGENT_EVENTS.name and refused.key:
        return refused.key.decode("utf-8", "backslashreplace")
    return refused.trajectory_id


def event_id_of(refused: Quarantined) -> str | None:
    """The event_id inside the value, as far as it is JSON at all."""
    try:
        # Not our strict reader: what it refuses is just what lies in quarantine.
        value: Any = json.loads(refused.value or b"")
    except (ValueError, RecursionError):
        return None
    found = value.get("event_id") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def refused_records(scanner: LogScanner, chosen: Filter) -> Iterator[Quarantined]:
    """The chosen refused records, each once, in log order."""
    seen: set[Place] = set()
    for partition in scanner.partitions(QUARANTINE.name):
        for record in scanner.records(QUARANTINE.name, partition):
            try:
                refused = from_record(record.key, record.value, record.headers)
            except DecodeError:
                continue  # the sinks keep what is not ours, with the reason
            place = place_of(refused)
            if place not in seen and chosen.takes(refused):
                seen.add(place)
                yield refused


def already_stored(scanner: LogScanner, records: Iterable[Quarantined]) -> set[Place]:
    """Headless records whose event a stored part holds: a tail sent twice is no loss."""
    headless = [record for record in records if record.reason == "headless"]
    if not headless:
        return set()
    accounts = Accounts()
    for partition in scanner.partitions(TRAJECTORIES.name):
        accounts.take_outputs(TRAJECTORIES.name, scanner.records(TRAJECTORIES.name, partition))
    spans: dict[tuple[str, str], list[tuple[int, int, list[int]]]] = {}
    for key, seen in accounts.parts.items():
        for span in seen[0].writers:
            spans.setdefault((key.trajectory_id, span.writer), []).append(
                (span.from_seq, span.to_seq, span.missing)
            )
    found = set()
    for record in headless:
        event = parse_json(record.value or b"")
        seq = event["seq"]
        holding = spans.get((event["trajectory_id"], event["writer"]), ())
        if any(a <= seq <= b and seq not in missing for a, b, missing in holding):
            found.add(place_of(record))
    return found
