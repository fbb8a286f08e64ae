"""What the stack remembers between commands: ``stack.json``."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ropewalk_deploy.stack.errors import HomeError


@dataclass(frozen=True, slots=True)
class State:
    """The choices made at the first `up`, and the processes last seen.

    Args:
        kafka_port: For clients.
        controller_port: Kafka's own.
        postgres_port: For clients.
        postgres_password: Already set in the data at `postgres_data`.
        postgres_data: Absolute.
        pids: As last seen. Pids are recycled: a pid here proves nothing by itself.
    """

    kafka_port: int
    controller_port: int
    postgres_port: int
    postgres_password: str
    postgres_data: Path
    pids: dict[str, int] = field(default_factory=dict)


def save_state(state: State, file: Path) -> None:
    """Replace `file` in one step, readable by its owner only: the password is in it."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(asdict(state), indent=2, default=str) + "\n")
    fresh.replace(file)


def load_state(file: Path) -> State | None:
    """What was saved, or None if nothing was.

    Raises:
        HomeError: If the file is there and cannot be understood.
    """
    try:
        fields: dict[str, Any] = json.loads(file.read_text())
        return State(**fields | {"postgres_data": Path(fields["postgres_data"])})
    except FileNotFoundError:
        return None
    except PermissionError as error:
        msg = f"{file} cannot be read. Run as the user who started the stack."
        raise HomeError(msg) from error
    except (ValueError, TypeError, KeyError) as error:
        msg = (
            f"{file} cannot be understood ({error}). Delete it and run the command again: "
            "the data stays, ports and password are chosen anew."
        )
        raise HomeError(msg) from error
