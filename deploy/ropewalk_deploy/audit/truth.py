"""The logs against a simulator's truth ledger: every acknowledged event, one by one; pure."""

from collections import Counter
from collections.abc import Collection, Mapping
from math import fsum, isclose

from ropewalk_deploy.audit.accounts import Accounts, Place
from ropewalk_deploy.audit.checks import MAX_IDS, Check
from ropewalk_deploy.simulation.ledger import Ledger, LedgerEvent
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_schemas.trajectory import WriterSpan


def check_ledger(
    ledger: Ledger,
    accounts: Accounts,
    progress: Mapping[int, Progress],
    erased: Collection[str] = (),
) -> list[Check]:
    """Every acknowledged event has a fate, no event has two, every status is the sent one.

    Args:
        ledger: What was sent.
        accounts: What the logs hold.
        progress: The worker's account of each partition.
        erased: Trajectories of erased subjects: their events are not lost, whatever the logs say.
    """
    spans = _spans(accounts)
    fates: Counter[str] = Counter()
    lost: list[str] = []
    twice: list[str] = []
    for event_id, event in ledger.events.items():
        fate, n_parts = _fate(event, spans, accounts, progress)
        if event.intent.trajectory_id in erased:
            fate = "erased"
        if fate == "lost" and event.is_acknowledged:
            lost.append(event_id)
        if n_parts > 1:
            twice.append(event_id)
        if event.is_acknowledged:
            fates[fate] += 1
    n = len(ledger.acknowledged)
    detail = ", ".join(f"{count:,} {fate}" for fate, count in sorted(fates.items()))
    return [
        _listed("ledger: acknowledged events are in the result", n, n - len(lost), lost, detail),
        _listed("ledger: no event is in two parts", 0, len(twice), twice, ""),
        _check_totals(ledger, accounts, spans),
        _check_statuses(ledger, accounts, spans),
        _check_immediate(ledger, accounts, spans),
        _check_entries(ledger, accounts, erased),
    ]


def stored_events(ledger: Ledger, accounts: Accounts) -> set[str]:
    """The events of a ledger that are in a stored part, whether acknowledged or not."""
    spans = _spans(accounts)
    return {i for i, event in ledger.events.items() if _parts_holding(event, spans)}


def _listed(name: str, expected: int, found: int, wrong: list[str], detail: str) -> Check:
    return Check(
        name, not wrong, expected, found, detail, wrong=wrong[:MAX_IDS], n_wrong=len(wrong)
    )


Spans = dict[tuple[str, str], list[tuple[int, WriterSpan]]]


def _spans(accounts: Accounts) -> Spans:
    """By (trajectory_id, writer): the spans of every part that sinks must hold."""
    found: Spans = {}
    for key, part in accounts.stored_parts().items():
        for span in part.writers:
            found.setdefault((key.trajectory_id, span.writer), []).append((key.part, span))
    return found


def _fate(
    event: LedgerEvent, spans: Spans, accounts: Accounts, progress: Mapping[int, Progress]
) -> tuple[str, int]:
    """What became of an event, and in how many parts it is."""
    intent = event.intent
    if intent.type == "reward":
        found = intent.event_id in accounts.reward_ids
        return ("ledger" if found else "lost"), 0
    holding = _parts_holding(event, spans)
    if holding:
        return "assembled", len(holding)
    places = [Place(AGENT_EVENTS.name, *place) for place in event.places]
    if any(place in accounts.refused for place in places):
        return "quarantined", 0
    if any(_is_open(place, progress) for place in places):
        return "open", 0
    return "lost", 0


def _parts_holding(event: LedgerEvent, spans: Spans) -> set[int]:
    sent = event.intent
    return {
        part
        for part, span in spans.get((sent.trajectory_id, sent.writer or ""), ())
        if span.from_seq <= (sent.seq or 0) <= span.to_seq and sent.seq not in span.missing
    }


def _is_open(place: Place, progress: Mapping[int, Progress]) -> bool:
    account = progress.get(place.partition)
    return (
        account is None
        or (account.open_events > 0 and place.offset >= account.replay_offset)
        or place.offset >= account.next_offset
    )


def _check_totals(ledger: Ledger, accounts: Accounts, spans: Spans) -> Check:
    """Parts hold as many events as the ledger finds in them: nothing strange, nothing doubled."""
    expected: Counter[str] = Counter()
    for event in ledger.events.values():
        expected[event.intent.trajectory_id] += len(_parts_holding(event, spans))
    found: Counter[str] = Counter()
    for key, part in accounts.stored_parts().items():
        if key.trajectory_id in ledger.opened:
            found[key.trajectory_id] += part.n_events
    wrong = [
        f"{i}: {found[i]} events, {expected[i]} sent" for i in found if found[i] != expected[i]
    ]
    name = "ledger: parts hold the events that were sent, each once"
    return _listed(name, expected.total(), found.total(), wrong, "")


def _check_statuses(ledger: Ledger, accounts: Accounts, spans: Spans) -> Check:
    """The last part says the status that the trajectory's end said, where the end is in it."""
    stored = {key.trajectory_id: part.status for key, part in accounts.stored_parts().items()}
    wrong = []
    n = 0
    for event in ledger.events.values():
        sent = event.intent
        if sent.type == "trajectory_ended" and _parts_holding(event, spans):
            n += 1
            if stored[sent.trajectory_id] != sent.status:
                found = stored[sent.trajectory_id]
                wrong.append(f"{sent.trajectory_id}: {found}, sent was {sent.status}")
    return _listed("ledger: final statuses are the sent ones", n, n - len(wrong), wrong, "")


def _check_immediate(ledger: Ledger, accounts: Accounts, spans: Spans) -> Check:
    """What decisions earned at once, per trajectory, as sent and as assembled."""
    sent: dict[str, list[float]] = {}
    for event in ledger.events.values():
        if event.intent.type == "decision" and _parts_holding(event, spans):
            sent.setdefault(event.intent.trajectory_id, []).append(event.intent.reward)
    found: dict[str, list[float]] = {}
    for key, part in accounts.stored_parts().items():
        found.setdefault(key.trajectory_id, []).append(part.immediate)
    wrong = [
        f"{i}: {fsum(found[i])}, sent was {fsum(values)}"
        for i, values in sent.items()
        if not isclose(fsum(found[i]), fsum(values), abs_tol=1e-6)
    ]
    name = "ledger: trajectories earned at once what was sent"
    return _listed(name, len(sent), len(sent) - len(wrong), wrong, "")


def _check_entries(ledger: Ledger, accounts: Accounts, erased: Collection[str]) -> Check:
    """Each acknowledged reward is in the reward ledger with its value, unless it is erased."""
    sent = {
        event.intent.event_id: event.intent.reward
        for event in ledger.acknowledged.values()
        if event.intent.type == "reward" and event.intent.trajectory_id not in erased
    }
    found = {i: row.value for i, row in accounts.reward_ids.items() if i in sent}
    wrong = [
        f"{i}: {found.get(i)}, sent was {value}"
        for i, value in sent.items()
        if found.get(i) != value
    ]
    name = "ledger: rewards have the value that was sent"
    return _listed(name, len(sent), len(sent) - len(wrong), wrong, "")
