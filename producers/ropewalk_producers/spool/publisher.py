"""A publisher that has everything on disk before Kafka is asked to take it."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Condition, RLock, Thread
from time import monotonic, time_ns
from typing import Self

from ropewalk_producers.config import RecorderSettings
from ropewalk_producers.errors import QueueFullError, SettingsError, UnsendableError
from ropewalk_producers.publisher import Listener, Publisher
from ropewalk_producers.spool.format import Record, size_of
from ropewalk_producers.spool.keeper import NEARLY_FULL, TOO_SLOW, Keeper

DISK_GRACE_S = 2.0
_CLOSE_WITHIN_S = 15.0
_COMPANY_S, _BREATH_S = 0.005, 0.001
_AFTER_A_FAULT_S = 1.0
_MAX_KEY_BYTES = 65_535


class SpoolPublisher:
    """A `Publisher` over another one, with a disk between.

    `publish` only hands an event over in memory. One thread writes batches to the disk, feeds the
    inner publisher from there, and deletes what is acknowledged.

    Raises:
        SettingsError: If the folder cannot be used.
    """

    def __init__(self, settings: RecorderSettings, inner: Publisher) -> None:
        self._settings, self._inner = settings, inner
        self._folder = Path(settings.spool_path)
        self._max_held_bytes = settings.queue_kbytes * 1024
        lock = RLock()
        self._work, self._progress = Condition(lock), Condition(lock)
        self._waiting: deque[Record] = deque()
        self._n_owed = self._n_held = self._held_bytes = 0
        self._awake = self._hurry = self._closing = False

    def listen(self, listener: Listener) -> None:
        """Open the folder and the inner publisher; outcomes come from the spool's thread."""
        self._check_folder()
        self._keeper = Keeper(self._settings, self._inner, listener, self)
        self._thread = Thread(target=self._run, name="ropewalk-spool", daemon=True)
        self._thread.start()

    def publish(self, key: bytes, value: bytes, event_id: str) -> None:
        """Hand an event over to the spool's thread."""
        if len(key) > _MAX_KEY_BYTES:
            message = f"its key has {len(key)} bytes; it has at most {_MAX_KEY_BYTES}"
            raise UnsendableError(message)
        record = Record(key, value, event_id, time_ns() // 1_000_000)
        with self._work:
            if self._closing:
                message = "the publisher is closed"
                raise UnsendableError(message)
            if self.is_full(1.0):
                message = f"the queue is full; {self._keeper.trouble or 'the disk is too slow'}"
                raise QueueFullError(message)
            self._waiting.append(record)
            self._n_owed += 1
            self._n_held += 1
            self._held_bytes += size_of(record)
            # The thread cannot tell while a disk that hangs holds it.
            if self._keeper.refusal is None and self.is_full(NEARLY_FULL):
                self._keeper.refuse(TOO_SLOW)
            self._wake()

    def flush(self, timeout: float) -> None:
        """Wait for outcomes, or with `spool_ack` ``disk`` only for the disk.

        The disk is waited for a moment in any case: what is on it is not lost.
        """
        until_stored = monotonic() + max(timeout, DISK_GRACE_S)
        kafka_too = self._settings.spool_ack == "kafka"
        with self._work:
            self._hurry = True
            self._wake()
            self._progress.wait_for(
                lambda: not (self._n_owed if kafka_too else self._n_held), timeout
            )
            self._progress.wait_for(lambda: not self._n_held, max(until_stored - monotonic(), 0))
            self._hurry = False

    def close(self) -> None:
        """Leave on disk what is on it, give up the rest."""
        with self._work:
            self._closing = True
            self._wake()
        self._thread.join(_CLOSE_WITHIN_S)

    def reopened(self) -> Self:
        """Another folder beside ours, over a publisher reopened likewise."""
        return type(self)(self._settings, self._inner.reopened())

    def is_full(self, fraction: float) -> bool:
        """Whether that fraction of the memory is taken."""
        return (
            self._n_held >= self._settings.queue_messages * fraction
            or self._held_bytes >= self._max_held_bytes * fraction
        )

    def wake(self) -> None:
        """From any thread: the spool's thread has something to do."""
        if not self._awake:  # it clears that before it looks for what there is to do
            with self._work:
                self._wake()

    def released(self, records: list[Record], *, settled: int) -> None:
        """These are not held in memory any more, and so many have their outcome."""
        with self._work:
            self._n_held -= len(records)
            self._held_bytes -= sum(map(size_of, records))
            self._n_owed -= settled
            self._progress.notify_all()

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self._work.notify()

    def _run(self) -> None:
        while not self._closing:
            if not self._guarded(self._step):
                self._sleep(_AFTER_A_FAULT_S, until=lambda: self._closing)
        self._guarded(self._step)
        self._guarded(self._keeper.close)

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Whether it went well; the thread must not end, or events would wait for ever."""
        try:
            work()
        except Exception as fault:
            self._keeper.report(f"the spool: {fault!r}")
            return False
        return True

    def _step(self) -> None:
        with self._work:
            taken, self._waiting = self._waiting, deque()
            self._awake = False
        busy = self._keeper.step(taken, hurry=self._hurry or self._closing)
        if not busy:
            self._sleep(self._keeper.due_in(), until=lambda: self._closing or self._awake)
        # Events that follow at once share a batch, and the agents' threads have their turn.
        pause_s = _BREATH_S if busy else _COMPANY_S
        self._sleep(pause_s, until=lambda: self._closing or self._hurry)

    def _sleep(self, timeout: float, *, until: Callable[[], bool]) -> None:
        with self._work:
            self._work.wait_for(until, timeout)

    def _check_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SettingsError("spool_path", f"is {self._folder}: {error.strerror}") from error
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise SettingsError("spool_path", f"is {self._folder}, which may not be written to")
