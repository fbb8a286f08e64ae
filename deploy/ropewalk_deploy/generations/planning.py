"""Which trajectories a generation is to hold, and which of those it cannot."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ropewalk_deploy.audit.readers import Share
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations.choice import Choice
from ropewalk_deploy.generations.reading import Source
from ropewalk_deploy.generations.rebuilding import EngineFailureError, Found, Log, find
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_sinks.erasure import Erasures
from ropewalk_sinks.postgres_generations import HeldNow, Register

MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be rebuilt.

    Attributes:
        members: The trajectories the generation speaks for.
        logs: The log of each partition; `found`: what its first run found.
        left_out: Chosen trajectories that the worker holds open.
        n_erased: Chosen trajectories of erased subjects.
    """

    members: frozenset[str]
    logs: Mapping[int, Log]
    found: Mapping[int, Found]
    left_out: list[str]
    n_erased: int


def make_plan(
    register: Register,
    choice: Choice,
    sources: Mapping[int, Source],
    erasures: Erasures,
    share: Share,
) -> Plan:
    """Look through the logs and what readers see.

    Args:
        register: Knows what readers see.
        choice: What a person chose.
        sources: The logs.
        erasures: Whom no store may hold.
        share: Told the share that is done.

    Raises:
        CommandError: If nothing is chosen, or something chosen cannot be rebuilt.
    """
    open_live = _open_live(register, sources)
    logs = {p: replace(source.log, open_live=open_live) for p, source in sources.items()}
    found = {}
    for n_done, (partition, log) in enumerate(logs.items(), 1):
        found[partition] = _find(log, choice)
        share(n_done / len(logs))
    now = register.chosen_now(choice.ranges, choice.project)
    rebuilt = {i: owner for each in found.values() for i, owner in each.chosen.items()}
    erased = {i for i, owner in rebuilt.items() if erasures.has_part(i, *owner)}
    chosen = now.keys() | rebuilt.keys()
    members = frozenset(chosen - open_live - erased)
    if not chosen:
        msg = (
            "no trajectory has a part in these windows, neither as stored nor as rebuilt; "
            "`ropewalk status` names the newest window"
        )
        raise CommandError(msg)
    held = now | register.held_now(members - now.keys())
    require_beginnings({i: held[i] for i in members & held.keys()}, sources)
    left_out = sorted((chosen & open_live) - erased)
    return Plan(members, logs, found, left_out, len(erased))


def _open_live(register: Register, sources: Mapping[int, Source]) -> frozenset[str]:
    """What the worker may yet publish; of what has its last part it can only refuse the rest."""
    open_now = {i for source in sources.values() for i in source.open_lives}
    held = register.held_now(open_now)
    return frozenset(i for i in open_now if i not in held or not held[i].has_last)


def _find(log: Log, choice: Choice) -> Found:
    try:
        return find(log, choice)
    except EngineFailureError as error:
        msg = (
            f"today's engine fails on {AGENT_EVENTS.name}[{log.place.partition}] offset "
            f"{error.offset} ({error}), which was no poison before: install an engine that does "
            "not; nothing was rebuilt"
        )
        raise CommandError(msg) from error


def require_beginnings(held: Mapping[str, HeldNow], sources: Mapping[int, Source]) -> None:
    """Hold that retention has not deleted what a trajectory begins with.

    Raises:
        CommandError: Naming those whose beginning is gone.
    """
    lost = sorted(
        trajectory_id
        for trajectory_id, at in held.items()
        if at.partition not in sources or at.first_offset < sources[at.partition].start
    )
    if lost:
        msg = (
            f"the log no longer holds the beginning of {len(lost):,} of {len(held):,} stored "
            f"trajectories in these windows: {named(lost)}. They cannot be rebuilt: choose later "
            f"windows, and give {AGENT_EVENTS.name} a longer retention"
        )
        raise CommandError(msg)


def named(ids: Collection[str], most: int = MAX_NAMED) -> str:
    """Some of many ids, for a person."""
    some = sorted(ids)[:most]
    more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
    return ", ".join(some) + more
