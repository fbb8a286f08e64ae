"""The events of one trajectory by one writer: numbered and published under one lock."""

from collections.abc import Callable
from threading import RLock
from typing import Any, NamedTuple

from ropewalk_producers.deltas import DeltaLimits, PromptDeltas
from ropewalk_producers.errors import UnrecordableError, UnsendableError
from ropewalk_producers.events import Fields, Instant, instant
from ropewalk_producers.identity import Identity
from ropewalk_producers.ids import EventIds
from ropewalk_producers.outlet import Outlet
from ropewalk_schemas.fields import SCHEMA_VERSION, parse_instant

Build = Callable[[str], Fields]


class Emitted(NamedTuple):
    """An event's id, and why it was not accepted for sending; None when it was."""

    event_id: str
    refused: Exception | None


class EventWriter:
    """Gives each event its id and seq, in the order they are published; never raises."""

    def __init__(
        self, outlet: Outlet, identity: Identity, limits: DeltaLimits, ids: EventIds
    ) -> None:
        self.outlet = outlet
        self.identity = identity
        self.trajectory_id = identity.told.trajectory_id
        self.ids = ids
        self.writer = identity.writer
        self.lock = RLock()
        self.deltas = PromptDeltas(limits)
        self.n_events = 0
        self.over = False
        self.forked = False
        self._limits = limits
        self._n_failed = outlet.n_failed
        self._envelope: Fields | None = None

    def emit(self, event_type: str, build: Build, *, at: Instant | None = None) -> Emitted:
        """Publish an event whose own fields `build` gives for its id.

        What cannot be recorded is counted and its seq used up, so that the gap is seen downstream.
        """
        with self.lock:
            seq = self.n_events
            event_id = ""
            try:
                self._take_seq()
                event_id = self.ids.event_id(self.trajectory_id, self.writer, seq)
                wire = self._enveloped(event_type, event_id, seq, at)
                wire.update(build(event_id))
                key = self.trajectory_id.encode()
                self.outlet.send(key, event_id, wire)
            except Exception as cause:
                # Without this event the engine may not have what later deltas build on.
                self.deltas.forget()
                self.outlet.refuse(self.trajectory_id, event_type, cause)
                return Emitted(event_id or self.outlet.new_id(), cause)
            return Emitted(event_id, None)

    def emit_or_bare(
        self, event_type: str, build: Build, bare: Build, *, at: Instant | None = None
    ) -> Emitted:
        """Publish an event no trajectory can be without.

        When it cannot be recorded as given, that is counted and its bare form takes its place.
        """
        with self.lock:
            emitted = self.emit(event_type, build, at=at)
            if self.over or emitted.refused is None or isinstance(emitted.refused, UnsendableError):
                return emitted
            return self.emit(event_type, bare)

    def become_fresh(self) -> None:
        """Go on as another writer in a forked child: the parent's seqs are the parent's."""
        self.lock = RLock()
        self.writer = self.outlet.new_id()
        self.deltas = PromptDeltas(self._limits)
        self.n_events = 0
        self._n_failed = self.outlet.n_failed
        self._envelope = None
        self.forked = True

    def _take_seq(self) -> None:
        if self.over:
            message = "this writer has ended the trajectory already"
            raise UnrecordableError(message)
        self.n_events += 1

    def _enveloped(self, event_type: str, event_id: str, seq: int, at: Instant | None) -> Fields:
        if self._envelope is None:
            self._envelope = {"writer": self.writer, **self.identity.envelope()}
        now = self.outlet.clock()
        occurred_at = now if at is None else parse_instant(at)
        if self.outlet.n_failed != self._n_failed:
            self._n_failed = self.outlet.n_failed
            self.deltas.forget()
        self.deltas.advance(occurred_at, now)
        wire: dict[str, Any] = {
            "type": event_type,
            "schema_version": SCHEMA_VERSION,
            "event_id": event_id,
            "occurred_at": instant(occurred_at),
            "seq": seq,
        }
        wire.update(self._envelope)
        return wire
