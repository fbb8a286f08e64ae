"""Field types shared by all contracts: what an id, a name, an instant and free-form JSON may be."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

SCHEMA_VERSION = "1.0"
MAX_INT = 2**53 - 1  # larger integers are not safe in JSON readers
# Outside of these, a window's begin or another zone's view may be no datetime at all.
MIN_YEAR, MAX_YEAR = 1900, 9998

_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:?[0-5]\d)", re.ASCII
)


def parse_instant(value: object) -> datetime:
    """An aware datetime from RFC 3339 text (a finer fraction is rounded to microseconds).

    Raises:
        ValueError: If the text is not RFC 3339, names no zone or is centuries away.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            msg = "must name its zone (an aware datetime)"
            raise ValueError(msg)
        return check_year(value)
    found = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        msg = "must be RFC 3339 text with a zone, such as 2026-01-31T12:00:00.000000Z"
        raise ValueError(msg)
    day, time, fraction, zone = found.groups()
    at = datetime.fromisoformat(f"{day}T{time}{'+00:00' if zone in 'Zz' else zone}")
    # Half a microsecond rounds up, as the hot decoder does.
    micros = (int((fraction or "0").ljust(7, "0")[:7]) + 5) // 10
    return check_year(check_year(at) + timedelta(microseconds=micros))


def check_year(at: datetime) -> datetime:
    """The same instant.

    Raises:
        ValueError: If its year, as written, is not one we can reckon with.
    """
    if not MIN_YEAR <= at.year <= MAX_YEAR:
        msg = f"must lie in the years {MIN_YEAR} to {MAX_YEAR}"
        raise ValueError(msg)
    return at


def format_instant(value: datetime) -> str:
    """RFC 3339 text in UTC with microseconds and Z."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Id = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=10_000_000)]
Count = Annotated[int, Field(ge=0, le=MAX_INT)]
Position = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenId = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Json = Any
JsonObject = dict[str, Any]


class Contract(BaseModel):
    """Base of everything that travels: frozen, strict, and keeping what a newer version adds."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="allow", allow_inf_nan=False, ser_json_inf_nan="null"
    )
