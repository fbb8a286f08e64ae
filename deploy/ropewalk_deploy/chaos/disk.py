"""A database on a small disk that another program fills: a real one, which root mounts."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ropewalk_deploy.chaos.arena import Arena
from ropewalk_deploy.chaos.battle import Battle
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.stack.postgres import DATABASE
from ropewalk_sinks.postgres_connection import connect

DISK_MIB = 96
MET_WITHIN_S = 20.0
FULL = b"No space left on device"
CHUNK = bytes(1024 * 1024)


def cannot_mount() -> str | None:
    """Why a small disk cannot be had here; None when it can."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return "it mounts a small disk, which only root may"
    return None


@contextmanager
def on_a_small_disk(arena: Arena) -> Iterator[Mapping[str, str]]:
    """The database's tables are on a small disk; its write-ahead log is not.

    Raises:
        CommandError: If it cannot be mounted.
    """
    folder = _disk_of(arena)
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder))
    try:
        tables = folder / "tables"
        tables.mkdir(mode=0o700)
        owner = arena.server("postgres").uids().real
        os.chown(folder, owner, -1)
        os.chown(tables, owner, -1)
        elsewhere = arena.places.postgres_dsn.removesuffix(DATABASE) + "postgres"
        with closing(connect(elsewhere)) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
            connection.execute(f"ALTER DATABASE {DATABASE} SET TABLESPACE small")
        yield {}
    finally:
        with suppress(CommandError):
            _run("umount", "--lazy", str(folder))


def fill(battle: Battle) -> None:
    """Take all the room, until the sink has met that, and some seconds longer."""
    log_from = battle.arena.log.stat().st_size
    ballast = _disk_of(battle.arena) / "ballast"
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        with suppress(OSError):  # it is full
            while True:
                os.write(file, CHUNK)

        def is_met() -> bool:
            with suppress(OSError):
                while os.write(file, CHUNK[:4096]):  # what was freed meanwhile
                    pass
            return FULL in battle.arena.log.read_bytes()[log_from:]

        if not battle.until(is_met, MET_WITHIN_S):
            battle.notes.append("nothing met the full disk")
        battle.pause(2.0, 4.0)
    finally:
        os.close(file)
        ballast.unlink()


def _disk_of(arena: Arena) -> Path:
    return arena.home / "small-disk"


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        msg = f"{' '.join(command)} failed: {done.stderr.strip()}"
        raise CommandError(msg)
