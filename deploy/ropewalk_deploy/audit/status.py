"""`ropewalk status`: how far everything is, gathered and as plain data."""

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from ropewalk_deploy.audit.erased import unfinished
from ropewalk_deploy.audit.generations import half_done
from ropewalk_deploy.audit.readers import newest_progress
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.kafka import LogScanner
from ropewalk_schemas.progress import Progress
from ropewalk_schemas.reasons import MEANING
from ropewalk_schemas.topics import AGENT_EVENTS, PROGRESS, QUARANTINE, TRAJECTORIES
from ropewalk_schemas.windows import from_micros
from ropewalk_sinks import parquet_erase, parquet_reads, postgres_erase, postgres_reads
from ropewalk_sinks.errors import SinkError
from ropewalk_sinks.postgres_connection import masked
from ropewalk_sinks.postgres_generations import read_generations

RATE_OVER_S = 60


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One input partition. `lag` counts records not yet accounted for."""

    partition: int
    log_start: int
    log_end: int
    accounted: int
    replay_from: int
    lag: int
    open_trajectories: int
    open_events: int
    received: int
    records_per_s: float
    watermark: str | None
    worker: str | None


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One sink. `lag` counts records of its topics that it has not stored; None if unknown."""

    sink: str
    lag: int | None
    offsets: dict[str, dict[str, int]]
    problem: str | None = None


def gather(places: Endpoints) -> dict[str, Any]:
    """Everything `status` shows, as plain data."""
    with LogScanner(places.bootstrap_servers) as scanner:
        progress = newest_progress(scanner)
        partitions = [
            _partition(scanner, p, progress.get(p)) for p in scanner.partitions(AGENT_EVENTS.name)
        ]
        sinks = [_sink(name, scanner, places) for name in ("postgres", "parquet")]
    refused: Counter[str] = Counter()
    for account in progress.values():
        refused.update({str(reason): n for reason, n in account.counts.quarantined.items()})
    totals = ("received", "assembled", "ledger", "duplicate")
    return {
        "bootstrap_servers": places.bootstrap_servers,
        "postgres_dsn": masked(places.postgres_dsn),  # an answer that is often logged
        "parquet_path": str(places.parquet_path),
        "partitions": [asdict(p) for p in partitions],
        "totals": {
            name: sum(getattr(a.counts, name) for a in progress.values()) for name in totals
        },
        "quarantined": {
            reason: {"count": n, "meaning": MEANING[reason]}  # type: ignore[index] # a Reason
            for reason, n in refused.most_common()
        },
        "sinks": [asdict(s) for s in sinks],
        "erasures": _erasures(places),
        "last_window": _last_window(places),
        "generations": _generations(places),
    }


def _partition(scanner: LogScanner, partition: int, account: Progress | None) -> PartitionStatus:
    bounds = scanner.bounds(AGENT_EVENTS.name, partition)
    since = scanner.offset_at(AGENT_EVENTS.name, partition, int((time.time() - RATE_OVER_S) * 1000))
    recent = bounds.end - since if since is not None else 0
    accounted = account.next_offset if account else bounds.start
    return PartitionStatus(
        partition=partition,
        log_start=bounds.start,
        log_end=bounds.end,
        accounted=accounted,
        replay_from=account.replay_offset if account else bounds.start,
        lag=bounds.end - accounted,
        open_trajectories=account.open_trajectories if account else 0,
        open_events=account.open_events if account else 0,
        received=account.counts.received if account else 0,
        records_per_s=round(recent / RATE_OVER_S, 1),
        watermark=from_micros(account.watermark_ms * 1000).isoformat() if account else None,
        worker=account.worker if account else None,
    )


def _sink(name: str, scanner: LogScanner, places: Endpoints) -> SinkStatus:
    try:
        offsets = _offsets(name, places)
    except SinkError as error:
        return SinkStatus(name, None, {}, str(error))
    lag = 0
    shown: dict[str, dict[str, int]] = {}
    for topic in (TRAJECTORIES.name, QUARANTINE.name, PROGRESS.name):
        for partition in scanner.partitions(topic):
            end = scanner.bounds(topic, partition).end
            next_offset = offsets.get((topic, partition), 0)
            lag += max(0, end - next_offset)
            shown[f"{topic}/{partition}"] = {"next_offset": next_offset, "log_end": end}
    return SinkStatus(name, lag, shown)


def _offsets(name: str, places: Endpoints) -> dict[tuple[str, int], int]:
    if name == "parquet":
        stored = parquet_reads.stored_offsets(places.parquet_path)
        return {(at.topic, at.partition): offset for at, offset in stored.items()}
    return {
        (o.topic, o.partition): o.next_offset
        for o in postgres_reads.stored_offsets(places.postgres_dsn)
        if o.sink == name
    }


def _erasures(places: Endpoints) -> dict[str, Any] | None:
    """How many subjects are erased, and which erasures are to be run again; None if unknown."""
    try:
        found = {
            "postgres": postgres_erase.tombstones(places.postgres_dsn),
            "parquet": parquet_erase.all_tombstones(places.parquet_path),
        }
        entries_left = postgres_erase.entries_left(places.postgres_dsn)
    except SinkError:
        return None  # the sink's own line says what is wrong
    return {
        "subjects": len({t.subject for stones in found.values() for t in stones}),
        "unfinished": unfinished(found),
        "entries_left": entries_left,
    }


def _last_window(places: Endpoints) -> dict[str, Any] | None:
    try:
        return postgres_reads.last_window(places.postgres_dsn)
    except SinkError:
        return None  # the sink's own line says what is wrong with the database


def _generations(places: Endpoints) -> dict[str, Any] | None:
    try:
        known = read_generations(places.postgres_dsn)
    except SinkError:
        return None  # likewise
    return {"states": {each.name: each.state for each in known}, "half_done": half_done(known)}
