"""What `up` decides before it starts anything: ports, password, and what to tell about them."""

import secrets
from collections.abc import Collection
from pathlib import Path

from ropewalk_deploy.stack import ports
from ropewalk_deploy.stack.model import KAFKA, POSTGRES
from ropewalk_deploy.stack.paths import Layout
from ropewalk_deploy.stack.postgres_binaries import WHEEL
from ropewalk_deploy.stack.state import State

# Which server listens on which remembered port.
PORT_FIELDS = {
    "kafka_port": (KAFKA, "Kafka"),
    "controller_port": (KAFKA, "Kafka's controller"),
    "postgres_port": (POSTGRES, "Postgres"),
}


def agreed_state(
    layout: Layout, remembered: State | None, *, running: Collection[str], data: Path
) -> tuple[State, list[str]]:
    """What is remembered where it still holds, new choices elsewhere; and notes on the changes.

    Args:
        layout: Of the home.
        remembered: None at the first `up`.
        running: Servers that are alive, whose ports therefore stay.
        data: Where Postgres' data is, or will be.
    """
    notes: list[str] = []
    chosen: dict[str, int] = {}
    for field, (server, name) in PORT_FIELDS.items():
        wanted: int | None = getattr(remembered, field, None)
        if wanted is not None and (server in running or ports.is_free(wanted)):
            chosen[field] = wanted
            continue
        chosen[field] = ports.choose(avoid=chosen.values())
        if wanted is not None:
            notes.append(
                f"Port {wanted} is taken by another program; "
                f"{name} now listens on port {chosen[field]}"
            )
    password = remembered.postgres_password if remembered else secrets.token_hex(16)
    state = State(
        kafka_port=chosen["kafka_port"],
        controller_port=chosen["controller_port"],
        postgres_port=chosen["postgres_port"],
        postgres_password=password,
        postgres_data=data,
    )
    return state, notes + _notes_on_data(layout, remembered, data)


def standing_notes(layout: Layout, state: State) -> list[str]:
    """What stays worth saying as long as the stack is where it is."""
    notes: list[str] = []
    why = "as root it runs as another user, who cannot reach"
    if not state.postgres_data.is_relative_to(layout.root):
        notes.append(f"Postgres keeps its data in {state.postgres_data}: {why} {layout.root}")
    notes.extend(
        f"Postgres' programs are copied to {copy}: {why} the installed ones"
        for directory in layout.outside
        for copy in directory.glob(f"{WHEEL}-*")
    )
    return notes


def _notes_on_data(layout: Layout, remembered: State | None, data: Path) -> list[str]:
    if remembered is None and data != layout.postgres_data and data.exists():
        return [
            f"{data} holds the Postgres data of an earlier stack with this home, and is used "
            f"again; to start empty, run `ropewalk down` and delete {data.parent}"
        ]
    if remembered is not None and data != remembered.postgres_data:
        return [f"Postgres' data is no longer in {remembered.postgres_data}; using {data}"]
    return []
