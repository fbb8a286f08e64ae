"""Everything this package raises.

RopewalkSchemaError
├── DecodeError      a value is not an event (or record) we can accept; `reason` names the case
├── ContractError    a contract itself is used wrongly (a wrong window length, an unknown topic)
├── SpecError        a reward specification cannot be used
└── KafkaSecurityError   a setting of TLS or SASL is wrong, missing or without effect
"""

from pydantic import ValidationError

from ropewalk_schemas.reasons import Reason


class RopewalkSchemaError(Exception):
    """Root of this package's errors."""


class ContractError(RopewalkSchemaError, ValueError):
    """A contract is used wrongly; the message says which rule and what was given."""


class SpecError(RopewalkSchemaError):
    """A reward specification cannot be used; the message names its file or id, and the field."""


class KafkaSecurityError(RopewalkSchemaError):
    """A setting of TLS or SASL cannot be used; `setting` is its environment variable."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting} {problem}")
        self.setting = setting
        self.problem = problem


class DecodeError(RopewalkSchemaError):
    """A value cannot be accepted.

    Attributes:
        reason: The quarantine reason.
        detail: One sentence for a person: what was found, and where in the value.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


def invalid(error: ValidationError) -> DecodeError:
    """What a model found wrong first, and where, as the quarantine says it."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return DecodeError("invalid", f"{first['msg']} - at {place}")
