"""Where Postgres keeps its data, and how an empty data directory becomes a cluster."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ropewalk_deploy.stack.errors import HomeError, ServerError
from ropewalk_deploy.stack.paths import Layout
from ropewalk_deploy.stack.postgres_binaries import Binaries, find_binaries
from ropewalk_deploy.stack.users import ServerUser, as_user, can_enter, server_user

ROLE = "ropewalk"
COMMAND_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Site:
    """Where one Postgres lives: its data, its programs, and who runs it (None for ourselves)."""

    data: Path
    binaries: Binaries
    user: ServerUser | None

    @property
    def is_initialised(self) -> bool:
        """Whether `data` holds a cluster."""
        return _holds_cluster(self.data)


def find_site(layout: Layout, *, remembered: Path | None) -> Site:
    """Where this home's Postgres lives, or is to live.

    Raises:
        HomeError: If there is no place for the data that its user can reach.
        MissingProgramError: If there are no programs that can work on the data.
    """
    user = server_user()
    data = _place(layout, remembered, user)
    major = int((data / "PG_VERSION").read_text()) if _holds_cluster(data) else None
    return Site(data, find_binaries(user, major=major, copies=layout.outside), user)


def initialise(site: Site, *, password: str) -> None:
    """Create the cluster at once: killed half-way it leaves no data directory."""
    fresh = site.data.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if site.user is not None:
        os.chown(fresh, site.user.uid, site.user.gid)
    initdb = [
        *(str(site.binaries.directory / "initdb"), "-D", str(fresh), "-U", ROLE),
        *("--encoding=UTF8", "--locale=C", "--data-checksums"),
        # A password and not trust: anybody on a shared machine can reach the loopback port.
        *("--auth-local=reject", "--auth-host=scram-sha-256"),
    ]
    _run(site, initdb)
    set_password(site, fresh, password)
    fresh.rename(site.data)


def set_password(site: Site, data: Path, password: str) -> None:
    """Give the role its password without knowing the old one; no server may run on `data`."""
    postgres = [str(site.binaries.directory / "postgres"), "--single", "-D", str(data), "postgres"]
    _run(site, postgres, given=f"ALTER ROLE {ROLE} PASSWORD '{password}'\n")


def _place(layout: Layout, remembered: Path | None, user: ServerUser | None) -> Path:
    known = [remembered] if remembered else []
    for data in (*known, *layout.all_postgres_data):
        if _holds_cluster(data) and _is_ours(data.parent):
            if can_enter(data.parent, user):
                return data
            msg = (
                f"Postgres runs as user {user.name if user else 'you'}, who can no longer reach "
                f"its data in {data}. Allow it with `chmod o+x` on the directories above it."
            )
            raise HomeError(msg)
    for data in layout.all_postgres_data:
        try:
            data.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError:
            continue
        if _is_ours(data.parent) and can_enter(data.parent, user):
            return data
    msg = (
        f"Postgres finds no place for its data: user {user.name if user else 'you'} can reach none "
        f"of {', '.join(str(data.parent) for data in layout.all_postgres_data)}. Set ROPEWALK_HOME "
        "to a directory that user can reach, or run as an ordinary user."
    )
    raise HomeError(msg)


def _holds_cluster(data: Path) -> bool:
    try:
        return (data / "PG_VERSION").exists()
    except PermissionError:
        return False


def _is_ours(directory: Path) -> bool:
    """Whether nobody else can have put something into `directory`, as anybody can in /var/tmp."""
    return directory.stat().st_uid == os.geteuid()


def _run(site: Site, command: Sequence[str], *, given: str = "") -> None:
    run = subprocess.run(  # noqa: S603 - the arguments are paths of our own
        command,
        check=False,
        input=given,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        cwd="/",
        **as_user(site.user),
    )
    if run.returncode != 0:
        msg = (
            f"Postgres could not prepare its data in {site.data}. Check that there is room on the "
            f"disk.\n  {(run.stdout + run.stderr)[-2000:]}"
        )
        raise ServerError(msg)
