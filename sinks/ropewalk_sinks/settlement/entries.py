"""From a claim and what is known of its outcome to ledger entries. Pure.

The entries are a function of what is known, never of when it became known: each version of the
outcome gives one entry, whose id and content follow from the claim, the version and the rule. It
supersedes the entry of the version before, whether that one has been seen yet or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from ropewalk_schemas.encoding import canonical_json
from ropewalk_schemas.events import Reward
from ropewalk_schemas.outcomes import Outcome
from ropewalk_sinks.settlement.rulebook import RuleBook
from ropewalk_sinks.settlement.rules import UnsettleableError

FIRST_VERSION = 1
_NAMESPACE = uuid5(NAMESPACE_URL, "https://ropewalk.invalid/settlement")


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """A claim of a stored decision; `event_id` and `idx` say which."""

    project: str
    trajectory_id: str
    event_id: str
    idx: int
    outcome_key: str
    terms: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """What is to be in the ledger for a claim.

    Attributes:
        entries: In the order in which they should arrive.
        rule: The rule's name and version; None when there is no rule for it.
        unsettleable: By version of the outcome, why it settles nothing.
    """

    entries: tuple[Reward, ...] = ()
    rule: str | None = None
    unsettleable: Mapping[int, str] = field(default_factory=dict)

    def problem(self, newest: int) -> str | None:
        """Why the newest version does not settle the claim; None when it does."""
        return self.unsettleable.get(newest)


def settle_claim(claim: OpenClaim, outcomes: Sequence[Outcome], book: RuleBook) -> Settled:
    """The entries for all known versions of the claim's outcome, oldest first.

    An entry whose successor gives none (a version that is missing, or settles nothing) is retracted
    by an entry of value 0 as soon as a higher version is known.
    """
    versions = {outcome.version: outcome for outcome in outcomes}
    try:
        rule = book.rule_for(
            project=claim.project, outcome_key=claim.outcome_key, terms=claim.terms
        )
    except UnsettleableError as error:
        return Settled(unsettleable=dict.fromkeys(versions, str(error)))
    entries: dict[int, Reward] = {}
    unsettleable: dict[int, str] = {}
    for version, outcome in sorted(versions.items()):
        try:
            value = rule.settle(claim.terms, outcome.values)
        except UnsettleableError as error:
            unsettleable[version] = str(error)
        else:
            entries[version] = _entry(claim, outcome, rule.name, rule.id, value)
    return Settled((*entries.values(), *_retractions(entries, versions)), rule.id, unsettleable)


def retraction(entry: Reward) -> Reward:
    """An entry of value 0 that supersedes another, because none of another value does."""
    return entry.model_copy(
        update={
            "event_id": _derived(["retracted", entry.event_id]),
            "value": 0.0,
            "supersedes": entry.event_id,
            "reason": f"version {entry.outcome_version} by {entry.source_version} holds no longer",
            "metadata": {**entry.metadata, "retracts": entry.outcome_version},
        }
    )


def is_of_claim(entry: Reward, claim: OpenClaim) -> bool:
    """Whether settlement made an entry for a claim, by whichever rule."""
    rule, version = entry.source_version, entry.outcome_version
    if rule is None or version is None:
        return False
    return entry.event_id == _entry_id(claim, version, rule)


def _retractions(entries: Mapping[int, Reward], known: Mapping[int, Outcome]) -> list[Reward]:
    replaced = {entry.supersedes for entry in entries.values()}
    newest = max(known, default=0)
    return [
        retraction(entry)
        for version, entry in entries.items()
        if version < newest and entry.event_id not in replaced
    ]


def _entry(claim: OpenClaim, outcome: Outcome, name: str, rule: str, value: float) -> Reward:
    has_before = outcome.version > FIRST_VERSION
    return Reward(
        event_id=_entry_id(claim, outcome.version, rule),
        occurred_at=outcome.occurred_at,
        project=claim.project,
        trajectory_id=claim.trajectory_id,
        name=name,
        value=value,
        source="outcome",
        source_version=rule,
        target_event_id=claim.event_id,
        supersedes=_entry_id(claim, outcome.version - 1, rule) if has_before else None,
        outcome_key=claim.outcome_key,
        outcome_version=outcome.version,
        metadata={"claim": claim.idx},
    )


def _entry_id(claim: OpenClaim, version: int, rule: str) -> str:
    of_claim = [claim.trajectory_id, claim.event_id, claim.idx, claim.outcome_key]
    return _derived([*of_claim, version, rule])


def _derived(named: list[Any]) -> str:
    return str(uuid5(_NAMESPACE, canonical_json(named).decode()))
