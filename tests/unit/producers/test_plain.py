import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk_producers.errors import UnrecordableError
from ropewalk_producers.plain import plain
from ropewalk_schemas.events import Policy
from ropewalk_schemas.prechecks import MAX_DEPTH


class Side(Enum):
    YES = "yes"


class Level(IntEnum):
    ONE = 1


class Word(str):
    __slots__ = ()


@dataclass
class Order:
    size: float
    side: Side


ID = UUID("01a206dd-fa26-754e-ab84-0241c883ccfa")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, "a", None, True, 1.5), [1, "a", None, True, 1.5]),
        ({1: "a", Side.YES: Level.ONE}, {"1": "a", "yes": 1}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (Order(2.0, Side.YES), {"size": 2.0, "side": "yes"}),
        (Policy(model="m"), {"model": "m", "version": None}),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (ID, str(ID)),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
    ],
)
def test_what_has_a_json_form_is_taken(value: Any, expected: Any) -> None:
    given = plain(value)
    assert given == expected
    assert type(given) is type(expected)


def test_a_text_of_another_class_becomes_a_text() -> None:
    assert type(plain(Word("x"))) is str


@pytest.mark.parametrize("value", [math.nan, math.inf, [{"a": -math.inf}], np.float64("nan")])
def test_numbers_that_are_not_finite_are_refused(value: Any) -> None:
    with pytest.raises(UnrecordableError, match="is not a JSON number"):
        plain(value)


def test_keys_that_collide_as_text_are_refused() -> None:
    with pytest.raises(UnrecordableError, match="same as text"):
        plain({1: "a", "1": "b"})


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_has_a_bound() -> None:
    assert plain(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(UnrecordableError, match="deep"):
        plain(nested(MAX_DEPTH + 2))


floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_json_is_copied_exactly(value: Any) -> None:
    copy = plain(value)
    assert repr(copy) == repr(value)
    assert copy is not value or not isinstance(value, list | dict)
