"""What becomes of the records of one batch. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from ropewalk_schemas.outcomes import Outcome
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
from ropewalk_sinks.admission import Admission, Conflict
from ropewalk_sinks.incoming import Incoming, Refusal, is_entry, is_part
from ropewalk_sinks.incoming import quarantined as account_of

T = TypeVar("T")


class Recorded(NamedTuple, Generic[T]):
    """What a record holds, and that record's broker time in ms since the epoch."""

    what: T
    recorded_ms: int


@dataclass(slots=True)
class Decided:
    """A batch, sorted by what is to be done with it."""

    parts: list[Trajectory] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    quarantined: list[Recorded[Quarantined]] = field(default_factory=list)
    accounts: list[Recorded[Progress]] = field(default_factory=list)
    outcomes: list[Recorded[Outcome]] = field(default_factory=list)
    refused: list[Quarantined] = field(default_factory=list)
    duplicates: int = 0
    conflicts: int = 0
    erased: int = 0


def decide(batch: Iterable[Incoming], admission: Admission, *, sink: str) -> Decided:
    """Sort a batch by what is to be done with each record, in the order of the records.

    Args:
        batch: In order per partition.
        admission: What the sink holds; it also holds what is admitted, afterwards.
        sink: The sink's name, as quarantine records say who refused.
    """
    decided = Decided()
    for incoming in batch:
        _decide_one(incoming, admission, decided, sink)
    return decided


def _decide_one(incoming: Incoming, admission: Admission, decided: Decided, sink: str) -> None:
    record, content = incoming
    if is_part(content) or is_entry(content):
        _admit(incoming, admission, decided, sink)
    elif isinstance(content, Refusal):
        decided.refused.append(account_of(record, content, stage=f"sink {sink}", by=sink))
    elif isinstance(content, Quarantined):
        if admission.is_erased(content):
            decided.erased += 1
            return
        decided.quarantined.append(Recorded(content, record.timestamp_ms))
    elif isinstance(content, Progress):
        decided.accounts.append(Recorded(content, record.timestamp_ms))
    elif isinstance(content, Outcome):
        decided.outcomes.append(Recorded(content, record.timestamp_ms))


def _admit(incoming: Incoming, admission: Admission, decided: Decided, sink: str) -> None:
    record, content = incoming
    if is_part(content):
        verdict = admission.part(content)
        if verdict == "new":
            decided.parts.append(content)
    elif is_entry(content):
        verdict = admission.entry(content)
        if verdict == "new":
            decided.entries.append(content)
    else:  # pragma: no cover - the caller has looked
        raise TypeError(content)
    if isinstance(verdict, Conflict):
        decided.conflicts += 1
        refusal = Refusal("conflict", verdict.detail, content.trajectory_id)
        decided.refused.append(account_of(record, refusal, stage=f"sink {sink}", by=sink))
    elif verdict == "duplicate":
        decided.duplicates += 1
    elif verdict == "erased":
        decided.erased += 1
