"""Runs a supervisor beside what the caller does, and waits until its worker is at work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ropewalk_deploy.audit.readers import newest_progress, wait_until
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner
from ropewalk_deploy.supervisor import Supervisor
from ropewalk_schemas.topics import AGENT_EVENTS


@contextmanager
def running(supervisor: Supervisor) -> Iterator[Callable[[], bool]]:
    """In a thread; gives whether it goes on.

    Raises:
        CommandError: At the end, what made it give up, before what came of that.
    """
    failures: list[CommandError] = []

    def work() -> None:
        try:
            supervisor.run()
        except CommandError as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="supervisor")
    thread.start()
    try:
        yield thread.is_alive
    finally:
        supervisor.stop()
        thread.join()
        if failures:
            raise failures[0]


def wait_until_owned(
    places: Endpoints, is_alive: Callable[[], bool], *, timeout_s: float = 60.0
) -> None:
    """Until every partition is accounted for: then its settings are in the log before events.

    Raises:
        CommandError: If the programs end before, or it takes too long.
    """
    with LogScanner(places.bootstrap_servers) as scanner:
        inputs = scanner.partitions(AGENT_EVENTS.name)

        def owned() -> bool:
            if not is_alive():
                msg = "the programs were stopped; their log says why"
                raise CommandError(msg)
            accounts = newest_progress(scanner)
            ends = {p: scanner.bounds(AGENT_EVENTS.name, p).end for p in inputs}
            return all(
                p in accounts and accounts[p].next_offset >= end > 0 for p, end in ends.items()
            )

        if not wait_until(owned, timeout_s=timeout_s):
            msg = f"the worker did not take its partitions within {timeout_s:.0f} s; see its log"
            raise CommandError(msg)
