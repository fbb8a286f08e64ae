"""What `status` and `verify` know of generations: what is half done, and what readers see."""

from collections.abc import Iterable

from ropewalk_deploy.audit.accounts import Accounts, PartKey
from ropewalk_deploy.audit.checks import Check
from ropewalk_deploy.audit.readers import read_generation
from ropewalk_deploy.kafka import LogScanner
from ropewalk_sinks.postgres_generations import Generation, read_members


def read_promoted(
    scanner: LogScanner, dsn: str, generations: Iterable[Generation]
) -> list[tuple[frozenset[str], Accounts]]:
    """What readers see in the place of what the worker published, first promoted one first."""
    seen = sorted(
        (each.promoted_at, each.name)
        for each in generations
        if each.promoted_at is not None and each.in_postgres
    )
    return [
        (frozenset(read_members(dsn, name)), read_generation(scanner, name)) for _, name in seen
    ]


def published_hashes(
    scanner: LogScanner, accounts: Accounts, generations: Iterable[Generation]
) -> dict[PartKey, set[str]]:
    """Every hash that a part has, in the log or in a generation that is whole."""
    found = accounts.hashes()
    for each in generations:
        if each.replaced_by is None and each.state not in ("building", "removing"):
            for key, hashes in read_generation(scanner, each.name).hashes().items():
                found[key] = found.get(key, set()) | hashes
    return found


def half_done(generations: Iterable[Generation]) -> list[str]:
    """What a command that died left, as lines for a person."""
    told = {
        "promoting": "is half promoted: finish with `ropewalk promote {name}`",
        "undoing": "is half withdrawn: finish with `ropewalk promote {name}_before`",
        "building": "is half built: run its `ropewalk reprocess` again, or `generations rm {name}`",
        "removing": "is half removed: finish with `ropewalk generations rm {name}`",
    }
    found = []
    for each in generations:
        is_part_of_a_switch = each.state == "building" and each.replaced_by is not None
        if each.state in told and not is_part_of_a_switch:
            found.append(f"{each.name} {told[each.state].format(name=each.name)}")
    return found


def check_switches(generations: Iterable[Generation]) -> Check:
    """Both stores show their readers the same generation."""
    switching = [each for each in generations if each.state in ("promoting", "undoing")]
    wrong = half_done(switching)
    return Check(
        "generations: no switch is half done",
        not wrong,
        0,
        len(wrong),
        wrong=wrong,
        n_wrong=len(wrong),
    )
