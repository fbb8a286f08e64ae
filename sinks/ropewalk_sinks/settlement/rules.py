"""What a claim is worth once its outcome is known: named, versioned rules. Pure.

A rule never guesses. A side it does not know, or a price that is missing, makes the claim
unsettleable, with a reason; it is never a wrong bet. Texts are read in any letter case.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

Known = TypeVar("Known")
Values = Mapping[str, Any]

_BOUGHT, _SOLD = ("buy", "bought"), ("sell", "sold")
_DIRECTIONS = dict.fromkeys(_BOUGHT, 1.0) | dict.fromkeys(_SOLD, -1.0)
_POSITIONS = {"long": 1.0, "short": -1.0}
_ANSWERS = {"yes": True, "no": False, "true": True, "false": False}
FULL_MOVE_PERCENT = 10.0
"""The price move that earns a whole point."""


class UnsettleableError(Exception):
    """A claim cannot be settled by this outcome; the message is the reason, for a person."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A way to settle. What gives other values is another version.

    Attributes:
        worth: From a claim's terms and an outcome's values to the reward; raises
            `UnsettleableError` where these do not say it.
    """

    name: str
    version: str
    worth: Callable[[Values, Values], float]

    @property
    def id(self) -> str:
        """Name and version, as ledger entries refer to it."""
        return f"{self.name}@{self.version}"

    def settle(self, terms: Values, values: Values) -> float:
        """The reward.

        Raises:
            UnsettleableError: Also when the rule itself fails, or gives no finite number.
        """
        try:
            worth = self.worth(terms, values)
        except UnsettleableError:
            raise
        except Exception as error:  # a rule may be another service's code
            reason = f"rule {self.id} failed: {type(error).__name__}: {error}"[:500]
            raise UnsettleableError(reason) from error
        if isinstance(worth, bool) or not isinstance(worth, int | float) or not isfinite(worth):
            reason = f"rule {self.id} gave {worth!r}, which is no finite number"[:500]
            raise UnsettleableError(reason)
        return float(worth)


def prediction_market(terms: Values, values: Values) -> float:
    """1 for a right bet, -1 for a wrong one; who sold an answer has bet against it."""
    bet = _chosen(terms, "side", _ANSWERS, of="the claim")
    resolved = _chosen(values, "resolved", _ANSWERS, of="the outcome")
    return _direction(terms) * (1.0 if bet == resolved else -1.0)


def prediction_market_by_size(terms: Values, values: Values) -> float:
    """As `prediction_market`, times the size of the bet."""
    return prediction_market(terms, values) * _number(terms, "size", of="the claim", above=0)


def price_move(terms: Values, values: Values) -> float:
    """The relative move from the claim's price to the outcome's, long or short, in [-1, 1].

    A move of `FULL_MOVE_PERCENT` is a whole point. A claim without a price is measured from the
    outcome's `start_price`.
    """
    sign = _chosen(terms, "side", _POSITIONS, of="the claim") * _direction(terms)
    if "price" in terms:
        start = _number(terms, "price", of="the claim", above=0)
    else:
        start = _number(values, "start_price", of="the outcome", above=0)
    end = _number(values, "price", of="the outcome")
    percent = (end - start) / start * 100
    return sign * max(-1.0, min(1.0, percent / FULL_MOVE_PERCENT))


def perpetual_position(terms: Values, values: Values) -> float:
    """The profit of a position from the claim's price to the outcome's, in the price's currency."""
    sign = _chosen(terms, "side", _POSITIONS, of="the claim") * _direction(terms)
    size = _number(terms, "size", of="the claim", above=0)
    entry = _number(terms, "price", of="the claim", above=0)
    return sign * size * (_number(values, "price", of="the outcome") - entry)


SHIPPED = (
    Rule("prediction_market", "1", prediction_market),
    Rule("prediction_market_by_size", "1", prediction_market_by_size),
    Rule("price_move", "1", price_move),
    Rule("perpetual_position", "1", perpetual_position),
)


def _direction(terms: Values) -> float:
    """1 for bought, -1 for sold; a claim that names no direction is one that was bought."""
    return _chosen({"direction": "buy"} | dict(terms), "direction", _DIRECTIONS, of="the claim")


def _chosen(given: Values, name: str, known: Mapping[str, Known], *, of: str) -> Known:
    value = given.get(name)
    text = str(value).lower() if isinstance(value, str | bool) else None
    if text is None or text not in known:
        what = f"is {value!r}" if name in given else "is missing"
        reason = f"{name} of {of} {what}; known are {', '.join(known)}"[:500]
        raise UnsettleableError(reason)
    return known[text]


def _number(given: Values, name: str, *, of: str, above: float | None = None) -> float:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        what = f"is {value!r}, not a number" if name in given else "is missing"
        reason = f"{name} of {of} {what}"[:500]
        raise UnsettleableError(reason)
    if above is not None and value <= above:
        reason = f"{name} of {of} is {value}, not above {above:g}"
        raise UnsettleableError(reason)
    return float(value)
