"""The Parquet sink, driven as the runner drives it."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.parquet_log import (
    ALL,
    PARTS,
    REFUSED,
    SMALL_LOG_ROWS,
    a_record,
    a_refused,
    go_on,
    identities,
    log_of,
    refuse_nothing,
    refused_record,
    settings,
    small_log,
    stored,
)
from tests.support.published import T0, a_part, a_step, an_entry, content_hash, raw, value_of

from ropewalk_schemas.quarantine import Quarantined
from ropewalk_sinks.errors import QuarantineError, StorageError
from ropewalk_sinks.parquet import ParquetSink
from ropewalk_sinks.parquet_commits import commit_files, read_commit
from ropewalk_sinks.parquet_layout import Layout
from ropewalk_sinks.sink import TopicPartition


class Refused(list[Quarantined]):
    """Keeps what a sink refuses."""

    def __call__(self, refused: Sequence[Quarantined]) -> None:
        self.extend(refused)


def store(path: Path, rows: Sequence[Any], *, first: int = 0) -> tuple[ParquetSink, Refused]:
    """A new process stores rows from offset `first` on."""
    sink, refused = ParquetSink(settings(path)), Refused()
    sink.claim([PARTS])
    sink.add(log_of(rows, first=first))
    sink.flush(refused)
    return sink, refused


def test_every_kind_of_row_is_stored_once_and_the_next_offsets_are_kept(tmp_path: Path) -> None:
    sink = ParquetSink(settings(tmp_path))
    go_on(sink, small_log())
    assert identities(tmp_path) == SMALL_LOG_ROWS
    assert +sink.counts == {"rows": 7, "duplicates": 3}
    offsets = ParquetSink(settings(tmp_path)).claim(ALL)
    assert list(offsets.values()) == [6, 2, 9]


def test_nothing_is_visible_before_the_flush_and_all_of_it_after(tmp_path: Path) -> None:
    sink = ParquetSink(settings(tmp_path))
    assert sink.claim([PARTS]) == {PARTS: 0}
    sink.add(log_of([a_part("t-1"), a_part("t-2")]))
    assert identities(tmp_path)["trajectories"] == []
    assert sink.flush(refuse_nothing) == {PARTS: 2}
    assert identities(tmp_path)["trajectories"] == [("t-1", 0), ("t-2", 0)]
    assert sink.flush(refuse_nothing) == {}


def test_a_file_is_named_by_its_offsets_and_lies_under_its_utc_day(tmp_path: Path) -> None:
    late = timedelta(hours=23, minutes=59)
    day = T0.replace(hour=0, minute=0, second=0, microsecond=0)
    store(tmp_path, [a_part("t-1", window_start=day + late), a_part("t-2", window_start=day)])
    name = f"trajectories-00000-{0:020d}-{1:020d}.parquet"
    assert [f.name for f in (tmp_path / "trajectories/window_date=2026-03-01").iterdir()] == [name]


def test_a_trajectory_sent_again_whole_days_later_does_not_appear_twice(tmp_path: Path) -> None:
    parts = [a_part("t-1", 0, last=False), a_part("t-1", 1), an_entry("r-1")]
    store(tmp_path, parts)
    sink, refused = store(tmp_path, parts, first=1000)
    assert identities(tmp_path)["trajectories"] == [("t-1", 0), ("t-1", 1)]
    assert identities(tmp_path)["rewards"] == [("r-1",)]
    assert (sink.counts["duplicates"], refused) == (3, [])
    assert ParquetSink(settings(tmp_path)).claim([PARTS]) == {PARTS: 1003}


def test_what_conflicts_with_stored_rows_is_refused_before_the_batch_is_stored(
    tmp_path: Path,
) -> None:
    store(tmp_path, [a_part("t-1"), an_entry("r-1", value=1.0)])
    seen: list[dict[str, Any]] = []
    sink = ParquetSink(settings(tmp_path))
    sink.claim([PARTS])
    other = a_part("t-1", content_hash=content_hash("other"))
    sink.add(log_of([other, a_part("t-1", 1), an_entry("r-1", value=2.0), a_part("t-3")], first=2))

    def refuse(refused: Sequence[Quarantined]) -> None:
        seen.append({"refused": refused, "stored": identities(tmp_path)["trajectories"]})

    sink.flush(refuse)
    (call,) = seen
    assert [(r.offset, r.reason, r.stage) for r in call["refused"]] == [
        (offset, "conflict", "sink parquet") for offset in (2, 3, 4)
    ]
    assert call["refused"][0].value == value_of(other)
    assert call["stored"] == [("t-1", 0)]
    assert identities(tmp_path)["trajectories"] == [("t-1", 0), ("t-3", 0)]
    assert [row["value"] for row in stored(tmp_path, "rewards")] == [1.0]


def test_when_refusing_fails_nothing_of_the_batch_is_stored(tmp_path: Path) -> None:
    sink = ParquetSink(settings(tmp_path))
    sink.claim([PARTS])
    sink.add([*log_of([a_part("t-1")]), a_record(1, b"not JSON")])

    def refuse(_: Sequence[Quarantined]) -> None:
        raise QuarantineError

    with pytest.raises(QuarantineError):
        sink.flush(refuse)
    assert identities(tmp_path)["trajectories"] == []
    _, refused = store(tmp_path, [a_part("t-1")])
    assert refused == []


def test_a_record_whose_content_fits_no_column_is_refused_and_the_others_are_stored(
    tmp_path: Path,
) -> None:
    bad = value_of(a_part("t-2")).replace(b'"price up"', b'"price \xff"')
    huge = value_of(a_part("t-3")).replace(b'"to_seq":5', b'"to_seq":5' + b"0" * 30)
    sink, refused = ParquetSink(settings(tmp_path)), Refused()
    sink.claim([PARTS])
    rows = [a_part("t-1"), a_part("t-1"), a_part("t-4")]
    sink.add([*log_of(rows), a_record(3, bad), a_record(4, huge)])
    assert sink.flush(refused) == {PARTS: 5}
    assert [record.offset for record in refused] == [3, 4]
    assert {record.reason for record in refused} <= {"invalid", "invalid_utf8"}
    assert identities(tmp_path)["trajectories"] == [("t-1", 0), ("t-4", 0)]
    assert sink.counts["duplicates"] == 1


def test_a_flush_of_records_that_need_no_row_still_moves_the_offset_on(tmp_path: Path) -> None:
    store(tmp_path, [a_part("t-1")])
    store(tmp_path, [a_part("t-1")], first=1)
    assert len(list((tmp_path / "trajectories").rglob("*.parquet"))) == 1
    assert ParquetSink(settings(tmp_path)).claim([PARTS]) == {PARTS: 2}


def test_records_below_the_claimed_offset_are_passed_over(tmp_path: Path) -> None:
    store(tmp_path, [a_part("t-1")], first=9)
    sink = ParquetSink(settings(tmp_path))
    assert sink.claim([PARTS]) == {PARTS: 10}
    sink.add(log_of([a_part("t-2")], first=9))
    assert sink.flush(refuse_nothing) == {}


def test_released_partitions_are_forgotten_unwritten(tmp_path: Path) -> None:
    sink = ParquetSink(settings(tmp_path))
    sink.claim([PARTS, REFUSED])
    sink.add([*log_of([a_part("t-1")]), refused_record(0, a_refused())])
    sink.release([PARTS])
    assert sink.flush(refuse_nothing) == {REFUSED: 1}
    assert identities(tmp_path)["trajectories"] == []
    assert sink.claim([PARTS]) == {PARTS: 0}
    sink.close()
    assert list((tmp_path / "_ropewalk" / "staging").glob("*/*/*")) == []


@pytest.mark.parametrize(
    ("limits", "due_after"),
    [
        ({"parquet_file_rows": 3}, 3),
        ({"parquet_file_bytes": 2 * len(value_of(a_part("t-0"))) + 1}, 3),
        ({"parquet_file_rows": 100}, None),
    ],
)
def test_a_flush_is_due_by_rows_or_bytes(
    tmp_path: Path, limits: dict[str, int], due_after: int | None
) -> None:
    sink = ParquetSink(settings(tmp_path, **limits))
    sink.claim([PARTS])
    due = []
    for record in log_of([a_part(f"t-{n}") for n in range(3)]):
        assert not sink.due(0.0)
        sink.add([record])
        due.append(sink.due(0.0))
    assert due == [n == due_after for n in (1, 2, 3)]


def test_a_flush_is_due_by_the_age_of_the_oldest_record(tmp_path: Path) -> None:
    sink = ParquetSink(settings(tmp_path, parquet_file_age_s=10))
    sink.claim([PARTS])
    assert not sink.due(1000.0)
    sink.add(log_of([a_part("t-1")]))
    assert not sink.due(1001.0)
    sink.add(log_of([a_part("t-2")], first=1))
    assert not sink.due(1010.9)
    assert sink.due(1011.0)
    sink.flush(refuse_nothing)
    assert not sink.due(5000.0)


def test_a_commit_says_what_it_holds_and_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    for n in range(12):
        store(tmp_path, [a_part(f"t-{n}"), an_entry(f"r-{n}")], first=2 * n)
    layout = Layout(tmp_path)
    commits = [read_commit(path) for path in commit_files(layout, PARTS)]
    assert [(c.from_offset, c.next_offset) for c in commits] == [
        (2 * n, 2 * n + 2) for n in range(12)
    ]
    for commit in commits:
        assert (commit.sink, commit.topic, commit.partition) == ("parquet", "trajectories", 0)
        assert [file.rows for file in commit.files] == [1, 1]
        assert all((tmp_path / file.path).stat().st_size == file.bytes for file in commit.files)


def test_a_claim_names_the_committed_file_that_is_missing(tmp_path: Path) -> None:
    store(tmp_path, [a_part("t-1")])
    (file,) = (tmp_path / "trajectories").rglob("*.parquet")
    file.unlink()
    with pytest.raises(StorageError, match=f"{file.name} is missing .offsets 0 to 0"):
        ParquetSink(settings(tmp_path)).claim([PARTS])


def test_a_claim_names_the_commit_at_which_the_chain_is_broken(tmp_path: Path) -> None:
    for n in range(3):
        store(tmp_path, [a_part(f"t-{n}")], first=n)
    commits = commit_files(Layout(tmp_path), PARTS)
    commits[1].unlink()
    with pytest.raises(StorageError, match=rf"broken at .*{commits[2].name}.*ends at offset 1"):
        ParquetSink(settings(tmp_path)).claim([PARTS])


def test_a_claim_reads_no_more_commits_when_the_chain_grows(tmp_path: Path) -> None:
    for n in range(30):
        store(tmp_path, [a_part(f"t-{n}")], first=n)
    for path in commit_files(Layout(tmp_path), PARTS)[:-8]:
        path.write_text("unreadable, and not read")
    assert ParquetSink(settings(tmp_path)).claim([PARTS]) == {PARTS: 30}


def test_a_large_flush_becomes_one_file_of_several_row_groups(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    noise = raw("x" * 9_000_000)
    rows = [
        a_part(f"t-{n}", metadata=raw({"noise": "y"}), steps=[a_step(state=noise)])
        for n in range(5)
    ]
    store(tmp_path, rows)
    (file,) = (tmp_path / "trajectories").rglob("*.parquet")
    with pq.ParquetFile(file) as parquet:
        assert [parquet.metadata.row_group(n).num_rows for n in range(2)] == [3, 2]
        metadata = parquet.metadata.metadata
    assert metadata[b"ropewalk.first_offset"] == b"0"
    assert metadata[b"ropewalk.last_offset"] == b"4"
    assert metadata[b"ropewalk.topic"] == b"trajectories"


def test_partitions_and_topics_with_dashes_keep_apart(tmp_path: Path) -> None:
    ats = [TopicPartition("trajectories-v2-0", n) for n in range(2)]
    names = {"trajectories": "trajectories-v2-0"}
    sink = ParquetSink(settings(tmp_path, topics=names))
    sink.claim(ats)
    for at in ats:
        sink.add(log_of([a_part(f"t-{at.partition}")], at=at))
    sink.flush(refuse_nothing)
    again = ParquetSink(settings(tmp_path, topics=names))
    assert again.claim(ats) == dict.fromkeys(ats, 1)
    again.add(log_of([a_part("t-1")], at=ats[1], first=1))
    again.flush(refuse_nothing)
    assert again.counts["duplicates"] == 1
