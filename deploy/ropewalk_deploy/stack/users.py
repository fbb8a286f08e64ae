"""Who runs Postgres: it refuses to run as root."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ropewalk_deploy.stack.errors import MissingProgramError

# `nobody` is on every machine; `postgres` comes with an installed PostgreSQL.
PREFERRED_USERS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """A user of this machine other than root."""

    name: str
    uid: int
    gid: int


class _SubprocessUser(TypedDict, total=False):
    user: int
    group: int
    extra_groups: Sequence[int]


def server_user() -> ServerUser | None:
    """The user Postgres must run as; None if it can run as ourselves.

    Raises:
        MissingProgramError: If we are root and there is no such user.
    """
    if os.geteuid() != 0:
        return None
    entries = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in PREFERRED_USERS:
        if name in entries:
            return ServerUser(name, entries[name].pw_uid, entries[name].pw_gid)
    msg = (
        "Postgres refuses to run as root, and this machine has neither a `postgres` nor a "
        "`nobody` user. Create one (`useradd --system postgres`) or run as an ordinary user."
    )
    raise MissingProgramError(msg)


def as_user(user: ServerUser | None) -> _SubprocessUser:
    """Arguments that make `subprocess` run a program as `user`."""
    if user is None:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": ()}


def can_enter(directory: Path, user: ServerUser | None) -> bool:
    """Whether `user` may work below `directory`: asked of the system, so that ACLs count."""
    found = subprocess.run(  # noqa: S603 - the path is an argument, not a part of a command
        ["test", "-x", str(directory)],  # noqa: S607 - `test` is wherever the system has it
        check=False,
        cwd="/",
        **as_user(user),
    )
    return found.returncode == 0
