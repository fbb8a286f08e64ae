"""`ropewalk verify`: reads the logs and both sinks, and compares."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ropewalk_deploy.audit.accounts import Accounts, PartKey, Place
from ropewalk_deploy.audit.checks import Check, check_counts, check_equation, check_sets
from ropewalk_deploy.audit.earned import check_earned, due_as_of
from ropewalk_deploy.audit.erased import Split, check_nothing_left, check_tombstones, split
from ropewalk_deploy.audit.generations import check_switches, published_hashes, read_promoted
from ropewalk_deploy.audit.readers import (
    Ends,
    Reading,
    Share,
    read_later,
    read_logs,
    wait_for_worker,
    wait_until,
)
from ropewalk_deploy.audit.replay import check_replay, replay
from ropewalk_deploy.audit.truth import check_ledger, stored_events
from ropewalk_deploy.config import Endpoints
from ropewalk_deploy.kafka import LogScanner
from ropewalk_deploy.ledger_queries import parquet_entries_as_of
from ropewalk_deploy.simulation.ledger import Ledger, read_ledger
from ropewalk_schemas.windows import from_micros
from ropewalk_sinks import parquet_erase, parquet_reads, postgres_erase, postgres_reads
from ropewalk_sinks.erasures import all_erasures
from ropewalk_sinks.parquet_checks import check_files
from ropewalk_sinks.postgres_generations import Generation, read_generations
from ropewalk_sinks.postgres_ledger import entries_as_of

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Stored:
    """What one sink holds, and where it goes on."""

    sink: str
    parts: Callable[[], Iterable[tuple[PartKey, tuple[str, float | None]]]]
    rewards: Callable[[], Iterable[tuple[str, tuple[str, float]]]]
    refused: Callable[[], Iterable[tuple[Place, str]]]
    offsets: Callable[[], Ends]


def stores(places: Endpoints) -> list[Stored]:
    """Both sinks."""
    dsn, path = places.postgres_dsn, places.parquet_path
    return [
        Stored(
            "postgres",
            lambda: ((PartKey(p.trajectory_id, p.part), (p.content_hash, p.reward))
                     for p in postgres_reads.stored_parts(dsn)),
            lambda: ((r.reward_id, (r.trajectory_id, r.value))
                     for r in postgres_reads.stored_rewards(dsn)),
            lambda: ((Place(q.topic, q.partition, q.offset), q.reason)
                     for q in postgres_reads.stored_quarantine(dsn)),
            lambda: {(o.topic, o.partition): o.next_offset
                     for o in postgres_reads.stored_offsets(dsn) if o.sink == "postgres"},
        ),
        Stored(
            "parquet",
            lambda: ((PartKey(p.trajectory_id, p.part), (p.content_hash, p.reward))
                     for p in parquet_reads.stored_parts(path)),
            lambda: ((r.reward_id, (r.trajectory_id, r.value))
                     for r in parquet_reads.stored_rewards(path)),
            lambda: ((Place(q.topic, q.partition, q.offset), q.reason)
                     for q in parquet_reads.stored_quarantine(path)),
            lambda: {(at.topic, at.partition): offset
                     for at, offset in parquet_reads.stored_offsets(path).items()},
        ),
    ]  # fmt: skip


def verify(
    places: Endpoints,
    *,
    ledger: Path | None,
    timeout_s: float,
    share: Share,
    with_replay: bool = False,
) -> list[Check]:
    """Everything that can be compared, compared.

    Args:
        places: Where the logs and sinks are.
        ledger: A simulator's truth ledger.
        timeout_s: How long the worker and the sinks may take to catch up.
        share: Told the share of the logs that is read.
        with_replay: Also run the logs through the engine once more; only when nothing goes on.
    """
    with LogScanner(places.bootstrap_servers) as scanner:
        behind = wait_for_worker(scanner, timeout_s=timeout_s)
        checks = [_caught_up("worker", len(behind), str(behind))]
        reading = read_logs(scanner, share)
        generations = read_generations(places.postgres_dsn)
        reading.accounts.promoted = read_promoted(scanner, places.postgres_dsn, generations)
        for partition, span in sorted(reading.spans.items()):
            checks.append(check_equation(partition, span))
            if reading.log_starts[partition] == 0:
                checks += check_counts(partition, span, reading.accounts)
        checks.append(_decodable(reading.accounts))
        for stored in stores(places):
            checks += _check_store(stored, reading, scanner, timeout_s, places)
        checks += _check_erasures(places, reading, scanner, generations)
        if with_replay:
            checks += check_replay(replay(scanner, reading), reading.accounts)
    checks.append(_files_check(places.parquet_path))
    if generations:
        checks.append(check_switches(generations))
    if ledger is not None:
        progress = {p: span.after for p, span in reading.spans.items()}
        truth = read_ledger(ledger)
        gone = _erased(places, reading.accounts)
        checks += check_ledger(truth, reading.accounts, progress, gone)
        checks += _check_moments(places, truth, reading.accounts, gone)
    return checks


def _erased(places: Endpoints, accounts: Accounts) -> set[str]:
    """The trajectories of erased subjects."""
    erasures = all_erasures(places.postgres_dsn, places.parquet_path)
    split(accounts, erasures)
    return set(erasures.trajectories)


def _check_erasures(
    places: Endpoints, reading: Reading, scanner: LogScanner, generations: list[Generation]
) -> list[Check]:
    dsn, path = places.postgres_dsn, places.parquet_path
    tombstones = {
        "postgres": postgres_erase.tombstones(dsn),
        "parquet": parquet_erase.all_tombstones(path),
    }
    if not any(tombstones.values()):
        return []
    found = split(reading.accounts, all_erasures(dsn, path))
    whole = not any(reading.log_starts.values())
    published = published_hashes(scanner, reading.accounts, generations)
    return [
        *check_tombstones(tombstones, found.erased_parts, whole=whole, published=published),
        check_nothing_left("postgres, all tables", postgres_erase.leftovers(dsn)),
        check_nothing_left("parquet, all files", parquet_erase.leftovers(path)),
    ]


def _check_moments(
    places: Endpoints, truth: Ledger, accounts: Accounts, gone: set[str]
) -> list[Check]:
    """What both sinks count as of each moment that the ledger knows, and now."""
    stored = stored_events(truth, accounts)
    checks = []
    for moment in (*truth.moments, None):
        due = due_as_of(truth, accounts, stored, moment, gone)
        at = None if moment is None else from_micros(moment.at_ms * 1000)
        counting = {
            "postgres": entries_as_of(places.postgres_dsn, at),
            "parquet": parquet_entries_as_of(places.parquet_path, at),
        }
        for sink, entries in counting.items():
            own = [entry for entry in entries if entry.trajectory_id in truth.opened]
            checks.append(check_earned(sink, due, own, accounts, moment))
    return checks


def _caught_up(who: str, n_behind: int, detail: str) -> Check:
    return Check(
        name=f"{who} has caught up",
        ok=n_behind == 0,
        expected=0,
        found=n_behind,
        detail=f"behind (done, end): {detail}; is it running?" if n_behind else "",
    )


def _decodable(accounts: Accounts) -> Check:
    wrong = ["/".join(map(str, place)) for place in accounts.undecodable]
    return Check(
        "every output can be read", not wrong, 0, len(wrong), wrong=wrong[:20], n_wrong=len(wrong)
    )


def _check_store(
    stored: Stored, reading: Reading, scanner: LogScanner, timeout_s: float, places: Endpoints
) -> list[Check]:
    behind: dict[tuple[str, int], tuple[int, int]] = {}

    def caught_up() -> bool:
        offsets = stored.offsets()
        behind.clear()
        for at, end in reading.ends.items():
            if offsets.get(at, 0) < end:
                behind[at] = (offsets.get(at, 0), end)
        return not behind

    wait_until(caught_up, timeout_s=timeout_s)
    parts, rewards, refused = list(stored.parts()), list(stored.rewards()), list(stored.refused())
    # Read after the stores: nothing that was erased by then may have been there.
    erasures = all_erasures(places.postgres_dsn, places.parquet_path)
    wanted = split(reading.accounts, erasures)
    later = split(read_later(scanner, reading.ends), erasures)
    sink = stored.sink
    checks = [_caught_up(f"sink {sink}", len(behind), str(behind))]
    for what, found, due, came_later, erased in (
        ("trajectories", parts, _parts(wanted), _parts(later), wanted.erased_parts),
        ("rewards", rewards, _rewards(wanted), _rewards(later), wanted.erased_rewards),
        ("quarantine", refused, wanted.refused, later.refused, wanted.erased_refused),
    ):
        kept = [(key, content) for key, content in found if key not in erased]  # see leftovers
        check = check_sets(f"{sink}: {what}", due, _known(kept, due, came_later))
        checks.append(_with_erased(check, len(erased)))
    return checks


def _with_erased(check: Check, n_erased: int) -> Check:
    """A comparison that says how many were erased of what the log gives."""
    if not n_erased:
        return check
    total = check.expected + n_erased
    detail = f"{check.found:,} stored + {n_erased:,} erased, the log gives {total:,}"
    return replace(check, detail=detail)


def _parts(found: Split) -> dict[PartKey, tuple[str, float | None]]:
    return {key: part.content for key, part in found.parts.items()}


def _rewards(found: Split) -> dict[str, tuple[str, float]]:
    return {i: (row.trajectory_id, row.value) for i, row in found.rewards.items()}


def _known(
    found: Iterable[tuple[Any, object]], wanted: Mapping[Key, object], later: Mapping[Key, object]
) -> list[tuple[Key, object]]:
    """What was found, less what came into the log only after it was read."""
    return [(key, content) for key, content in found if key in wanted or key not in later]


def _files_check(path: Path) -> Check:
    wrong = [str(problem) for problem in check_files(path)]
    return Check(
        "parquet: every committed file is there, unchanged, and no other",
        not wrong, 0, len(wrong), wrong=wrong[:20], n_wrong=len(wrong),
    )  # fmt: skip
