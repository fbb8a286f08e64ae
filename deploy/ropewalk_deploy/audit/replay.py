"""The log run through the engine once more, without a crash, against what was published.

What the live workers gave, through whatever kills and rebalances, must be what a pure replay gives.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ropewalk_deploy.audit.accounts import Accounts, PartKey, Place
from ropewalk_deploy.audit.checks import Check, check_sets
from ropewalk_deploy.audit.readers import Reading
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.published import LedgerEntryRow, decode_published
from ropewalk_schemas.quarantine import from_record
from ropewalk_schemas.topics import AGENT_EVENTS, CHUNKS, PROGRESS, TRAJECTORIES
from ropewalk_schemas.trajectory import Trajectory
from ropewalk_stream_processors.ledger import known_of
from ropewalk_stream_processors.partitions import ENGINE_VERSION, INITIAL_SETTINGS
from ropewalk_stream_processors.trajectory import outputs
from ropewalk_stream_processors.trajectory.account import restore
from ropewalk_stream_processors.trajectory.records import InputRecord, Output

Emission = tuple[PartKey, str, int]


@dataclass
class Replayed:
    """What a pure run gives: parts by (identity, hash, first offset), entries, refusals."""

    parts: dict[Emission, str] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)
    refused: dict[Place, str] = field(default_factory=dict)

    def take(self, found: Iterable[Output]) -> None:
        """Take in outputs of the engine."""
        for output in found:
            if output.topic == CHUNKS.name:
                continue  # a live run may have deleted it since
            if output.topic != TRAJECTORIES.name:
                refused = from_record(output.key, output.value, output.headers)
                place = Place(refused.topic, refused.partition, refused.offset)
                self.refused[place] = refused.reason
                continue
            row = decode_published(output.value or b"")
            if isinstance(row, LedgerEntryRow):
                self.entries[row.reward_id] = row.trajectory_id
            else:
                self.parts[_emission(row)] = "published"  # type: ignore[arg-type] # the other kind


def _emission(part: Trajectory) -> Emission:
    return PartKey(part.trajectory_id, part.part), part.content_hash, part.first_offset


def replay(scanner: LogScanner, reading: Reading) -> Replayed:
    """Run every partition's log through a fresh engine, up to its newest account."""
    replayed = Replayed()
    n_partitions = len(reading.log_starts)
    for partition, span in reading.spans.items():
        progress = [(r.key, r.value) for r in scanner.records(PROGRESS.name, partition)]
        engine = restore(
            None,
            outputs.Place(AGENT_EVENTS.name, partition, ENGINE_VERSION),
            n_partitions=n_partitions,
            initial=INITIAL_SETTINGS,
            poison=known_of(partition, progress).skips,
        )
        end = span.before.next_offset
        for record in scanner.records(AGENT_EVENTS.name, partition, end=end):
            engine.apply(InputRecord(*record[1:]))
            replayed.take(engine.outputs)
            engine.outputs.clear()
    return replayed


def check_replay(replayed: Replayed, accounts: Accounts) -> list[Check]:
    """Same parts with the same hashes, same entries, same refusals; pure.

    Holds while nothing is being assembled: what was published after the accounts is not replayed.
    """
    published = {
        (key, part.content_hash, part.first_offset): "published"
        for key, parts in accounts.parts.items()
        for part in parts
    }
    refused = {
        place: found.reason
        for place, found in accounts.refused.items()
        if place.topic == AGENT_EVENTS.name
    }
    entries = {key: row.trajectory_id for key, row in accounts.reward_ids.items()}
    return [
        check_sets("replay: the same parts, same hashes", replayed.parts, published.items()),
        check_sets("replay: the same ledger entries", replayed.entries, entries.items()),
        check_sets("replay: the same refusals", replayed.refused, refused.items()),
    ]
