from tests.support.published import a_part, an_entry, value_of

from ropewalk_sinks.admission import Admission
from ropewalk_sinks.config import Topics
from ropewalk_sinks.decided import Decided, decide
from ropewalk_sinks.incoming import read_record
from ropewalk_sinks.sink import SourceRecord, TopicPartition

AT = TopicPartition("trajectories", 1)


def decided(*values: bytes) -> Decided:
    records = [SourceRecord(AT, i, 1_000 + i, b"k", value, []) for i, value in enumerate(values)]
    batch = [read_record(record, Topics()) for record in records]
    return decide(batch, Admission({}, {}), sink="postgres")


def test_each_record_of_a_batch_has_one_fate() -> None:
    found = decided(
        value_of(a_part()),
        value_of(a_part()),
        value_of(a_part(content_hash="other")),
        value_of(an_entry()),
        value_of(an_entry()),
        value_of(an_entry(value=9.0)),
        b"junk",
    )
    assert (len(found.parts), len(found.entries)) == (1, 1)
    assert (found.duplicates, found.conflicts) == (2, 2)
    assert [(r.offset, r.reason) for r in found.refused] == [
        (2, "conflict"),
        (5, "conflict"),
        (6, "invalid"),
    ]


def test_a_refused_record_keeps_its_bytes_and_says_who_refused_it_and_when() -> None:
    [refused] = decided(b"junk").refused
    assert (refused.topic, refused.partition, refused.offset) == ("trajectories", 1, 0)
    assert (refused.key, refused.value) == (b"k", b"junk")
    assert (refused.stage, refused.quarantined_by) == ("sink postgres", "postgres")
    assert refused.broker_ms == refused.quarantined_ms == 1_000


def test_a_conflict_names_its_trajectory() -> None:
    found = decided(value_of(a_part("t-9", 3)))
    assert found.refused[0].trajectory_id == "t-9"
