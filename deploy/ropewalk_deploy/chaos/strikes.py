"""What can be done to programs and servers; each leaves everything able to go on."""

import os
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime

import psutil

from ropewalk_deploy.chaos.arena import SESSION_TIMEOUT_S
from ropewalk_deploy.chaos.battle import Battle
from ropewalk_deploy.chaos.faulty_worker import MARK
from ropewalk_deploy.kafka import LogScanner, send_again
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.fields import SCHEMA_VERSION, format_instant
from ropewalk_schemas.quarantine import from_record
from ropewalk_schemas.topics import AGENT_EVENTS, QUARANTINE
from ropewalk_sinks.postgres_connection import connect

Strike = Callable[[Battle], None]
KILLS = 3
ENDS_WITHIN_S = 30.0
QUARANTINED_WITHIN_S = 120.0
"""Three deaths, each with a restart and a rebalance; on a busy machine they took 40 s."""
POISON: tuple[tuple[bytes | None, bytes | None], ...] = (
    (b"p-1", b"this is not JSON"),
    (b"p-2", b'{"type": "telepathy", "event_id": "x"}'),
    (b"p-3", b'{"type": "reward", "event_id": "x", "value": NaN}'),
    (b"p-4", b"\xff\xfe"),
    (b"p-5", b'{"type": "decision", "event_id": "a\\u0000b"}'),
    (b"p-6", b"[" * 70 + b"]" * 70),
    (b"p-7", b""),
    (b"p-8", None),
    (b"p-9", b'{"type": "decision", "schema_version": "99.0", "event_id": "x"}'),
    (None, b'{"type": "decision"}'),
    (None, None),
)


def kill(program: str) -> Strike:
    """Kill -9 at random moments: also while it starts and restores."""

    def strike(battle: Battle) -> None:
        for _ in range(KILLS):
            os.kill(battle.pid(program), signal.SIGKILL)
            battle.pause(0.3, 2.5)

    return strike


def terminate(program: str) -> Strike:
    """SIGTERM, as a deployment does."""

    def strike(battle: Battle) -> None:
        _end(battle, program)

    return strike


def freeze(program: str, beyond_s: float = SESSION_TIMEOUT_S + 3.0) -> Strike:
    """SIGSTOP until others have its partitions; then it wakes up as if it owned them."""

    def strike(battle: Battle) -> None:
        pid = battle.pid(program)
        os.kill(pid, signal.SIGSTOP)
        battle.pause(beyond_s, beyond_s + 2)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    return strike


def roll(*names: str) -> Strike:
    """Each program is stopped and started in turn, as in a deployment."""

    def strike(battle: Battle) -> None:
        for name in names:
            _end(battle, name)
            battle.pid(name)
            battle.pause(0.5, 2.0)

    return strike


def restart_server(name: str, number: signal.Signals) -> Strike:
    """A server is gone for some seconds, and comes back on its data."""

    def strike(battle: Battle) -> None:
        battle.arena.signal_server(name, number)
        battle.pause(1.0, 5.0)
        battle.arena.start_servers()

    return strike


def freeze_server(name: str) -> Strike:
    """A server answers nobody for a while, with all connections open."""

    def strike(battle: Battle) -> None:
        process = battle.arena.server(name)
        family = [process, *process.children(recursive=True)]
        for each in family:
            each.send_signal(signal.SIGSTOP)
        battle.pause(6.0, 12.0)
        for each in reversed(family):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)

    return strike


def cut_connections(battle: Battle) -> None:
    """The database ends every session of the programs, again and again, also amid COPY."""
    for _ in range(5):
        with closing(connect(battle.arena.places.postgres_dsn)) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        battle.pause(0.2, 1.5)


def hold_locks(battle: Battle) -> None:
    """Somebody holds the tables for some seconds."""
    with closing(connect(battle.arena.places.postgres_dsn)) as connection, connection.transaction():
        connection.execute("LOCK TABLE trajectories, rewards, sink_offsets IN EXCLUSIVE MODE")
        battle.pause(4.0, 8.0)


def send_poison(battle: Battle) -> None:
    """Garbage of every kind, beside good keys."""
    for _ in range(5):
        send_again(battle.arena.places.bootstrap_servers, AGENT_EVENTS.name, POISON)
        battle.pause(0.1, 0.5)


def send_what_meets_a_bug(battle: Battle) -> None:
    """One good record on which the engine fails: three times, and then it is quarantined."""
    reward = {
        "type": "reward",
        "event_id": f"bug-{battle.rng.getrandbits(64):016x}",
        "schema_version": SCHEMA_VERSION,
        "occurred_at": format_instant(datetime.now(UTC)),
        "project": "chaos",
        "trajectory_id": "bug",
        "name": MARK,
        "value": 1.0,
        "source": "human",
    }
    servers = battle.arena.places.bootstrap_servers
    send_again(servers, AGENT_EVENTS.name, [(b"bug", to_json(reward))])

    def found() -> list[str]:
        with LogScanner(servers) as scanner:
            return [
                refused.reason
                for partition in scanner.partitions(QUARANTINE.name)
                for record in scanner.records(QUARANTINE.name, partition)
                if (refused := from_record(record.key, record.value, record.headers)).value
                == to_json(reward)
            ]

    battle.until(lambda: bool(found()), QUARANTINED_WITHIN_S)
    if found() != ["poison"]:
        battle.notes.append(f"the record that the engine fails on was quarantined as {found()}")


def _end(battle: Battle, name: str) -> None:
    process = psutil.Process(battle.pid(name))
    process.terminate()
    ends(battle, process, name)


def ends(battle: Battle, process: psutil.Process, name: str) -> None:
    """Wait for the end of a process that was asked for it, and note one that does not end."""
    with suppress(psutil.TimeoutExpired):
        process.wait(ENDS_WITHIN_S)
        return
    battle.notes.append(f"{name} did not end within {ENDS_WITHIN_S:.0f} s of SIGTERM")
    process.kill()
