"""One `ropewalk quarantine replay` at a time, on whatever machine, while Kafka is up."""

import time
from collections.abc import Callable, Iterable, Mapping

from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.topics import QUARANTINE
from ropewalk_sinks.config import SinkSettings
from ropewalk_sinks.kafka import TopicReader
from ropewalk_sinks.sink import TopicPartition

GROUP = "ropewalk-quarantine-replay"
WAIT_S = 60.0
_DECIDES = 0
"""Whoever owns this partition of `quarantine` in the group has the turn."""


class Turn:
    """The turn to send; a process that was killed loses it after the session timeout.

    One that was frozen for longer loses it too. Kafka cannot stop it from sending the records it
    had in hand when it was frozen; the engine counts those as duplicates, or refuses them again.

    Args:
        bootstrap_servers: Where the broker is.
        scanner: Says where the log ends, so that nothing of it is fetched.
    """

    def __init__(self, bootstrap_servers: str, scanner: LogScanner) -> None:
        self._scanner = scanner
        self._held, self._turns, self._taken_at = False, 0, 0.0
        settings = SinkSettings.load(bootstrap_servers=bootstrap_servers)
        # A heartbeat may be a third of the session old, so half of it is surely still ours.
        self.lasts_s = settings.session_timeout_ms / 2000
        self._reader = TopicReader(settings, GROUP, [QUARANTINE.name], owner=self)

    def close(self) -> None:
        """Let the next one have its turn."""
        self._reader.close()

    def take(self, waiting: Callable[[], None]) -> bool:
        """Wait for the turn; gives whether somebody else may have had it since the last call.

        Raises:
            CommandError: If somebody else keeps it.
        """
        before, until, told = self._turns, time.monotonic() + WAIT_S, False
        while self._reader.poll(0) is not None:
            pass  # what is refused meanwhile is of no interest; that the turn is lost is
        while not self._held:
            if time.monotonic() > until:
                msg = (
                    f"another `ropewalk quarantine replay` has been at work for {WAIT_S:.0f} s: "
                    "wait until it ends, or end it, then run this again"
                )
                raise CommandError(msg)
            self._reader.poll(0.1)
            if not told and time.monotonic() > until - WAIT_S + 2:
                told = True
                waiting()
        self._taken_at = time.monotonic()
        return self._turns != before

    def is_over(self) -> bool:
        """Whether `take` is so long ago that others may have been told that we are dead."""
        return time.monotonic() - self._taken_at > self.lasts_s

    def assigned(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Some partitions are ours: the turn too, if the one that decides is among them."""
        ends = {at: self._scanner.bounds(*at).end for at in partitions}
        if any(at.partition == _DECIDES for at in ends):
            self._held, self._turns = True, self._turns + 1
        return ends

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Another command has its turn as soon as this returns."""
        self._held = self._held and all(at.partition != _DECIDES for at in partitions)

    def lost(self, partitions: Iterable[TopicPartition]) -> None:
        """We were taken for dead."""
        self.revoked(partitions)
