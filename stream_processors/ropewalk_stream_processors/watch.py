"""Whether the input topic is still the one of the start, and whether anybody reads it.

A topic that is deleted and made anew begins at offset 0. Clients do not mind: they wait at an
offset which the new one reaches some day, and what comes before is never read. And a client that
joins its group while the broker dies may be left without partitions for ever, without a word.
"""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from ropewalk_schemas.topics import AGENT_EVENTS, PROGRESS
from ropewalk_stream_processors.errors import LostEventsError, WorkerError
from ropewalk_stream_processors.partitions import Partitions

log = logging.getLogger(__name__)
EVERY_S = 5.0
UNOWNED_S = 30.0


class Broker(Protocol):
    """What is asked; each raises WorkerError if there is no answer."""

    def topic_id(self) -> str | None:
        """Which topic has the name now; None if there is none."""
        ...

    def n_owned(self) -> int:
        """How many partitions the members of the group own."""
        ...


class Watch:
    """Looks every few seconds, and ends the process when it must not go on.

    Args:
        broker: To ask.
        partitions: What this worker owns.
        session_timeout_s: After which a dead member's partitions are given to others.
    """

    def __init__(self, broker: Broker, partitions: Partitions, session_timeout_s: float) -> None:
        self._broker, self._partitions = broker, partitions
        self._first = broker.topic_id()
        self._patience_s = max(UNOWNED_S, 2 * session_timeout_s)
        self._unowned_s = 0.0

    def start(self, die: Callable[[BaseException, int], None]) -> None:
        """Look in a thread, from now on; `die` ends the process with an error and its status."""

        def work() -> None:
            pause = threading.Event()
            while not pause.wait(EVERY_S):
                try:
                    self.look(EVERY_S)
                except WorkerError as error:
                    die(error, error.exit_status)

        threading.Thread(target=work, name="watch", daemon=True).start()

    def look(self, passed_s: float) -> None:
        """One look, so many seconds after the one before.

        Raises:
            LostEventsError: If the topic is another one, or none; it counts what was open here.
            WorkerError: If nobody has owned a partition for too long.
        """
        try:
            found, n_owned = self._broker.topic_id(), self._n_owned()
        except WorkerError:
            self._unowned_s = 0.0
            return  # a broker that is away says nothing
        if found != self._first:
            raise LostEventsError(self._lost(found))
        self._unowned_s = 0.0 if n_owned else self._unowned_s + passed_s
        if self._unowned_s >= self._patience_s:
            msg = (
                f"nobody has read {AGENT_EVENTS.name} for {self._unowned_s:.0f} s, though the "
                "broker answers: the group did not form. A restart joins it anew"
            )
            raise WorkerError(msg)

    def _n_owned(self) -> int:
        return len(self._partitions.owned) or self._broker.n_owned()

    def _lost(self, found: str | None) -> str:
        engines = [owned.engine for owned in list(self._partitions.owned.values())]
        n_open = sum(len(engine.lives) for engine in engines)
        n_events = sum(engine.open_events for engine in engines)
        what = "was deleted" if found is None else "was made anew"
        return (
            f"{AGENT_EVENTS.name} {what} while it was read: {n_events} events of {n_open} open "
            "trajectories are lost. To go on with a new one, delete the account of each partition "
            f"knowingly: a record with its number as key and no value, in {PROGRESS.name}"
        )
