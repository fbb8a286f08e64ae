"""Wall clocks of the broker and of every program jump, by a library that is loaded first.

What is real about it: the broker stamps its log with that clock, and its timers live with it;
programs date what they write by it. Agents' clocks are the simulation's (`lost_clocks`). Monotonic
clocks, by which waits and the worker's ticks go, no system lets jump.
"""

import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import Battle
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import send_again
from ropewalk_schemas.topics import AGENT_EVENTS

SOURCE = Path(__file__).with_name("clocks.c")
JUMPS_S = (-3600, 0, -30, 0)
"""Back, and right again. A clock that was ahead and is set right is not tried: as long as it was
ahead nothing would close, and what follows is dated before its cause, so that nobody can
say what counted as of then."""
SLACK_S = 10.0
_OFFSET = struct.Struct("q")


def cannot_compile() -> str | None:
    """Why clocks cannot be made to jump here; None when they can."""
    return None if shutil.which("cc") else "it needs a C compiler, named cc"


@contextmanager
def with_clocks_of_its_own(arena: Arena) -> Iterator[Mapping[str, str]]:
    """The broker is started again with such a clock; gives what programs need for the same.

    Raises:
        CommandError: If the library cannot be made.
    """
    library, clock = arena.home / "clocks.so", _clock_of(arena)
    clock.write_bytes(_OFFSET.pack(0))
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    made = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if made.returncode != 0:
        msg = f"{' '.join(command)} failed: {made.stderr.strip()[-300:]}"
        raise CommandError(msg)
    environment = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(clock)}
    arena.extras = replace(arena.extras, environment=environment)
    arena.signal_server("kafka", signal.SIGTERM)
    arena.start_servers()
    yield environment


def jump(battle: Battle) -> None:
    """All of them jump together, under load."""
    for offset_s in JUMPS_S:
        with _clock_of(battle.arena).open("r+b") as clock:
            clock.write(_OFFSET.pack(offset_s))
        [stamped_ms] = send_again(
            battle.arena.places.bootstrap_servers, AGENT_EVENTS.name, [(b"clock", b"what time?")]
        )
        if abs(stamped_ms / 1000 - time.time() - offset_s) > SLACK_S:
            battle.notes.append(f"the broker's clock is not {offset_s} s off")
        battle.pause(2.0, 4.0)


def _clock_of(arena: Arena) -> Path:
    return arena.home / "clock"
