"""Sends refused records again: in turns, each once, marked in the log and then in Postgres."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ropewalk_deploy.audit.quarantine import place_of, text_of
from ropewalk_deploy.audit.replaying import Judged
from ropewalk_deploy.audit.resent import Copies, copy_headers, target_of
from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.turns import Turn
from ropewalk_schemas.topics import MIB
from ropewalk_sinks.errors import SinkError
from ropewalk_sinks.postgres_marks import mark_replayed
from ropewalk_stream_processors.errors import PublishError
from ropewalk_stream_processors.kafka import Publisher

CHUNK_RECORDS, CHUNK_BYTES = 200, 4 * MIB


class Marked(NamedTuple):
    """How many refused records carry `replayed_at` in Postgres, or why that is not known."""

    rows: int | None
    problem: str | None


def resend(
    servers: str,
    chosen: Sequence[Judged],
    copies: Copies,
    turn: Turn,
    waiting: Callable[[], None],
) -> int:
    """Send records that nobody else has sent since they were judged; gives how many.

    Every record is durable, and known by the log as sent again, when this returns.

    Raises:
        CommandError: If the broker did not take them all, or somebody else is at work.
    """
    # What a frozen process has not sent by the end of its turn must never be sent.
    publisher = Publisher(servers, timeout_s=turn.lasts_s)
    n_sent = 0
    try:
        for chunk in _chunks(chosen):
            while turn.take(waiting):
                copies.look()  # again, should looking have taken so long that the turn was lost
            left = [each for each in chunk if copies.of(each.record) == each.copy]
            try:
                _send(left, copies, publisher, turn)
            except PublishError as error:
                raise _failure(left, error, n_sent) from error
            n_sent += len(left)
    except BaseException:
        # What is under way must be in the log before another command has its turn.
        with suppress(PublishError):
            publisher.flush()
        raise
    return n_sent


def _send(left: Sequence[Judged], copies: Copies, publisher: Publisher, turn: Turn) -> None:
    for each in left:
        if turn.is_over():
            msg = f"this took more than {turn.lasts_s:.0f} s"
            raise PublishError(msg)
        record = each.record
        partition = target_of(record, copies.n_partitions[record.topic])
        headers = copy_headers(record)
        publisher.send(record.topic, partition, record.key, record.value, headers)  # type: ignore[arg-type] # Kafka's headers may be null
    publisher.flush()


def _failure(left: Sequence[Judged], error: PublishError, n_sent: int) -> CommandError:
    ends = " to ".join(dict.fromkeys(text_of(place_of(left[i].record)) for i in (0, -1)))
    msg = (
        f"not all of {ends} could be sent again ({str(error).partition(';')[0]}); {n_sent:,} "
        "before them were. Look at the broker, or raise ROPEWALK_SESSION_TIMEOUT_MS if it is slow; "
        "then run this again: nothing is sent twice"
    )
    return CommandError(msg)


def _chunks(chosen: Sequence[Judged]) -> Iterator[list[Judged]]:
    chunk: list[Judged] = []
    n_bytes = 0
    for each in chosen:
        size = len(each.record.value or b"")
        if chunk and (len(chunk) >= CHUNK_RECORDS or n_bytes + size > CHUNK_BYTES):
            yield chunk
            chunk, n_bytes = [], 0
        chunk.append(each)
        n_bytes += size
    if chunk:
        yield chunk


def mark(dsn: str, judged: Sequence[Judged], copies: Copies) -> Marked:
    """Note in Postgres what the log says was sent again, by whichever run; a copy of that only."""
    found = [
        (*place_of(each.record), copy.at_ms)
        for each in judged
        if (copy := copies.of(each.record)) is not None
    ]
    try:
        return Marked(mark_replayed(dsn, found) if found else 0, None)
    except SinkError as error:
        return Marked(None, str(error))
