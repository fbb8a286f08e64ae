"""The port between the recorder and whatever carries its events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self


class Delivery(NamedTuple):
    """What became of one event: `error` is None and its place known, or the reason it failed.

    `at_ms` is when the log took it, by the broker's clock; None where the topic keeps no such time.
    `lasting` says that the broker would refuse it again, `spooled` that it was told as `stored`.
    """

    key: bytes
    value: bytes
    event_id: str
    partition: int | None
    offset: int | None
    error: str | None
    at_ms: int | None = None
    lasting: bool = False
    spooled: bool = False


def ignore(_: object) -> None:
    """Hear nothing."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of outcomes; all are called from any thread and never raise.

    Attributes:
        delivered: Once per event taken; not for those that a spool keeps beyond its closing.
        failing: A problem of the connection, and whether nothing can be sent after it.
        stored: Events are on disk, their deliveries to come; these have no place and no error.
        refusing: Why no new trajectory is to begin from now on; None: it may again.
        recovered: How many more events of processes that died were delivered.
    """

    delivered: Callable[[Delivery], None]
    failing: Callable[[str, bool], None]
    stored: Callable[[Sequence[Delivery]], None] = ignore
    refusing: Callable[[str | None], None] = ignore
    recovered: Callable[[int], None] = ignore


class Publisher(Protocol):
    """Carries events to the log, those of one key in the order they were given."""

    def listen(self, listener: Listener) -> None:
        """Tell `listener` what becomes of events; called once, before the first event."""
        ...

    def publish(self, key: bytes, value: bytes, event_id: str) -> None:
        """Take an event; never blocks.

        Raises:
            QueueFullError: If there is no room; the event is not taken.
            UnsendableError: If it cannot be sent for another reason; the event is not taken.
        """
        ...

    def flush(self, timeout: float) -> None:
        """Return when every event taken has its outcome, or after `timeout` seconds."""
        ...

    def close(self) -> None:
        """Give up what is still waiting, each with a failed delivery, and let go of everything.

        What is on disk is not given up.
        """
        ...

    def reopened(self) -> Self:
        """A publisher for a forked child, sharing no thread, socket or queue with this one."""
        ...
