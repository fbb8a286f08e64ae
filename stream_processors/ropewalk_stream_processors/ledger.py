"""What the `progress` topic tells of one partition; pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from ropewalk_schemas.progress import Crash, Progress, Skip

CRASHES_TO_SKIP = 3


@dataclass(frozen=True, slots=True)
class Known:
    """The newest account of a partition, its last crash, and the offsets to skip.

    Attributes:
        floors: N of every account below which chunks were deleted.
    """

    progress: Progress | None = None
    crash: Crash | None = None
    skips: frozenset[int] = frozenset()
    floors: frozenset[int] = frozenset()


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


def known_of(partition: int, records: Iterable[tuple[bytes | None, bytes | None]]) -> Known:
    """What a partition's progress records say; the account with the largest N counts.

    Raises:
        pydantic.ValidationError: If a record is not one of ours.
    """
    best: Progress | None = None
    crash: Crash | None = None
    skips: set[int] = set()
    floors: set[int] = set()
    floor = f"{partition}/floor/".encode()
    for key, value in records:
        if key is None or value is None:
            if key is not None and key.startswith(floor):
                floors.discard(int(key.removeprefix(floor)))
            continue
        if key == progress_key(partition) or key.startswith(floor):
            progress = Progress.model_validate_json(value)
            if best is None or progress.next_offset >= best.next_offset:
                best = progress
            if key.startswith(floor):
                floors.add(progress.next_offset)
        elif key == crash_key(partition):
            crash = Crash.model_validate_json(value)
        elif key.startswith(f"{partition}/skip/".encode()):
            skips.add(Skip.model_validate_json(value).offset)
    return Known(best, crash, frozenset(skips), frozenset(floors))


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
