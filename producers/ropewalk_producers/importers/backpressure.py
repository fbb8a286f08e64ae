"""For programs that may wait, unlike agents: no more in flight than the broker keeps up with."""

import time
from collections.abc import Callable

from ropewalk_producers.errors import RopewalkProducerError
from ropewalk_producers.recorder import Recorder
from ropewalk_schemas.kafka_security import advice

MAX_IN_FLIGHT = 1_000
STALL_S = 20.0
_POLL_S = 0.005


class StalledError(RopewalkProducerError):
    """The broker acknowledges nothing; the message says which broker and why, if it said."""


class Backpressure:
    """Waits for a recorder's broker, but not for one that is away."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        stall_s: float = STALL_S,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._recorder = recorder
        self._stall_s = stall_s
        self._monotonic, self._sleep = monotonic, sleep

    def hold(self) -> None:
        """Return when another event may be sent.

        Raises:
            StalledError: If nothing was acknowledged for `stall_s` seconds.
        """
        self._wait(MAX_IN_FLIGHT)

    def drain(self) -> None:
        """Return when every event has its outcome.

        Raises:
            StalledError: As `hold`.
        """
        self._wait(0)

    def _wait(self, most: int) -> None:
        counters = self._recorder.counters
        since = self._monotonic()
        while counters.in_flight > most:
            self._sleep(_POLL_S)
            before, counters = counters, self._recorder.counters
            if counters.in_flight != before.in_flight:
                since = self._monotonic()
            elif self._monotonic() - since >= self._stall_s:
                raise StalledError(self._problem())

    def _problem(self) -> str:
        servers = self._recorder.settings.bootstrap_servers
        why = self._recorder.last_error or "it gave no reason"
        ask = (
            "is it running (`ropewalk up`), and are ROPEWALK_BOOTSTRAP_SERVERS and "
            "ROPEWALK_KAFKA_SECURITY_PROTOCOL right?"
        )
        return (
            f"Kafka at {servers} has acknowledged nothing for {self._stall_s:g} s ({why}); "
            f"{advice(why) or ask}"
        )
