"""The `trajectories` topic: how its two kinds of record are built, written and read.

The structs here are derived from the models in `trajectory` and have the same attributes, but
carry free-form JSON as raw bytes (`msgspec.Raw`): it was checked when the event arrived and is
passed on without being parsed again. `raw_json` gives such a field's text.
"""

from typing import Any, Union, cast

import msgspec

from ropewalk_schemas import trajectory as models
from ropewalk_schemas.derive import Derivation
from ropewalk_schemas.encoding import to_json
from ropewalk_schemas.errors import DecodeError
from ropewalk_schemas.messages import Message

_PASSED_ON = Derivation(free_form=msgspec.Raw, strict=False)

# Constructors with the models' fields as keyword arguments. They check nothing: the engine's
# tests hold that what it builds satisfies the models.
TrajectoryRow: Any = _PASSED_ON.struct(models.Trajectory)
LedgerEntryRow: Any = _PASSED_ON.struct(models.LedgerEntry)
StepRow: Any = _PASSED_ON.struct(models.Step)
CallRow: Any = _PASSED_ON.struct(models.Call)
ComponentRow: Any = _PASSED_ON.struct(models.Component)
SequenceRow: Any = _PASSED_ON.struct(models.TokenSequence)
WriterSpanRow: Any = _PASSED_ON.struct(models.WriterSpan)
MessageRow: Any = _PASSED_ON.struct(Message)

_decode = msgspec.json.Decoder(Union[TrajectoryRow, LedgerEntryRow]).decode  # noqa: UP007
# What a record of `trajectories` says of itself in its KIND_HEADER.
TRAJECTORY_KIND = b"trajectory"
REWARD_KIND = b"reward"


def decode_published(value: bytes) -> models.Trajectory | models.LedgerEntry:
    """A record of the `trajectories` topic.

    Tell the two apart with `isinstance(row, LedgerEntryRow)`.

    Raises:
        DecodeError: If it is neither.
    """
    try:
        return cast("models.Trajectory | models.LedgerEntry", _decode(value))
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        raise DecodeError("invalid", str(error)) from error


def encode_published(row: object) -> bytes:
    """The JSON of a `TrajectoryRow` or `LedgerEntryRow`."""
    return to_json(row)


def changed(row: models.Trajectory, **changes: object) -> models.Trajectory:
    """A `TrajectoryRow` with some fields replaced."""
    return cast("models.Trajectory", msgspec.structs.replace(cast("Any", row), **changes))


def raw_json(value: Any) -> str | None:
    """The JSON text of a free-form field; None when it is not there or null."""
    if value is None:
        return None
    text = bytes(value).decode() if isinstance(value, msgspec.Raw) else to_json(value).decode()
    return None if text == "null" else text
