"""A log of published records for the Parquet sink, and what the sink made of it."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
from tests.support.published import T0, a_part, an_entry, value_of

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.progress import Counts, Progress
from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.config import ParquetSettings
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.sink import SourceRecord, TopicPartition

PARTS = TopicPartition("trajectories", 0)
REFUSED = TopicPartition("quarantine", 0)
ACCOUNTS = TopicPartition("progress", 0)
ALL = (PARTS, REFUSED, ACCOUNTS)
T0_MS = int(T0.timestamp() * 1000)


def settings(path: Path, **changes: Any) -> ParquetSettings:
    """Settings of a sink that needs no broker."""
    return ParquetSettings(bootstrap_servers="unused:1", parquet_path=path, **changes)


def a_record(
    offset: int, value: bytes | None, *, at: TopicPartition = PARTS, **changes: Any
) -> SourceRecord:
    """A record at an offset; the broker's time grows with it."""
    given: dict[str, Any] = {"timestamp_ms": T0_MS + offset, "key": b"t", "headers": ()}
    return SourceRecord(at=at, offset=offset, value=value, **given | changes)


def log_of(rows: Iterable[object], *, at: TopicPartition = PARTS, first: int = 0) -> list[Any]:
    """Parts and ledger entries as consecutive records."""
    return [a_record(first + i, value_of(row), at=at) for i, row in enumerate(rows)]


def a_refused(offset: int = 7, **changes: Any) -> Quarantined:
    """A refused record of `agent-events`."""
    given: dict[str, Any] = {
        "topic": "agent-events",
        "partition": 0,
        "offset": offset,
        "key": b"t-1",
        "value": b"\xff\x00 not JSON",
        "headers": [("trace", b"\x01"), ("none", None)],
        "reason": "invalid_utf8",
        "detail": "byte 0 is not UTF-8",
        "stage": "assembler",
        "quarantined_by": "engine-1",
        "trajectory_id": None,
        "broker_ms": T0_MS,
        "quarantined_ms": T0_MS + 5,
    }
    return Quarantined(**given | changes)


def refused_record(offset: int, refused: Quarantined) -> SourceRecord:
    """The quarantine topic's record of a refused record."""
    headers = refused.to_headers()
    return a_record(offset, refused.value, at=REFUSED, key=refused.key, headers=headers)


def an_account(next_offset: int = 100, **changes: Any) -> Progress:
    """An account of partition 0 that balances."""
    given: dict[str, Any] = {
        "engine_version": "engine-1",
        "worker": "w-1",
        "partition": 0,
        "replay_offset": 0,
        "next_offset": next_offset,
        "clock_ms": T0_MS,
        "broker_ms": T0_MS,
        "settings": Settings(),
        "skip": {},
        "headers": [],
        "counts": Counts(received=9, assembled=5, ledger=1, quarantined={"nul": 2}),
        "open_events": 1,
        "open_trajectories": 1,
        "clock_at_next_ms": T0_MS + 10,
        "watermark_ms": T0_MS + 5,
    }
    return Progress(**given | changes)


def account_record(offset: int, account: Progress) -> SourceRecord:
    """The progress topic's record of an account."""
    value = to_json(account.model_dump(mode="json"))
    return a_record(offset, value, at=ACCOUNTS, key=b"0")


def small_log() -> list[SourceRecord]:
    """Every kind of row on two days, with duplicates among them."""
    tomorrow = T0 + timedelta(days=1)
    first = a_part("t-1", last=False)
    rows = [
        first,
        a_part("t-2", window_start=tomorrow),
        an_entry("r-1"),
        first,
        a_part("t-1", 1),
        an_entry("r-1"),
    ]
    return [
        *log_of(rows),
        refused_record(0, a_refused(7)),
        refused_record(1, a_refused(7)),
        account_record(3, an_account(100)),
        account_record(8, an_account(200)),
    ]


SMALL_LOG_ROWS = {
    "trajectories": [("t-1", 0), ("t-1", 1), ("t-2", 0)],
    "rewards": [("r-1",)],
    "quarantine": [("agent-events", 0, 7)],
    "progress": [(0, 100), (0, 200)],
}
IDENTITIES = {
    "trajectories": ("trajectory_id", "part"),
    "rewards": ("reward_id",),
    "quarantine": ("topic", "partition", "offset"),
    "progress": ("partition", "next_offset"),
}


def refuse_nothing(refused: Sequence[Quarantined]) -> None:
    """For logs in which nothing is to be refused."""
    message = f"refused: {[record.detail for record in refused]}"
    raise AssertionError(message)


def go_on(sink: ParquetSink, log: Sequence[SourceRecord], *, flushes: int = 1) -> None:
    """Claim everything and store the log from there, as the runner does."""
    begins = sink.claim(ALL)
    todo = [record for record in log if record.offset >= begins[record.at]]
    size = max(1, -(-len(todo) // flushes))
    for start in range(0, len(todo), size):
        sink.add(todo[start : start + size])
        sink.flush(refuse_nothing)


def stored(path: Path, dataset: str) -> list[dict[str, Any]]:
    """All rows of a dataset, by identity."""
    table = pads.dataset(path / dataset, format="parquet").to_table()
    rows: list[dict[str, Any]] = table.to_pylist()
    return sorted(rows, key=lambda row: [row[name] for name in IDENTITIES[dataset]])


def identities(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The identities of all rows of all datasets, sorted, as often as they are there."""
    return {
        dataset: [tuple(row[name] for name in names) for row in stored(path, dataset)]
        if any((path / dataset).rglob("*.parquet"))
        else []
        for dataset, names in IDENTITIES.items()
    }
