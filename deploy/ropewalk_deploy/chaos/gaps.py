"""What a lossy producer never sent is listed as missing; nothing pretends that it is there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ropewalk_deploy.audit.checks import MAX_IDS, Check
from ropewalk_deploy.chaos.stored import StoredSpan, stored_spans
from ropewalk_deploy.simulation.ledger import LedgerEvent, read_ledger


@dataclass(frozen=True, slots=True)
class Gaps:
    """What became of events that never left their process.

    Args:
        never_sent: How many there are; rewards aside, which have no seq.
        listed: Those that a part lists as missing.
        unlisted: Those in no part's range: before its first or after its last event, or of a
            trajectory that is in quarantine as a whole.
        wrong: Those that a part claims to hold, or that a complete part does not.
    """

    never_sent: int
    listed: int
    unlisted: int
    wrong: list[str]

    def check(self) -> Check:
        """That nothing pretends to be there."""
        n = len(self.wrong)
        return Check("gaps: what was never sent is missing, and said to be", not n,
                     self.never_sent, self.never_sent - n, wrong=self.wrong[:MAX_IDS],
                     n_wrong=n)  # fmt: skip


def gaps_of(ledger: Path, dataset: Path) -> Gaps:
    """What a ledger's unsent events came to in a Parquet dataset."""
    return find_gaps(read_ledger(ledger).unsure, stored_spans(dataset))


def find_gaps(unsent: Mapping[str, LedgerEvent], spans: Iterable[StoredSpan]) -> Gaps:
    """The same; pure."""
    by_writer: dict[tuple[str, str], list[StoredSpan]] = {}
    for span in spans:
        by_writer.setdefault((span.trajectory_id, span.writer), []).append(span)
    listed = unlisted = 0
    wrong: list[str] = []
    life = {i: event.intent for i, event in unsent.items() if event.intent.type != "reward"}
    for event_id, intent in life.items():
        found = by_writer.get((intent.trajectory_id, intent.writer or ""), [])
        around = [s for s in found if s.from_seq <= (intent.seq or 0) <= s.to_seq]
        if not around:
            unlisted += 1
        elif all(intent.seq in s.missing and not s.complete for s in around):
            listed += 1
        else:
            wrong.append(f"{event_id} of {intent.trajectory_id}")
    return Gaps(len(life), listed, unlisted, wrong)
