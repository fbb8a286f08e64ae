"""Everything this package raises.

RopewalkProducerError
├── SettingsError        a setting of the recorder is wrong; the only one a service can meet
├── UnrecordableError    internal: an event cannot be recorded as it was given; counted as rejected
└── UnsendableError      internal: no event can be sent now, whatever it holds; counted as rejected
    └── QueueFullError   internal: the bounded queue has no room; counted as dropped_full
        └── RefusedError internal: its trajectory was refused when it began; counted as dropped_full

The internal ones never leave the recorder: it never raises into the agent.
"""

from collections.abc import Callable


class RopewalkProducerError(Exception):
    """Root of this package's errors."""


class SettingsError(RopewalkProducerError, ValueError):
    """A setting is wrong; the message names it, what it was, and what it must be."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting} {problem}")
        self.setting = setting
        self.problem = problem


class UnrecordableError(RopewalkProducerError):
    """An event cannot be recorded; the message is the cause."""


class UnsendableError(RopewalkProducerError):
    """Nothing can be sent now; the message is the cause."""


class QueueFullError(UnsendableError):
    """The publisher's queue has no room for another event."""


class RefusedError(QueueFullError):
    """There is no room for new trajectories; the message says why."""


MAX_ERROR_CHARS = 2000


def described(error: BaseException, redacted: Callable[[str], str]) -> str:
    """An exception as text that any event can carry: bounded, no NUL, no half surrogates.

    It is redacted while it is whole: of a secret that is cut, no pattern knows the rest.
    """
    try:
        text = repr(error)
    except Exception:  # the exception's own code failed; its kind is still worth keeping
        text = f"{type(error).__name__} (its repr failed)"
    return redacted(text)[:MAX_ERROR_CHARS].encode(errors="replace").decode().replace("\0", "\\0")
