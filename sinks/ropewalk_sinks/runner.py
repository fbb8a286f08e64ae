"""The loop of a sink process: poll, add, flush when due, show the offset to Kafka."""

import logging
import signal
import threading
import time
from collections.abc import Iterable, Mapping

from ropewalk_sinks.config import ParquetSettings, PostgresSettings
from ropewalk_sinks.kafka import QuarantineWriter, TopicReader, require_topics
from ropewalk_sinks.memory import give_back
from ropewalk_sinks.sink import Sink, TopicPartition

log = logging.getLogger(__name__)

POLL_S = 0.2
REPORT_EVERY_S = 5.0
Settings = PostgresSettings | ParquetSettings


def serve(sink: Sink, settings: Settings) -> None:
    """Run a sink until SIGTERM or SIGINT; then flush, close and return.

    Raises:
        SinkError: What ends the process; its message is for a person.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(sink, settings, stop)


def run(sink: Sink, settings: Settings, stop: threading.Event) -> None:
    """Feed a sink from its topics until `stop` is set, then flush it; close it in any case.

    Raises:
        SinkError: What ends the process. What was not flushed comes again at the next start.
    """
    try:
        refused = [settings.topics.quarantine]
        require_topics(settings, settings.subscription, refused, member_of=settings.group)
        feed = _Feed(sink, settings)
        try:
            while not stop.is_set():
                feed.turn()
            feed.flush()
        finally:
            feed.close()
    finally:
        sink.close()


class _Feed:
    """Carries records from Kafka to a sink, and partitions from owner to owner."""

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self._sink = sink
        self._refuse = QuarantineWriter(settings)
        self._n_records = 0
        self._is_closing = False
        self._reported = (time.monotonic(), -1)
        self._reader = TopicReader(settings, settings.group, settings.subscription, owner=self)

    def turn(self) -> None:
        """Move one record, and do what is due."""
        record = self._reader.poll(POLL_S)
        if record is not None:
            self._sink.add((record,))
            self._n_records += 1
        now = time.monotonic()
        if self._sink.due(now):
            self.flush()
        if now - self._reported[0] >= REPORT_EVERY_S:
            self._report(now)

    def flush(self) -> None:
        written = self._sink.flush(self._refuse)
        self._reader.commit(written)

    def close(self) -> None:
        """Leave the group. What is still buffered was not stored and stays so."""
        self._is_closing = True
        self._reader.close()
        self._report(time.monotonic())

    def assigned(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._sink.claim(partitions)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        if not self._is_closing:
            self.flush()
        self._sink.release(partitions)

    def lost(self, partitions: Iterable[TopicPartition]) -> None:
        self._sink.release(partitions)

    def _report(self, now: float) -> None:
        """One line with what changed since the last; none when nothing did."""
        if self._n_records == self._reported[1]:
            self._reported = (now, self._n_records)
            return
        self._reported = (now, self._n_records)
        give_back()
        counts = " ".join(f"{name}={count}" for name, count in sorted(self._sink.counts.items()))
        log.info(
            "sink_progress sink=%s records=%d %s lag=%d",
            *(self._sink.name, self._n_records, counts, self._reader.lag()),
        )
