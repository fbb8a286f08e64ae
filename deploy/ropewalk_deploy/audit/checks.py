"""What `verify` proves: each check compares two independently counted things; pure."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ropewalk_deploy.audit.accounts import Accounts
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.topics import AGENT_EVENTS

MAX_IDS = 20
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison. `wrong` lists ids that differ, at most 20; `n_wrong` counts all."""

    name: str
    ok: bool
    expected: int
    found: int
    detail: str = ""
    wrong: list[str] = field(default_factory=list)
    n_wrong: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Counters of a partition before and after the logs were read: what was read lies between."""

    before: Progress
    after: Progress

    def quarantined(self, which: str) -> int:
        """All quarantined records of one of the two accounts."""
        account = self.before if which == "before" else self.after
        return sum(account.counts.quarantined.values())


def check_equation(partition: int, span: Span) -> Check:
    """Received = assembled + open + ledger + duplicate + quarantined, as the worker says."""
    counts, open_events = span.before.counts, span.before.open_events
    fates = {
        "assembled": counts.assembled,
        "open": open_events,
        "ledger": counts.ledger,
        "duplicate": counts.duplicate,
        **{f"quarantined {reason}": n for reason, n in counts.quarantined.items()},
    }
    detail = " + ".join(f"{n} {fate}" for fate, n in fates.items() if n) or "nothing yet"
    return Check(
        name=f"partition {partition}: every record has one fate",
        ok=counts.balanced(open_events=open_events),
        expected=counts.received,
        found=sum(fates.values()),
        detail=detail,
    )


def check_counts(partition: int, span: Span, accounts: Accounts) -> list[Check]:
    """The worker's counters against what the logs hold, counted here."""
    here = [
        seen
        for parts in accounts.parts.values()
        for seen in parts
        if seen.place.partition == partition
    ]
    refused = [
        place
        for place in accounts.refused
        if place.topic == AGENT_EVENTS.name and place.partition == partition
    ]
    rewards = [place for place in accounts.rewards if place.partition == partition]
    before, after = span.before.counts, span.after.counts
    return [
        _between(partition, "received", before.received, after.received,
                 accounts.received[partition]),
        _between(partition, "assembled", before.assembled, after.assembled,
                 sum(seen.n_events for seen in here)),
        _between(partition, "ledger", before.ledger, after.ledger, len(rewards)),
        _between(partition, "quarantined", span.quarantined("before"), span.quarantined("after"),
                 len(refused)),
    ]  # fmt: skip


def _between(partition: int, fate: str, low: int, high: int, found: int) -> Check:
    """A counter that only grows was read before and after the log: the log lies between."""
    return Check(
        name=f"partition {partition}: {fate} in the log",
        ok=low <= found <= high,
        expected=low,
        found=found,
        detail="" if low == high else f"the account moved on to {high} meanwhile",
    )


def check_sets(
    name: str, expected: Mapping[Key, object], found: Iterable[tuple[Key, object]]
) -> Check:
    """Two stores hold the same identities, each once, with the same content."""
    seen: Counter[Key] = Counter()
    wrong: list[str] = []
    n_wrong = 0

    def note(what: str) -> None:
        nonlocal n_wrong
        n_wrong += 1
        if len(wrong) < MAX_IDS:
            wrong.append(what)

    for key, content in found:
        seen[key] += 1
        if seen[key] > 1:
            note(f"{_shown(key)} is there {seen[key]} times")
        elif key not in expected:
            note(f"{_shown(key)} is not in the log")
        elif expected[key] != content:
            note(f"{_shown(key)} has {content}, the log {expected[key]}")
    for key in expected:
        if key not in seen:
            note(f"{_shown(key)} is missing")
    return Check(
        name=name,
        ok=n_wrong == 0,
        expected=len(expected),
        found=sum(seen.values()),
        wrong=wrong,
        n_wrong=n_wrong,
    )


def _shown(key: object) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
