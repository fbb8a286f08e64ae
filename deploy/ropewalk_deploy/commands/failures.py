"""The failures a person meets as one clear line."""

from ropewalk_deploy.errors import CommandError
from ropewalk_deploy.simulation.options import SimulationError
from ropewalk_deploy.stack.errors import StackError
from ropewalk_producers.errors import RopewalkProducerError
from ropewalk_producers.importers.logged import LogError
from ropewalk_schemas.errors import KafkaSecurityError, RopewalkSchemaError
from ropewalk_sinks.errors import (
    ConfigError,
    DeletedRecordsError,
    MigrationError,
    MissingTopicError,
    SinkError,
)
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

# Statuses that tell a supervisor not to try again (`restarts.HOPELESS`).
SETTING, LOST = 2, 3
_STATUS: dict[type[Exception], int] = {
    ConfigError: SETTING,
    KafkaSecurityError: SETTING,
    MigrationError: SETTING,
    MissingTopicError: SETTING,
    DeletedRecordsError: LOST,
}


def exit_status(error: Exception) -> int:
    """The exit status of a process that ends with a known error."""
    own = _STATUS.get(type(error), 1)
    return int(getattr(error, "exit_status", own))
