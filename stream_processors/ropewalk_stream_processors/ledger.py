"""What the `progress` topic tells of one partition; pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from ropewalk_schemas.progress import Crash, Progress, Skip

CRASHES_TO_SKIP = 3
KeyValue = tuple[bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class Known:
    """The newest account of a partition, its last crash, and the offsets to skip.

    Attributes:
        floors: N of every account below which chunks were deleted.
        forgotten: Keys of what an operator meant to go when they deleted the account: whoever goes
            on deletes them, as they are about another log.
    """

    progress: Progress | None = None
    crash: Crash | None = None
    skips: frozenset[int] = frozenset()
    floors: frozenset[int] = frozenset()
    forgotten: frozenset[bytes] = frozenset()


def progress_key(partition: int) -> bytes:
    """The key of a partition's account."""
    return str(partition).encode()


def floor_key(partition: int, next_offset: int) -> bytes:
    """The key of an account after which chunks were deleted; no late account takes its place."""
    return f"{partition}/floor/{next_offset}".encode()


def crash_key(partition: int) -> bytes:
    """The key of a partition's last crash."""
    return f"{partition}/crash".encode()


def skip_key(partition: int, offset: int) -> bytes:
    """The key of a record to skip."""
    return f"{partition}/skip/{offset}".encode()


def newer(best: Progress | None, value: bytes | None) -> Progress | None:
    """The account that counts after one more record of it: the one with the largest N.

    None is an operator's word: begin anew.

    Raises:
        pydantic.ValidationError: If the record is not one of ours.
    """
    if value is None:
        return None
    account = Progress.model_validate_json(value)
    return account if best is None or account.next_offset >= best.next_offset else best


def known_of(partition: int, records: Iterable[KeyValue]) -> Known:
    """What a partition's progress records say; the account with the largest N counts.

    Raises:
        pydantic.ValidationError: If a record is not one of ours.
    """
    best: Progress | None = None
    crash: Crash | None = None
    skips: set[int] = set()
    floors: set[int] = set()
    floor = f"{partition}/floor/".encode()
    before, after = _begun_anew(partition, list(records))
    for key, value in after:
        if key is None or value is None:
            if key is not None and key.startswith(floor):
                floors.discard(int(key.removeprefix(floor)))
            continue
        if key == progress_key(partition) or key.startswith(floor):
            best = newer(best, value)
            if key.startswith(floor):
                floors.add(int(key.removeprefix(floor)))
        elif key == crash_key(partition):
            crash = Crash.model_validate_json(value)
        elif key.startswith(f"{partition}/skip/".encode()):
            skips.add(Skip.model_validate_json(value).offset)
    forgotten = before - {key for key, _ in after if key is not None}
    return Known(best, crash, frozenset(skips), frozenset(floors), forgotten)


def _begun_anew(partition: int, records: list[KeyValue]) -> tuple[frozenset[bytes], list[KeyValue]]:
    """Keys that held something when an operator deleted the account, and the records since then."""
    begin = max((n for n, one in enumerate(records, 1) if one == (progress_key(partition), None)),
                default=0)  # fmt: skip
    held = {key: value for key, value in records[:begin] if key is not None}
    own = f"{partition}/".encode()
    gone = (key for key, value in held.items() if value is not None and key.startswith(own))
    return frozenset(gone), records[begin:]


def poison_of(known: Known) -> Crash | None:
    """The crash that makes its record poison: the third of its kind, not yet skipped."""
    crash = known.crash
    if crash is None or crash.times < CRASHES_TO_SKIP or crash.offset in known.skips:
        return None
    return crash


def next_crash(known: Known, partition: int, offset: int, error: str) -> Crash:
    """The crash record after a failure at `offset`."""
    last = known.crash
    same = last is not None and (last.offset, last.error) == (offset, error)
    times = last.times + 1 if last is not None and same else 1
    return Crash(partition=partition, offset=offset, error=error, times=times)
