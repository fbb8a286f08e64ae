"""What a sink counts as of a moment against what a simulation must have earned by then; pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any, NamedTuple

from ropewalk_deploy.audit.accounts import Accounts
from ropewalk_deploy.audit.checks import MAX_IDS, Check
from ropewalk_deploy.audit.erased import without
from ropewalk_deploy.simulation.earned import ClaimId, claim_rewards, judge_scores, sent_rewards
from ropewalk_deploy.simulation.ledger import Ledger
from ropewalk_deploy.simulation.ledger_lines import Moment
from ropewalk_schemas.encoding import parse_json
from ropewalk_schemas.published import raw_json
from ropewalk_schemas.trajectory import LedgerEntry
from ropewalk_schemas.windows import from_micros
from ropewalk_sinks.ledger import Counting

LARGEST_GROUP = 16
"""As the judge has it by default."""


class Key(NamedTuple):
    """An entry as the truth knows it: sent by its id, for a claim, or the judge's of someone."""

    kind: str
    id: str | ClaimId

    def __str__(self) -> str:
        return f"{self.kind} {'/'.join(map(str, self.id)) if self.kind == 'claim' else self.id}"


@dataclass(frozen=True, slots=True)
class Due:
    """What must count, and what may besides."""

    must: dict[Key, float]
    may: dict[Key, float]


def due_as_of(
    ledger: Ledger,
    accounts: Accounts,
    stored: set[str],
    moment: Moment | None,
    erased: Collection[str] = (),
) -> Due:
    """What must count at a moment, or now.

    Args:
        ledger: The truth.
        accounts: What the log holds.
        stored: Events that are in a stored part.
        moment: None for now.
        erased: Trajectories of erased subjects: nothing counts for them.
    """
    as_of_ms = moment.at_ms if moment is not None else None
    unsure = {
        key
        for key in ledger.unsure
        if key in accounts.reward_ids
        and (as_of_ms is None or _recorded_ms(accounts.reward_ids[key]) <= as_of_ms)
    }
    must = {
        **{Key("sent", i): v for i, v in sent_rewards(ledger, as_of_ms, unsure=unsure).items()},
        **{Key("claim", i): v for i, v in claim_rewards(ledger, stored, as_of_ms).items()},
    }
    judged = {Key("judge", i): value for i, value in judge_scores(ledger, stored).items()}
    newest = moment or (ledger.moments[-1] if ledger.moments else None)
    if newest is not None and newest.judged:
        due = {Key("judge", i) for i in judgeable(without(accounts, erased))} & judged.keys()
        must |= {key: judged[key] for key in due}
    elif moment is not None:
        judged = {}
    kept = [
        {key: v for key, v in due.items() if _trajectory_of(key, ledger, accounts) not in erased}
        for due in (must, judged)
    ]
    return Due(*kept)


def _trajectory_of(key: Key, ledger: Ledger, accounts: Accounts) -> str | None:
    """Whose entry it is, as far as anybody knows."""
    if isinstance(key.id, ClaimId):
        return key.id.trajectory_id
    if key.kind == "judge":
        return key.id
    if key.id in accounts.reward_ids:
        return accounts.reward_ids[key.id].trajectory_id
    return ledger.events[key.id].intent.trajectory_id if key.id in ledger.events else None


def _recorded_ms(entry: LedgerEntry) -> float:
    return entry.recorded_at.timestamp() * 1000


def judgeable(accounts: Accounts) -> set[str]:
    """Trajectories of groups of whole trajectories, as the log has them."""
    groups: dict[tuple[str | None, ...], list[tuple[str, bool]]] = defaultdict(list)
    for key, part in accounts.stored_parts().items():
        whole = part.complete and part.last and key.part == 0
        groups[part.group].append((key.trajectory_id, whole))
    return {
        trajectory_id
        for members in groups.values()
        if 1 < len(members) <= LARGEST_GROUP and all(whole for _, whole in members)
        for trajectory_id, _ in members
    }


def check_earned(
    sink: str, due: Due, counting: Iterable[Counting], accounts: Accounts, moment: Moment | None
) -> Check:
    """A sink counts what is due, each once and for what it is worth, and nothing else."""
    wrong: list[str] = []
    found: Counter[Key] = Counter()
    for entry in counting:
        key = _key_of(entry, due, accounts.reward_ids)
        if key is None:
            continue
        found[key] += 1
        wanted = due.must.get(key, due.may.get(key))
        if wanted is None:
            wrong.append(f"{key} counts {entry.value} ({entry.reward_id}), and should not")
        elif not isclose(entry.value, wanted, rel_tol=1e-9, abs_tol=1e-9):
            wrong.append(f"{key} counts {entry.value} ({entry.reward_id}), should be {wanted}")
        elif (key.kind == "claim") != (entry.step is not None):
            wrong.append(f"{key} ({entry.reward_id}) is placed at step {entry.step}")
    wrong += [f"{key} counts {n} times" for key, n in found.items() if n > 1]
    wrong += [f"{key} is missing, should be {v}" for key, v in due.must.items() if key not in found]
    return Check(
        f"{sink}: what counts {_when(moment)} is the truth",
        not wrong,
        len(due.must),
        found.total(),
        _detail(found, wrong),
        wrong=wrong[:MAX_IDS],
        n_wrong=len(wrong),
    )


def _when(moment: Moment | None) -> str:
    if moment is None:
        return "now"
    at = from_micros(moment.at_ms * 1000).isoformat(timespec="milliseconds")
    return f"as of {at.replace('+00:00', 'Z')}, after {moment.after},"


def _detail(found: Counter[Key], wrong: list[str]) -> str:
    if wrong:
        return "if settlement or judge were still at work: wait, then verify again"
    kinds = Counter(key.kind for key in found)
    return ", ".join(f"{n:,} {kind}" for kind, n in sorted(kinds.items()))


def _key_of(entry: Counting, due: Due, logged: Mapping[str, LedgerEntry]) -> Key | None:
    """Whose entry it is; None for one that only says that another holds no longer."""
    sent = Key("sent", entry.reward_id)
    if sent in due.must or entry.reward_id not in logged:
        return sent
    if entry.source == "judge":
        return Key("judge", entry.trajectory_id)
    row = logged[entry.reward_id]
    about: dict[str, Any] = parse_json(raw_json(row.metadata) or "{}", otherwise={})
    if "retracts" in about:
        return None
    if entry.source == "outcome" and "claim" in about:
        claim = ClaimId(entry.trajectory_id, row.target_event_id or "", about["claim"])
        return Key("claim", claim)
    return sent
