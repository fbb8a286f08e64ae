"""The failures a person meets as one clear line."""

from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.simulation.options import SimulationError
from ropewalk_deploy.stack.errors import StackError
from ropewalk_producers.errors import RopewalkProducerError
from ropewalk_producers.importers.logged import LogError
from ropewalk_schemas.errors import RopewalkSchemaError
from ropewalk_sinks.errors import SinkError
from ropewalk_stream_processors.errors import WorkerError

KNOWN_ERRORS: tuple[type[Exception], ...] = (
    CommandError,
    LogError,
    RopewalkProducerError,
    RopewalkSchemaError,
    SimulationError,
    SinkError,
    StackError,
    WorkerError,
)
