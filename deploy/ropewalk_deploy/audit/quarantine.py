"""`ropewalk quarantine`: refused records, looked at and sent again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ropewalk_deploy.audit.accounts import Accounts, Place
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.quarantine import Quarantined, from_record
from ropewalk_schemas.topics import QUARANTINE, TRAJECTORIES


@dataclass(frozen=True, slots=True)
class Filter:
    """Which refused records: all whose given fields agree."""

    reason: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    trajectory_id: str | None = None

    def takes(self, refused: Quarantined) -> bool:
        """Whether a record is meant."""
        wanted = {
            "reason": self.reason,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "trajectory_id": self.trajectory_id,
        }
        return all(v is None or getattr(refused, k) == v for k, v in wanted.items())


def refused_records(scanner: LogScanner, chosen: Filter) -> Iterator[Quarantined]:
    """The chosen refused records, each once, in log order."""
    seen: set[Place] = set()
    for partition in scanner.partitions(QUARANTINE.name):
        for record in scanner.records(QUARANTINE.name, partition):
            try:
                refused = from_record(record.key, record.value, record.headers)
            except DecodeError:
                continue  # the sinks keep what is not ours, with the reason
            place = Place(refused.topic, refused.partition, refused.offset)
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
            found.add(Place(record.topic, record.partition, record.offset))
    return found
