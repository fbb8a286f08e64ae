"""What `ropewalk quarantine replay` may send, and why it leaves the rest; pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ropewalk_deploy.audit.accounts import Place
from ropewalk_deploy.audit.quarantine import place_of
from ropewalk_deploy.audit.resent import SENDABLE, Copy, origins_of
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_schemas.topics import KIND_HEADER, PROGRESS, SETTINGS, TICK, TRAJECTORIES

State = Literal["left", "replayed", "stored", "again", "unknown", "elsewhere"]

SAYS: dict[State, str] = {
    "left": "not sent again yet",
    "replayed": "sent again already",
    "stored": "stored already: no loss",
    "again": "sent again once, and refused again",
    "unknown": "refused before the log begins: nobody can say whether they were sent again",
    "elsewhere": "not mended by sending again",
}
"""What each state means, for a person."""

ADVICE = {
    TRAJECTORIES.name: (
        "the worker made it from events that are safe in the log. `conflict`: the sink keeps what "
        "it stored first; correct a reward by a new one that supersedes it. Any other reason: the "
        "sink is older than the worker; install the worker's version there"
    ),
    PROGRESS.name: "the next account takes its place; install the worker's version at the sink",
    "judgments": "mend the model or the rubric, then `ropewalk judge --again` asks anew",
}
"""How records of other topics are mended."""

SETTINGS_ADVICE = "it was no event: correct ROPEWALK_LIMITS; the worker writes its settings itself"


class Known(Protocol):
    """What the log knows of copies; `Copies` does."""

    def of(self, refused: Quarantined) -> Copy | None: ...  # noqa: D102
    def reach_back(self, refused: Quarantined) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Judged:
    """A refused record, what became of it since, and its newest copy."""

    record: Quarantined
    state: State
    copy: Copy | None


def is_control(refused: Quarantined) -> bool:
    """Whether it claims to be the worker's own: sent again, it might be taken for that."""
    kinds = [value for name, value in refused.headers if name == KIND_HEADER]
    return refused.key is None and (TICK in kinds or SETTINGS in kinds)


def advice_for(refused: Quarantined) -> str | None:
    """How a record that cannot be sent again is mended; None if it can be sent."""
    if is_control(refused):
        return SETTINGS_ADVICE
    if refused.topic in SENDABLE:
        return None
    return ADVICE.get(refused.topic, "its topic is none of ours; whoever wrote it knows")


def judge(record: Quarantined, known: Known, stored: set[Place]) -> Judged:
    """What became of a refused record since."""
    if advice_for(record) is not None:
        return Judged(record, "elsewhere", None)
    copy = known.of(record)
    return Judged(record, _state(record, copy, known, stored), copy)


def _state(record: Quarantined, copy: Copy | None, known: Known, stored: set[Place]) -> State:
    if copy is not None:
        return "replayed"
    if place_of(record) in stored:
        return "stored"
    if origins_of(record.headers):
        return "again"
    return "left" if known.reach_back(record) else "unknown"


def to_send(judged: Sequence[Judged], *, again: bool) -> list[Judged]:
    """What is to be sent, in the order of the log that refused it.

    With `again` everything is, but never a record and its refused copy both: that would be twice.
    """
    if not again:
        sent = [each for each in judged if each.state == "left"]
    else:
        places = {place_of(each.record) for each in judged}
        sent = [
            each
            for each in judged
            if each.state != "elsewhere" and (each.copy is None or each.copy.place not in places)
        ]
    return sorted(sent, key=lambda each: place_of(each.record))


def counted(judged: Iterable[Judged]) -> Counter[State]:
    """How many records are in each state."""
    return Counter(each.state for each in judged)
