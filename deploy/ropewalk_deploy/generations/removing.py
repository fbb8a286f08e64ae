"""`ropewalk generations rm`: removes a generation from both stores and from Kafka."""

import shutil

from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.generations.places import folder_of, output_topics
from ropewalk_deploy.kafka import delete_topics
from ropewalk_schemas.failpoints import reach
from ropewalk_sinks.postgres_generations import Generation, Register, open_register


def remove(places: Endpoints, name: str) -> None:
    """Remove a generation that no reader sees; killed, it is simply run again.

    Raises:
        CommandError: If there is none of this name, or readers see it.
    """
    with open_register(places.postgres_dsn) as register:
        known = register.get(name)
        if known is None:
            msg = f"there is no generation {name}; `ropewalk generations ls` lists them"
            raise CommandError(msg)
        if known.in_postgres or known.in_parquet or known.state in ("promoting", "undoing"):
            before = next((g.name for g in register.all() if g.replaced_by == name), None)
            msg = f"generation {name} is what readers see: it stays"
            if before is not None:
                msg += f"; `ropewalk promote {before}` brings back what they saw before"
            raise CommandError(msg)
        _require_no_switch(register, known)
        register.set_state(name, "removing")
        reach("generation.removing")
        remove_remains(places, register, name)


def _require_no_switch(register: Register, found: Generation) -> None:
    """What readers saw before is needed until the switch that replaces it is done."""
    by = None if found.replaced_by is None else register.get(found.replaced_by)
    if by is not None and by.state in ("promoting", "undoing"):
        half = by.name if by.state == "promoting" else found.name
        msg = f"a switch is half done: finish it first with `ropewalk promote {half}`"
        raise CommandError(msg)


def remove_remains(places: Endpoints, register: Register, name: str) -> None:
    """Remove what is there of a generation, the register's row last."""
    delete_topics(places.bootstrap_servers, output_topics(name))
    shutil.rmtree(folder_of(places, name), ignore_errors=True)
    reach("generation.removed")
    register.remove(name)
