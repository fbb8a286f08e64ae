"""The way out of the process: encodes, checks, publishes and counts events."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from threading import RLock
from typing import Any

from ropewalk_producers.counters import Count, Counters, DeliveryReport, Tally
from ropewalk_producers.errors import (
    QueueFullError,
    RefusedError,
    UnrecordableError,
    UnsendableError,
)
from ropewalk_producers.ids import NewId
from ropewalk_producers.publisher import Delivery, Listener, Publisher
from ropewalk_producers.redaction.policy import Policy
from ropewalk_producers.redaction.redactor import BY_ERROR, Redactor
from ropewalk_schemas.codec import decode_event
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.topics import MAX_EVENT_BYTES

log = logging.getLogger("ropewalk_producers")

Clock = Callable[[], datetime]
OnDelivery = Callable[[Delivery], None]
_MAX_CAUSE_CHARS = 500
_MAX_KINDS_LOGGED = 1000


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


class Outlet:
    """Where all trajectories of one recorder send. Nothing here raises but `send`."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        clock: Clock,
        new_id: NewId,
        policy: Policy,
        on_delivery: OnDelivery | None,
        heard_on_disk: bool = False,
    ) -> None:
        self.clock = clock
        self.new_id = new_id
        self.last_error: str | None = None
        self._on_delivery = on_delivery
        self._report: DeliveryReport | None = None
        self._lock, self._tally = RLock(), Tally()
        self.redactor = Redactor(
            policy, redacted=lambda: self._tally.add("redacted"), failed=self._unredactable
        )
        self._logged: set[object] = set()
        self._heard_on_disk = heard_on_disk
        self._refusal: str | None = None
        self._listener = Listener(
            delivered=self._delivered,
            failing=self._failing,
            stored=self._stored,
            refusing=self._refusing,
            recovered=lambda n: self._tally.add("recovered", n),
        )
        self._parents_publisher = publisher
        self._publisher: Publisher | None = publisher
        publisher.listen(self._listener)

    @property
    def counters(self) -> Counters:
        """Counts as of now."""
        return self._tally.read()

    @property
    def n_failed(self) -> int:
        """Events accepted and then given up, of any trajectory."""
        return self._tally.failed

    def send(self, key: bytes, event_id: str, wire: Mapping[str, Any]) -> None:
        """Redact, encode, check and publish one event.

        Raises:
            Exception: Whatever says why it was not accepted; pass it to `refuse`.
        """
        if self._report is not None:
            message = "the recorder is closed"
            raise UnsendableError(message)
        value = to_json(self.redactor.event(wire))
        if len(value) > MAX_EVENT_BYTES:
            message = f"it has {len(value)} bytes; an event has at most {MAX_EVENT_BYTES}"
            raise UnrecordableError(message)
        decode_event(value)
        self._tally.add("accepted")
        try:
            self._open_publisher().publish(key, value, event_id)
        except BaseException:
            self._tally.add("accepted", -1)
            raise

    def refuse(self, trajectory_id: object, event_type: str, cause: BaseException) -> None:
        """Count an event that was not accepted, keep why, and log the first of its kind."""
        full = isinstance(cause, QueueFullError)
        self._tally.add("dropped_full" if full else "rejected")
        what = "dropped" if full else "rejected"
        with contextlib.suppress(Exception):  # texts and log handlers may be the agent's own code
            name = self.redactor.told(str(trajectory_id))[:200]
            problem = f"trajectory {name}: {event_type} {what}: {self._cause(cause)}"
            self._say((event_type, type(cause), str(cause)[:40]), problem)

    def refusal(self) -> RefusedError | None:
        """Why a trajectory that begins now is not recorded, counted; None when it is."""
        if self._refusal is None:
            return None
        self._tally.add("refused")
        return RefusedError(self._refusal)

    def close(self, timeout: float) -> DeliveryReport:
        """Take nothing more, wait for outcomes, give up the rest; again: the same report."""
        with self._lock:
            if self._report is not None:
                return self._report
            self._report = self._counted(Counters())
            publisher = self._publisher
            if publisher is not None:
                publisher.flush(max(0.0, timeout))
            self._report = self._counted(self.counters)
            if publisher is not None:
                publisher.close()
            if not self._report.complete:
                log.warning("the recorder closed without all events delivered: %s", self._report)
            return self._report

    def after_fork(self) -> None:
        """Begin anew in a forked child; the parent's queue and counts stay the parent's."""
        # The locks may be held by threads that do not exist here.
        self._lock, self._tally = RLock(), Tally()
        self._refusal = None
        if self._publisher is not None:
            self._parents_publisher, self._publisher = self._publisher, None

    def _open_publisher(self) -> Publisher:
        return self._publisher or self._reopened()

    def _reopened(self) -> Publisher:
        """Only a child that does record pays for a connection of its own."""
        with self._lock:
            if self._publisher is None:
                publisher = self._parents_publisher.reopened()
                publisher.listen(self._listener)
                self._publisher = publisher
            return self._publisher

    def _counted(self, counters: Counters) -> DeliveryReport:
        return DeliveryReport(
            delivered=counters.delivered,
            undelivered=counters.in_flight - counters.spooled,
            dropped=counters.dropped_full,
            rejected=counters.rejected,
            failed=counters.failed,
            spooled=counters.spooled,
        )

    def _delivered(self, delivery: Delivery) -> None:
        became: Count = "delivered" if delivery.error is None else "failed"
        self._tally.add(became, unspooled=int(delivery.spooled))
        with contextlib.suppress(Exception):  # a key may be no text, a log handler may raise
            if delivery.error is not None:
                name = delivery.key.decode(errors="replace")
                problem = f"trajectory {name}: event {delivery.event_id} failed: {delivery.error}"
                self._say(("failed", delivery.error), problem)
        if delivery.error is not None or not (self._heard_on_disk and delivery.spooled):
            self._tell(delivery)

    def _stored(self, deliveries: Sequence[Delivery]) -> None:
        self._tally.add("spooled", len(deliveries))
        if self._heard_on_disk:
            for delivery in deliveries:
                self._tell(delivery)

    def _refusing(self, problem: str | None) -> None:
        self._refusal = problem

    def _tell(self, delivery: Delivery) -> None:
        if self._on_delivery is not None:
            try:
                self._on_delivery(delivery)
            except Exception as error:
                with contextlib.suppress(Exception):
                    self._say(
                        ("listener", type(error)), f"on_delivery raised: {self._cause(error)}"
                    )

    def _unredactable(self, place: str, error: BaseException) -> None:
        self._tally.add("redaction_errors")
        with contextlib.suppress(Exception):
            kind = type(error).__name__  # its text may quote the value
            problem = (
                f"redaction failed at {place or 'a text'} ({kind}): {BY_ERROR} is sent instead"
            )
            self._say(("redaction", place, kind), problem)

    def _failing(self, problem: str, fatal: bool) -> None:
        if fatal:
            self._tally.add("fatal_errors")
        event_error = self.last_error
        with contextlib.suppress(Exception):
            self._say(("failing", problem[:40]), problem)
        if event_error and not fatal:  # reconnecting repeats itself; it must not hide an event
            self.last_error = event_error

    def _say(self, kind: object, problem: str) -> None:
        # An agent may give half a surrogate pair, at which a log file in UTF-8 would raise.
        problem = problem.encode(errors="backslashreplace").decode()
        self.last_error = problem
        if kind not in self._logged and len(self._logged) < _MAX_KINDS_LOGGED:
            self._logged.add(kind)
            log.warning("%s (logged once per kind; the recorder's counters have them all)", problem)

    def _cause(self, error: BaseException) -> str:
        """Why, in a sentence: our own as it is, which quotes no value; others' redacted."""
        if type(error).__module__.startswith("ropewalk_"):
            return self.redactor.told(str(error))[:_MAX_CAUSE_CHARS]
        return self.redactor.told_error(error)[:_MAX_CAUSE_CHARS]
