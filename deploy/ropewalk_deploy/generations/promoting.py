"""`ropewalk promote`: switches readers of both stores to a generation, each store at once.

Killed at any moment, it is finished by running it again: the register says what is under way, and
each store knows whether it has switched.
"""

from dataclasses import dataclass

from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations.names import BEFORE
from ropewalk_deploy.generations.places import within
from ropewalk_deploy.generations.removing import remove_remains
from ropewalk_schemas.failpoints import reach
from ropewalk_sinks.exchange import require_exchange
from ropewalk_sinks.parquet_promotion import Switch
from ropewalk_sinks.postgres_generations import Generation, Register, open_register
from ropewalk_sinks.postgres_migrations import migrate
from ropewalk_sinks.postgres_promotion import switch_postgres


@dataclass(frozen=True, slots=True)
class Promoted:
    """What readers see now: `seen`; and under which name the other is kept."""

    seen: str | None
    kept: str
    trajectories: int


def promote(places: Endpoints, name: str) -> Promoted:
    """Switch readers to a generation, or back to what they saw before it.

    Raises:
        CommandError: If there is none of this name, or it cannot be switched to now.
        SinkError: If a store refuses; run it again when the cause is gone.
    """
    with open_register(places.postgres_dsn) as register:
        found = _require(register, name)
        _require_no_other(register, found)
        require_exchange(places.parquet_path / "_ropewalk")
        if found.replaced_by is None:
            return _forward(places, register, found)
        return _back(places, register, found, found.replaced_by)


def _require(register: Register, name: str) -> Generation:
    found = register.get(name)
    if found is None:
        msg = f"there is no generation {name}; `ropewalk generations ls` lists them"
        raise CommandError(msg)
    if found.state == "promoted":
        msg = f"generation {name} is what readers see already"
        raise CommandError(msg)
    if found.state == "undoing":
        msg = (
            f"generation {name} is half withdrawn: finish that with `ropewalk promote "
            f"{name}{BEFORE}`"
        )
        raise CommandError(msg)
    if found.state in ("building", "removing") and found.replaced_by is None:
        msg = f"generation {name} is not whole ({found.state}): run that command again first"
        raise CommandError(msg)
    return found


def _require_no_other(register: Register, found: Generation) -> None:
    """One switch at a time; and the newest of several that share trajectories goes back first."""
    ours = found.replaced_by or found.name
    for other in register.all():
        if other.state in ("promoting", "undoing") and other.name != ours:
            half = other.name if other.state == "promoting" else f"{other.name}{BEFORE}"
            msg = f"a switch is half done: finish it first with `ropewalk promote {half}`"
            raise CommandError(msg)
    if found.replaced_by is not None:
        since = register.promoted_since(found.replaced_by)
        for other_name, n_shared in since.items():
            msg = (
                f"generation {other_name} was promoted after {found.replaced_by} and has "
                f"{n_shared:,} of the same trajectories: first go back with `ropewalk promote "
                f"{other_name}{BEFORE}`"
            )
            raise CommandError(msg)


def _forward(places: Endpoints, register: Register, found: Generation) -> Promoted:
    """Readers see the generation; what they saw becomes a generation of its own."""
    name, before = found.name, f"{found.name}{BEFORE}"
    if found.state == "built":
        if register.get(before) is not None:  # of a switch that died before it, or after it, began
            remove_remains(places, register, before)
        register.begin(found._replace(name=before, state="building", replaced_by=name, counts={}))
        register.set_state(name, "promoting")
    reach("promote.begun")
    for schema in (name, before):
        migrate(within(places, schema).postgres_dsn)
    ids = register.members(name)
    if not found.in_postgres:
        switch_postgres(register.connection, incoming=name, displaced=before, of=name, seen=True)
    Switch(places.parquet_path, incoming=name, displaced=before, ids=ids, keep=True).make()
    register.promoted(name, before)
    return Promoted(name, before, len(ids))


def _back(places: Endpoints, register: Register, found: Generation, name: str) -> Promoted:
    """Readers see what they saw before; the generation has its trajectories back."""
    before = found.name
    known = register.get(name)
    if found.state != "removing":
        register.set_state(name, "undoing")
        reach("promote.undoing")
        for schema in (name, before):
            migrate(within(places, schema).postgres_dsn)
        ids = register.members(name)
        if known is not None and known.in_postgres:
            switch_postgres(
                register.connection, incoming=before, displaced=name, of=name, seen=False
            )
        Switch(places.parquet_path, incoming=before, displaced=name, ids=ids, keep=False).make()
        register.returned(name, before)
        reach("promote.undone")
    n_trajectories = len(register.members(name))
    remove_remains(places, register, before)
    return Promoted(None, name, n_trajectories)
