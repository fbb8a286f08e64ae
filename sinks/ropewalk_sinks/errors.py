"""Everything the sinks raise; each ends the process with one line a person can act on.

SinkError
├── ConfigError            a setting is missing or wrong
├── UnreachableError       the broker or the database does not answer
├── MissingTopicError      a topic is not on the broker
├── MigrationError         the database has not the tables this code writes
├── DeletedRecordsError    the log no longer holds what is to be stored next
├── FencedError            another process took a partition over
├── GenerationError        a generation of output cannot be made, switched or removed
├── QuarantineError        refused records could not be made durable
└── StorageError           the database or the disk refuses what no single record explains
"""


class SinkError(Exception):
    """Root of this package's errors; the message says what happened and what to do next."""


class ConfigError(SinkError):
    """A setting is missing or wrong; the message names it."""


class UnreachableError(SinkError):
    """The broker or the database does not answer. Trying again later may help."""


class MissingTopicError(SinkError):
    """A topic the sink reads or writes is not on the broker."""


class MigrationError(SinkError):
    """The database lacks a migration, or holds one that was changed since."""


class DeletedRecordsError(SinkError):
    """The next record to store is not in the log: deleted by retention, or it is another log."""


class FencedError(SinkError):
    """Another process took a partition over; nothing of the batch was written."""


class GenerationError(SinkError):
    """A generation of output cannot be made, switched to or removed."""


class QuarantineError(SinkError):
    """Refused records could not be written to quarantine, so their batch was not stored."""


class StorageError(SinkError):
    """The database or the disk refuses to store, and no single record explains it."""
