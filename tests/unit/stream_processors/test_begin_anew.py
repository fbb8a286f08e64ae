"""An account that a person deleted is forgotten, and then the log begins where it begins."""

from ropewalk_schemas.limits import Settings
from ropewalk_schemas.progress import Counts, Progress, Skip
from ropewalk_stream_processors.ledger import floor_key, known_of, progress_key, skip_key


def an_account(next_offset: int) -> bytes:
    account = Progress(
        engine_version="1",
        worker="w",
        partition=0,
        replay_offset=next_offset,
        next_offset=next_offset,
        clock_ms=0,
        broker_ms=0,
        settings=Settings(),
        skip={},
        headers=[],
        counts=Counts(),
        open_events=0,
        open_trajectories=0,
        clock_at_next_ms=0,
        watermark_ms=0,
    )
    return account.model_dump_json().encode()


def test_a_deleted_account_is_forgotten_and_one_written_later_counts() -> None:
    key = progress_key(0)
    assert known_of(0, [(key, an_account(9)), (key, None)]).progress is None
    known = known_of(0, [(key, an_account(9)), (key, None), (key, an_account(3))])
    assert known.progress is not None
    assert known.progress.next_offset == 3


def test_what_was_known_of_the_old_log_goes_with_its_account() -> None:
    skip = Skip(partition=0, offset=4, error="x").model_dump_json().encode()
    old = [(floor_key(0, 9), an_account(9)), (skip_key(0, 4), skip), (b"1/crash", b"{}")]
    known = known_of(0, [*old, (progress_key(0), None)])
    assert (known.progress, known.skips, known.floors) == (None, frozenset(), frozenset())
    assert known.forgotten == {floor_key(0, 9), skip_key(0, 4)}
    again = [(floor_key(0, 9), None), (skip_key(0, 4), skip), (progress_key(0), an_account(5))]
    known = known_of(0, [*old, (progress_key(0), None), *again])
    assert known.progress is not None
    assert known.progress.next_offset == 5
    assert known.skips == {4}
    assert known.forgotten == frozenset()


def test_deleting_the_account_of_another_partition_or_an_account_leaves_the_rest() -> None:
    skip = Skip(partition=0, offset=4, error="x").model_dump_json().encode()
    records = [
        (skip_key(0, 4), skip),
        (progress_key(0), an_account(9)),
        (progress_key(1), None),
        (b"0/crash", None),
    ]
    known = known_of(0, records)
    assert known.progress is not None
    assert known.skips == {4}
