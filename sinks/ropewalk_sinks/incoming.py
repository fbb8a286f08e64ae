"""What a record of the log is: decided once, the same for every sink. Pure."""

import json
import re
from base64 import b64encode
from typing import Any, NamedTuple, TypeGuard

from pydantic import ValidationError

from ropewalk_schemas.errors import DecodeError, invalid
from ropewalk_schemas.outcomes import Outcome, decode_outcome
from ropewalk_schemas.prechecks import check_nul_and_depth
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.published import LedgerEntryRow, TrajectoryRow, decode_published
from ropewalk_schemas.quarantine import Headers, Quarantined, from_record
from ropewalk_schemas.reasons import Reason
from ropewalk_schemas.trajectory import LedgerEntry, Trajectory
from ropewalk_sinks.config import Topics
from ropewalk_sinks.sink import SourceRecord

_VERSION = re.compile(r"1\.\d{1,9}", re.ASCII)


class Refusal(NamedTuple):
    """A record that cannot be stored, and why."""

    reason: Reason
    detail: str
    trajectory_id: str | None = None


Content = Trajectory | LedgerEntry | Quarantined | Progress | Outcome | Refusal | None


class Incoming(NamedTuple):
    """A record and what it holds; None is what the sinks do not store."""

    record: SourceRecord
    content: Content


def is_part(content: object) -> TypeGuard[Trajectory]:
    """Whether it is a decoded part; its free-form fields are raw JSON (see `raw_json`)."""
    return isinstance(content, TrajectoryRow)


def is_entry(content: object) -> TypeGuard[LedgerEntry]:
    """Whether it is a decoded ledger entry; its free-form fields are raw JSON."""
    return isinstance(content, LedgerEntryRow)


def read_record(record: SourceRecord, topics: Topics) -> Incoming:
    """Decode a record by its topic; what cannot be decoded becomes a `Refusal`.

    A record of the quarantine topic itself is never refused, as it would come back for ever: an
    unreadable one becomes an account of itself.
    """
    topic = record.at.topic
    if topic == topics.quarantine:
        return Incoming(record, _read_quarantined(record))
    try:
        return Incoming(record, _read(record, topics))
    except DecodeError as error:
        return Incoming(record, Refusal(error.reason, error.detail))


def _read(record: SourceRecord, topics: Topics) -> Content:
    if record.at.topic == topics.progress:
        return _read_progress(record)
    if not record.value:
        raise DecodeError(reason="empty", detail="the record has no value")
    if record.at.topic == topics.outcomes:
        return decode_outcome(record.value)
    if b"\\u0000" in record.value:
        check_nul_and_depth(record.value)
    row = decode_published(record.value)
    if not _VERSION.fullmatch(row.schema_version):
        detail = f"schema_version is {row.schema_version!r}; this code reads 1.x"[:300]
        raise DecodeError(reason="unknown_version", detail=detail)
    return row


def _read_progress(record: SourceRecord) -> Progress | None:
    """The account of a partition; None for crashes, skips and deletions."""
    if record.value is None or b"/" in (record.key or b""):
        return None
    try:
        return Progress.model_validate_json(record.value)
    except ValidationError as error:
        raise invalid(error) from error


def _read_quarantined(record: SourceRecord) -> Quarantined:
    try:
        return from_record(record.key, record.value, record.headers)
    except DecodeError as error:
        return unreadable(record, error.detail)


def unreadable(record: SourceRecord, detail: str) -> Quarantined:
    """A record of the quarantine topic as an account of itself, under its own offset."""
    refusal = Refusal("invalid", f"a record of the quarantine topic is unreadable: {detail}")
    return quarantined(record, refusal, stage="quarantine", by="sink")


def quarantined(record: SourceRecord, refusal: Refusal, *, stage: str, by: str) -> Quarantined:
    """The account of a refused record, to be written to quarantine.

    Args:
        record: What is refused.
        refusal: Why.
        stage: ``sink postgres`` or ``sink parquet``.
        by: Which code refuses it.
    """
    return Quarantined(
        topic=record.at.topic,
        partition=record.at.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
        reason=refusal.reason,
        detail=refusal.detail,
        stage=stage,
        quarantined_by=by,
        trajectory_id=refusal.trajectory_id,
        broker_ms=record.timestamp_ms,
        # The newest broker time this record's partition has shown; a replay gives the same.
        quarantined_ms=record.timestamp_ms,
    )


def headers_json(headers: Headers) -> str:
    """Record headers as JSON: a list of [name, base64 of the value or null]."""
    shown: list[Any] = [[k, None if v is None else b64encode(v).decode()] for k, v in headers]
    return json.dumps(shown)
