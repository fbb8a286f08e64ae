"""Why a record is refused: the one place a quarantine reason is spelled."""

from typing import Literal, get_args

Reason = Literal[
    "empty",
    "not_json",
    "invalid_utf8",
    "nul",
    "not_finite",
    "too_deep",
    "unknown_type",
    "unknown_version",
    "invalid",
    "too_large",
    "no_key",
    "key_mismatch",
    "wrong_partition",
    "in_the_future",
    "seq_conflict",
    "headless",
    "poison",
    "conflict",
]

MEANING: dict[Reason, str] = {
    "empty": "the record has no value",
    "not_json": "the value is not a JSON object",
    "invalid_utf8": "the value is not valid UTF-8",
    "nul": "a text holds a NUL character, which databases cannot store",
    "not_finite": "a number is NaN, infinite or too large for a 64-bit float",
    "too_deep": "objects and lists are nested more than 64 deep",
    "unknown_type": "no event has this type",
    "unknown_version": "the schema's major version is not one this code reads",
    "invalid": "a field is missing, has the wrong type or is out of bounds",
    "too_large": "the value is larger than the engine takes",
    "no_key": "the record has no key, so it belongs to no trajectory",
    "key_mismatch": "the record's key is not the trajectory_id inside its value",
    "wrong_partition": "murmur2(key) names another partition",
    "in_the_future": "the event says it happened far ahead of the broker's time",
    "seq_conflict": "another event already has this writer and seq",
    "headless": "its trajectory was closed without a trajectory_started, or was already final",
    "poison": "the engine failed on it three times in the same way",
    "conflict": "a sink already holds another content for this identity, or the chain does not fit",
}

if set(MEANING) != set(get_args(Reason)):  # pragma: no cover - holds by construction
    msg = "every quarantine reason needs a meaning"
    raise AssertionError(msg)
