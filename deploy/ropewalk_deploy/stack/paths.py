"""The layout of the home directory: the only place its file names are spelled."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ropewalk_deploy.stack.errors import HomeError

# Java splits its class path at ":", Kafka its list of log directories at ",".
FORBIDDEN_IN_HOME = ":,\n"

# Both outlive a reboot; /tmp often does not, and would take the data with it.
OUTSIDE_PARENTS = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - the files in it are ours, 0700


@dataclass(frozen=True, slots=True)
class Layout:
    """Names every path of one home; creates nothing.

    Args:
        root: Absolute, see `layout_of`.
    """

    root: Path

    @property
    def lock_file(self) -> Path:
        """Held while servers are started or stopped."""
        return self.root / "lock"

    @property
    def state_file(self) -> Path:
        """Ports, password and pids; readable by its owner only."""
        return self.root / "stack.json"

    @property
    def parquet(self) -> Path:
        """Root of the Parquet data set."""
        return self.root / "parquet"

    @property
    def kafka(self) -> Path:
        """Everything of Kafka: ``libs``, ``config``, ``data`` and ``log``."""
        return self.root / "kafka"

    @property
    def kafka_log(self) -> Path:
        """Warnings, errors and what the JVM itself prints; ``server.log`` beside it has it all."""
        return self.kafka / "log" / "console.log"

    @property
    def postgres_log(self) -> Path:
        """What the server prints."""
        return self.root / "postgres" / "log" / "server.log"

    @property
    def postgres_data(self) -> Path:
        """The data directory, when Postgres' user can reach the home."""
        return self.root / "postgres" / "data"

    @property
    def outside(self) -> tuple[Path, ...]:
        """Directories for what Postgres' user cannot reach in the home, best first.

        Derived from the home alone, so they are found again when ``stack.json`` is lost.
        """
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        return tuple(parent / f"ropewalk-{digest}" for parent in OUTSIDE_PARENTS)

    @property
    def all_postgres_data(self) -> tuple[Path, ...]:
        """Every place where data of this home can lie."""
        return (self.postgres_data, *(directory / "data" for directory in self.outside))


def layout_of(home: Path) -> Layout:
    """The layout of `home`, which need not exist.

    Raises:
        HomeError: If the path has a character that Java or Kafka takes for a separator.
    """
    root = home.expanduser().resolve()
    found = [character for character in FORBIDDEN_IN_HOME if character in str(root)]
    if found:
        msg = (
            f"The home directory {str(root)!r} has {found[0]!r} in its path, which Java or Kafka "
            "takes for a separator. Set ROPEWALK_HOME to a path without it."
        )
        raise HomeError(msg)
    return Layout(root)


def create_home(layout: Layout) -> None:
    """Create the home directory when it is missing.

    Raises:
        HomeError: If it cannot be created.
    """
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = (
            f"The home directory {layout.root} cannot be created ({error.strerror}). "
            "Set ROPEWALK_HOME to a directory you can write to."
        )
        raise HomeError(msg) from error
