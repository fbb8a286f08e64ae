"""One Postgres server on this machine."""

from pathlib import Path
from signal import SIGINT

import psutil
import psycopg

from ropewalk_deploy.stack.errors import ServerError
from ropewalk_deploy.stack.paths import Layout
from ropewalk_deploy.stack.ports import HOST
from ropewalk_deploy.stack.postgres_data import ROLE, Site
from ropewalk_deploy.stack.processes import Daemon, Progress, await_ready, launch, wait_until

DATABASE = "ropewalk"
# Long enough to replay the log of a server that was killed under load.
START_WITHIN_S = 120
STOP_WITHIN_S = 60
ORPHANS_END_WITHIN_S = 30

# Durability (fsync, synchronous_commit, full_page_writes) stays as Postgres has it: on.
SETTINGS = {
    "listen_addresses": HOST,
    # Paths of sockets have a limit of about 100 letters, which a home may well exceed.
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def daemon(layout: Layout, data: Path) -> Daemon:
    """How to recognise the server on `data`; its signal ends sessions and stops in order."""
    return Daemon("Postgres", "postgres", str(data), layout.postgres_log, SIGINT)


def dsn(*, port: int, password: str, database: str = DATABASE) -> str:
    """How clients connect."""
    return f"postgresql://{ROLE}:{password}@{HOST}:{port}/{database}"


def start(layout: Layout, site: Site, *, port: int, progress: Progress) -> psutil.Process:
    """Launch the server on an initialised `site`; does not wait until it answers."""
    _await_orphans(site.data)
    progress(f"Postgres: starting on {HOST}:{port}")
    settings = SETTINGS | {"port": str(port)}
    command = [
        *_ignoring_stale_pid(site.data / "postmaster.pid"),
        *(str(site.binaries.directory / "postgres"), "-D", str(site.data)),
        *(argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")),
    ]
    return launch(daemon(layout, site.data), command, user=site.user)


def await_answer(
    layout: Layout, process: psutil.Process, *, data: Path, port: int, password: str
) -> None:
    """Return once the server answers and has our database.

    Raises:
        ServerError: If it ends first, or does not answer in time.
    """
    maintenance = dsn(port=port, password=password, database="postgres")
    await_ready(
        daemon(layout, data), process, lambda: _answers(maintenance), within_s=START_WITHIN_S
    )
    with psycopg.connect(maintenance, autocommit=True) as connection:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(query, (DATABASE,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _answers(conninfo: str) -> bool:
    try:
        with psycopg.connect(conninfo, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _ignoring_stale_pid(pid_file: Path) -> list[str]:
    """A prefix of the command that lets Postgres start beside a recycled pid.

    Postgres will not start while the pid in its file is alive, whatever that process is now.
    It makes an exception for the pid named here. Deleting the file would be shorter, but
    Postgres also finds in it the shared memory of a server that may still be writing.
    """
    try:
        pid = abs(int(pid_file.read_text().split("\n", 1)[0]))
    except (FileNotFoundError, ValueError):
        return []
    return ["env", f"PG_GRANDPARENT_PID={pid}"]


def _await_orphans(data: Path) -> None:
    """Wait for what a killed server left: its children end by themselves, soon."""
    if not wait_until(lambda: not _orphans(data), within_s=ORPHANS_END_WITHIN_S):
        pids = ", ".join(str(pid) for pid in _orphans(data))
        msg = (
            f"Processes {pids} of an earlier Postgres still work on {data}. "
            "End them (`kill` with these numbers) and try again."
        )
        raise ServerError(msg)


def _orphans(data: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres" and process.info["cwd"] == str(data)
    ]
