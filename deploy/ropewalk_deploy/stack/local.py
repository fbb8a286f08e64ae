"""Start, stop and describe the local stack of one home."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import psutil

from ropewalk_deploy.stack import kafka, postgres
from ropewalk_deploy.stack.choices import agreed_state, standing_notes
from ropewalk_deploy.stack.errors import ServerError
from ropewalk_deploy.stack.java import find_java
from ropewalk_deploy.stack.kafka_config import BrokerExtras
from ropewalk_deploy.stack.locking import exclusive
from ropewalk_deploy.stack.model import KAFKA, POSTGRES, Stack
from ropewalk_deploy.stack.paths import Layout, create_home, layout_of
from ropewalk_deploy.stack.ports import HOST
from ropewalk_deploy.stack.postgres_data import Site, find_site, initialise, set_password
from ropewalk_deploy.stack.processes import Daemon, Progress, find, is_alive, stop
from ropewalk_deploy.stack.state import State, load_state, save_state

STOP_WITHIN_S = {"Kafka": kafka.STOP_WITHIN_S, "Postgres": postgres.STOP_WITHIN_S}


def up(
    home: Path,
    progress: Progress,
    *,
    java_home: Path | None = None,
    extras: BrokerExtras | None = None,
) -> Stack:
    """Start what is not running, on the data that is there; return when both servers answer.

    Args:
        home: Created when missing.
        progress: Told, in short sentences, what takes time.
        java_home: Where to look for a Java first.
        extras: What a test adds to the broker; not remembered.

    Raises:
        StackError: If it cannot be done; what was started until then keeps running.
    """
    layout = layout_of(home)
    create_home(layout)
    with exclusive(layout.lock_file, progress):
        return _up(layout, progress, java_home, extras)


def down(home: Path, progress: Progress) -> list[str]:
    """Stop the servers of this home and leave their data.

    Returns:
        The names of what was stopped; empty when nothing was running.

    Raises:
        StackError: If a server may not be stopped by us.
    """
    layout = layout_of(home)
    # Servers can run without a home: a person deleted it under them.
    has_home = layout.root.exists()
    with exclusive(layout.lock_file, progress) if has_home else contextlib.nullcontext():
        stopped = _stop_all(layout, load_state(layout.state_file), progress)
    if not stopped:
        progress(f"Nothing was running for {layout.root}")
    return stopped


def describe(home: Path) -> Stack | None:
    """The stack as it is now, with the pids of what is alive; None before the first `up`.

    Starts and changes nothing.
    """
    layout = layout_of(home)
    state = load_state(layout.state_file)
    if state is None:
        return None
    pids = {name: process.pid for name, process in _running(layout, state).items()}
    notes = [
        f"{daemon.name} is not running; `ropewalk up` starts it"
        for name, daemon in _daemons(layout, state).items()
        if name not in pids
    ]
    return _stack(layout, state, pids, notes=[*notes, *standing_notes(layout, state)])


def _up(
    layout: Layout, progress: Progress, java_home: Path | None, extras: BrokerExtras | None
) -> Stack:
    remembered = load_state(layout.state_file)
    if remembered is None:
        # Their ports and password are lost with stack.json; their data is not.
        _stop_all(layout, None, progress)
    running = _running(layout, remembered) if remembered else {}
    site = None
    if remembered is not None and POSTGRES in running:
        data = remembered.postgres_data
    else:
        site = find_site(layout, remembered=remembered.postgres_data if remembered else None)
        data = site.data
    state, notes = agreed_state(layout, remembered, running=running.keys(), data=data)
    if site is not None:
        _prepare(site, state, is_password_known=remembered is not None, progress=progress)
    # Before anything is launched: killed from here on, the next `up` knows the password.
    save_state(state, layout.state_file)
    processes = {
        KAFKA: running.get(KAFKA)
        or _start_kafka(layout, state, java_home=java_home, progress=progress, extras=extras),
        POSTGRES: running[POSTGRES]
        if site is None
        else postgres.start(layout, site, port=state.postgres_port, progress=progress),
    }
    try:
        _await_answers(layout, state, processes)
    except ServerError:
        if all(is_alive(process) for process in running.values()):
            raise
        # What still ran when we looked was dying already: it has to be started after all.
        return _up(layout, progress, java_home, extras)
    pids = {name: process.pid for name, process in processes.items()}
    save_state(dataclasses.replace(state, pids=pids), layout.state_file)
    return _stack(layout, state, pids, notes=[*notes, *standing_notes(layout, state)])


def _prepare(site: Site, state: State, *, is_password_known: bool, progress: Progress) -> None:
    if not site.is_initialised:
        progress(f"Postgres: creating its data in {site.data} (once)")
        initialise(site, password=state.postgres_password)
    elif not is_password_known:
        progress("Postgres: setting a new password, because the old one is lost with stack.json")
        set_password(site, site.data, state.postgres_password)


def _start_kafka(
    layout: Layout,
    state: State,
    *,
    java_home: Path | None,
    progress: Progress,
    extras: BrokerExtras | None,
) -> psutil.Process:
    return kafka.start(
        layout,
        port=state.kafka_port,
        controller_port=state.controller_port,
        java=find_java(java_home),
        progress=progress,
        extras=extras,
    )


def _await_answers(layout: Layout, state: State, processes: Mapping[str, psutil.Process]) -> None:
    postgres.await_answer(
        layout,
        processes[POSTGRES],
        data=state.postgres_data,
        port=state.postgres_port,
        password=state.postgres_password,
    )
    kafka.await_answer(layout, processes[KAFKA], port=state.kafka_port)


def _daemons(layout: Layout, state: State) -> dict[str, Daemon]:
    return {
        KAFKA: kafka.daemon(layout),
        POSTGRES: postgres.daemon(layout, state.postgres_data),
    }


def _running(layout: Layout, state: State) -> dict[str, psutil.Process]:
    found = {name: find(daemon) for name, daemon in _daemons(layout, state).items()}
    return {name: process for name, process in found.items() if process is not None}


def _stop_all(layout: Layout, state: State | None, progress: Progress) -> list[str]:
    """Stop whatever runs for this home, also where ``stack.json`` does not know of it."""
    data = {*layout.all_postgres_data, *((state.postgres_data,) if state else ())}
    daemons = [kafka.daemon(layout), *(postgres.daemon(layout, path) for path in data)]
    stopped: list[str] = []
    for daemon in daemons:
        process = find(daemon)
        if process is not None:
            stop(daemon, process, within_s=STOP_WITHIN_S[daemon.name], progress=progress)
            stopped.append(daemon.name)
    return stopped


def _stack(layout: Layout, state: State, pids: dict[str, int], *, notes: list[str]) -> Stack:
    return Stack(
        bootstrap_servers=f"{HOST}:{state.kafka_port}",
        postgres_dsn=postgres.dsn(port=state.postgres_port, password=state.postgres_password),
        parquet_path=layout.parquet,
        home=layout.root,
        pids=pids,
        postgres_data=state.postgres_data,
        notes=notes,
    )
