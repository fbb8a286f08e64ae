"""Everything the worker raises.

WorkerError
├── SettingError       a setting is missing or wrong
├── TopicError         a topic is missing or has settings the promise cannot hold with
├── LostEventsError    the log no longer reaches back to what must be replayed
├── LostChunksError    chunks that the newest account names are gone
├── PublishError       an output could not be made durable
└── EngineError        the engine failed on a record; the worker must not go on
"""


class WorkerError(Exception):
    """Root; the message says what happened and what to do. `exit_status` is the process's."""

    exit_status = 1


class SettingError(WorkerError):
    """A setting is missing or wrong."""

    exit_status = 2


class TopicError(WorkerError):
    """A topic is missing or has settings the promise cannot hold with."""

    exit_status = 2


class LostEventsError(WorkerError):
    """The log no longer reaches back to what must be replayed."""

    exit_status = 3


class LostChunksError(WorkerError):
    """Chunks that the newest account names are gone."""

    exit_status = 3


class PublishError(WorkerError):
    """An output could not be made durable; nothing after it may be accounted for."""


class EngineError(WorkerError):
    """The engine failed on a record."""

    exit_status = 70
