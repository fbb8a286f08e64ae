"""A refused record: its value travels unchanged, everything about it in headers.

The Kafka record's key and value are those of the refused record, byte for byte, so that nothing is
lost to an encoding and a replay sends exactly what came.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from ropewalk_schemas.encoding import parse_json, to_json
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.reasons import Reason

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One refused record; identity (topic, partition, offset).

    Attributes:
        detail: One sentence for a person.
        stage: What refused it: ``assembler``, ``sink postgres`` or ``sink parquet``.
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
        original = [[k, None if v is None else b64encode(v).decode()] for k, v in self.headers]
        account = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "reason": self.reason,
            "detail": self.detail,
            "stage": self.stage,
            "quarantined_by": self.quarantined_by,
            "trajectory_id": self.trajectory_id,
            "broker_ms": self.broker_ms,
            "quarantined_ms": self.quarantined_ms,
            "headers": original,
        }
        return [("ropewalk", b"quarantined"), ("account", to_json(account))]


def from_record(key: bytes | None, value: bytes | None, headers: Headers) -> Quarantined:
    """The refused record a quarantine record holds.

    Raises:
        DecodeError: If the headers are not what `Quarantined.to_headers` writes.
    """
    account = parse_json(dict(headers).get("account") or b"")
    if not isinstance(account, dict) or account.get("reason") not in get_args(Reason):
        detail = "the record has no `account` header, so it was not written by Ropewalk"
        raise DecodeError("invalid", detail)
    original = account.pop("headers")
    decoded = [(k, None if v is None else b64decode(v)) for k, v in original]
    return Quarantined(key=key, value=value, headers=decoded, **account)
