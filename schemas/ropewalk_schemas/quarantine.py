"""A refused record: its value travels unchanged, everything about it in headers.

The Kafka record's key and value are those of the refused record, byte for byte, so that nothing is
lost to an encoding and a replay sends exactly what came.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.fields import Contract
from ropewalk_schemas.reasons import Reason

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One refused record; identity (topic, partition, offset).

    Attributes:
        detail: One sentence for a person.
        stage: What refused it: ``assembler``, ``sink postgres``, ``sink parquet`` or ``judge``.
        quarantined_by: Which code: engine version or sink name.
        broker_ms: The refused record's own broker time, ms since the epoch.
        quarantined_ms: Broker time when it was refused, ms since the epoch.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: Reason
    detail: str
    stage: str
    quarantined_by: str
    trajectory_id: str | None
    broker_ms: int
    quarantined_ms: int

    def to_headers(self) -> list[tuple[str, bytes]]:
        """Everything but key and value, as headers of the quarantine record."""
        told = {name: getattr(self, name) for name in _TOLD}
        original = [(k, None if v is None else b64encode(v).decode()) for k, v in self.headers]
        return [("ropewalk", b"quarantined"), ("account", to_json(told | {"headers": original}))]


class QuarantineAccount(Contract):
    """The `account` header of a quarantine record; original header values are base64."""

    topic: str
    partition: int
    offset: int
    reason: Reason
    detail: str
    stage: str
    quarantined_by: str
    trajectory_id: str | None = None
    broker_ms: int
    quarantined_ms: int
    headers: list[tuple[str, str | None]]


_TOLD = [name for name in QuarantineAccount.model_fields if name != "headers"]


def from_record(key: bytes | None, value: bytes | None, headers: Headers) -> Quarantined:
    """The refused record a quarantine record holds.

    Raises:
        DecodeError: If the headers are not what `Quarantined.to_headers` writes.
    """
    try:
        account = QuarantineAccount.model_validate_json(dict(headers).get("account") or b"")
        original = [
            (k, None if v is None else b64decode(v, validate=True)) for k, v in account.headers
        ]
    except ValueError as error:
        detail = f"the record's `account` header is not one Ropewalk writes: {error}"
        raise DecodeError("invalid", detail) from error
    told = {name: getattr(account, name) for name in _TOLD}
    return Quarantined(key=key, value=value, headers=original, **told)
