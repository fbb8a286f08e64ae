"""The pure core as the other contenders use it: one engine per partition, from the log's begin."""

from benchmarks.contenders import N_PARTITIONS
from ropewalk_schemas.limits import Settings
from ropewalk_schemas.topics import AGENT_EVENTS
from ropewalk_stream_processors.trajectory.account import restore
from ropewalk_stream_processors.trajectory.engine import Engine
from ropewalk_stream_processors.trajectory.outputs import Place


def new_engine(partition: int) -> Engine:
    """An engine as the worker makes it for a partition nobody accounted for."""
    place = Place(AGENT_EVENTS.name, partition, "1")
    return restore(None, place, n_partitions=N_PARTITIONS, initial=Settings())
