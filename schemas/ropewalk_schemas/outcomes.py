"""What became known later about something agents bet on: a market, a match."""

from typing import Literal

from pydantic import ValidationError

from ropewalk_schemas.errors import invalid
from ropewalk_schemas.fields import SCHEMA_VERSION, Contract, Instant, JsonObject, Name, Position
from ropewalk_schemas.prechecks import check_nul_and_depth


class Outcome(Contract):
    """One version of an outcome; a higher version corrects the lower ones.

    `values` are what a settlement rule reads, such as ``{"resolved": "yes", "price": 1.0}``.
    """

    type: Literal["outcome"] = "outcome"
    schema_version: str = SCHEMA_VERSION
    outcome_key: Name
    version: Position
    occurred_at: Instant
    values: JsonObject = {}


def decode_outcome(value: bytes) -> Outcome:
    """A record of the `outcomes` topic.

    Raises:
        DecodeError: With the quarantine reason and a sentence for a person.
    """
    check_nul_and_depth(value)
    try:
        return Outcome.model_validate_json(value)
    except ValidationError as error:
        raise invalid(error) from error
