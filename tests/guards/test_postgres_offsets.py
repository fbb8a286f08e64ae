"""An offset that is not what a sink thinks: nothing of its batch may be written."""

from contextlib import closing

import pytest
from tests.support.published import a_part, value_of
from tests.support.sink_lab import count, fresh_database, rows

from ropewalk_deploy.stack.model import Stack
from ropewalk_sinks.config import PostgresSettings
from ropewalk_sinks.errors import FencedError
from ropewalk_sinks.postgres import PostgresSink
from ropewalk_sinks.sink import SourceRecord, TopicPartition

AT = TopicPartition("trajectories", 0)


@pytest.mark.integration
def test_an_offset_that_was_moved_under_a_sink_fences_it(stack: Stack, unique: str) -> None:
    dsn = fresh_database(stack, unique)
    settings = PostgresSettings.load(bootstrap_servers="none:1", postgres_dsn=dsn)
    with closing(PostgresSink(settings)) as sink:
        sink.claim([AT])
        sink.add([SourceRecord(AT, 0, 1_772_000_000_000, b"k", value_of(a_part()), [])])
        # As when a person sets it, or a backup is restored, and no process claimed it anew.
        rows(dsn, "UPDATE sink_offsets SET next_offset = 7 RETURNING 1")
        with pytest.raises(FencedError, match="nothing of this batch was written"):
            sink.flush(lambda _: None)
    assert rows(dsn, "SELECT next_offset FROM sink_offsets") == [(7,)]
    assert count(dsn, "parts") == 0
