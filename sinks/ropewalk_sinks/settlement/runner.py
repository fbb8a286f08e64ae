"""The settlement process: look at claims and outcomes, write what is missing in the ledger."""

import logging
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from ropewalk_schemas.codec import encode_event
from ropewalk_schemas.events import Reward
from ropewalk_schemas.failpoints import reach
from ropewalk_sinks.config import SettlementSettings
from ropewalk_sinks.kafka import require_topics
from ropewalk_sinks.reward_log import RewardWriter
from ropewalk_sinks.settlement.entries import (
    OpenClaim,
    Settled,
    is_of_claim,
    retraction,
    settle_claim,
)
from ropewalk_sinks.settlement.rulebook import RuleBook
from ropewalk_sinks.settlement.store import Batch, SettlementStore

log = logging.getLogger(__name__)

Write = Callable[[Sequence[tuple[bytes, bytes]]], None]
PROMISE = "they are written again at the next start"


class Settler:
    """Brings the ledger up to what claims, outcomes and rules say.

    What it emits follows from what is stored, with derived ids, so any number of them may run, die
    and begin anew.
    """

    def __init__(self, store: SettlementStore, book: RuleBook, write: Write) -> None:
        self._store, self._book, self._write = store, book, write
        # In the log, on their way into the ledger. A restart forgets them and sends them again.
        self._sent: set[str] = set()

    def turn(self) -> Counter[str]:
        """Look at everything once; what it emitted is in the log when it returns.

        Raises:
            SinkError: If the database or the broker does not answer.
        """
        counts: Counter[str] = Counter()
        for batch in self._store.unsettled(self._book.fingerprint):
            counts.update(self._settle(batch))
        return counts

    def _settle(self, batch: Batch) -> Counter[str]:
        held = {entry.event_id for entry in batch.entries}
        self._sent -= held
        current = _current(batch.entries)
        due: dict[str, Reward] = {}
        done: list[tuple[OpenClaim, int]] = []
        counts: Counter[str] = Counter()
        for claim in batch.claims:
            outcomes = batch.outcomes[claim.outcome_key]
            settled = settle_claim(claim, outcomes, self._book)
            stale = _stale(claim, settled, current.get(claim.trajectory_id, ()))
            wanted = [*settled.entries, *stale]
            missing = [entry for entry in wanted if entry.event_id not in held]
            due |= {e.event_id: e for e in missing if e.event_id not in self._sent}
            counts["unsettleable"] += settled.problem(outcomes[-1].version) is not None
            counts["waiting"] += bool(missing)
            if not missing:
                done.append((claim, len(outcomes)))
        reach("settle.write.before")
        self._write([(e.trajectory_id.encode(), encode_event(e)) for e in due.values()])
        reach("settle.write.after")
        self._sent |= set(due)
        self._store.mark(done, self._book.fingerprint)
        reach("settle.mark.after")
        return counts + Counter(emitted=len(due), settled=len(done))


def _stale(claim: OpenClaim, settled: Settled, current: Iterable[Reward]) -> list[Reward]:
    """Retractions of what another rule, or another version of it, said of a claim."""
    if settled.rule is None:
        return []
    others = (entry for entry in current if entry.source_version != settled.rule)
    return [retraction(entry) for entry in others if is_of_claim(entry, claim)]


def _current(entries: Iterable[Reward]) -> dict[str, list[Reward]]:
    """Entries that nothing supersedes, by trajectory."""
    entries = list(entries)
    replaced = {entry.supersedes for entry in entries}
    found: dict[str, list[Reward]] = defaultdict(list)
    for entry in entries:
        if entry.event_id not in replaced:
            found[entry.trajectory_id].append(entry)
    return found


def settle_once(settings: SettlementSettings) -> Counter[str]:
    """One look at everything; gives how many claims are settled, and how many entries went out.

    Raises:
        SinkError: What a person must see.
    """
    counts: Counter[str] = Counter()
    _run(settings, lambda settler: counts.update(settler.turn()))
    return counts


def serve(settings: SettlementSettings) -> None:
    """Settle until SIGTERM or SIGINT.

    Raises:
        SinkError: What ends the process; its message is for a person.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def loop(settler: Settler) -> None:
        log.info("settlement_started interval_s=%g", settings.settlement_interval_s)
        while not stop.is_set():
            counts = settler.turn()
            if counts["emitted"] or counts["settled"]:
                log.info("settled %s", " ".join(f"{k}={n}" for k, n in sorted(counts.items())))
            stop.wait(settings.settlement_interval_s)

    _run(settings, loop)


def _run(settings: SettlementSettings, work: Callable[[Settler], None]) -> None:
    book = RuleBook.load(settings.settlement_rules)
    require_topics(settings, [], [settings.settlement_topic])
    store = SettlementStore(settings.postgres_dsn)
    try:
        writer = RewardWriter(settings, settings.settlement_topic, promise=PROMISE)
        work(Settler(store, book, writer))
    finally:
        store.close()
