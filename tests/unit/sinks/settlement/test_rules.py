"""Each rule by a table, with the defects of the system that Ropewalk replaces."""

from typing import Any

import pytest

from ropewalk_sinks.settlement.rules import SHIPPED, Rule, UnsettleableError

RULES = {rule.name: rule for rule in SHIPPED}


def settle(name: str, terms: dict[str, Any], values: dict[str, Any]) -> float:
    return RULES[name].settle(terms, values)


@pytest.mark.parametrize(
    ("direction", "side", "resolved", "worth"),
    [
        ("buy", "yes", "yes", 1.0),
        ("buy", "yes", "no", -1.0),
        ("buy", "no", "no", 1.0),
        ("buy", "no", "yes", -1.0),
        ("sell", "yes", "yes", -1.0),  # the old system scored a sale like a purchase
        ("sell", "yes", "no", 1.0),
        ("sold", "no", "no", -1.0),
        ("sold", "no", "yes", 1.0),
        ("BOUGHT", "YES", "Yes", 1.0),  # there, other letter case counted as wrong
        ("bought", "YES", True, 1.0),
        ("bought", "yes", False, -1.0),
    ],
)
def test_prediction_market(direction: str, side: str, resolved: object, worth: float) -> None:
    terms = {"direction": direction, "side": side, "size": 2.5}
    assert settle("prediction_market", terms, {"resolved": resolved}) == worth
    assert settle("prediction_market_by_size", terms, {"resolved": resolved}) == 2.5 * worth


def test_a_claim_without_a_direction_was_bought() -> None:
    assert settle("prediction_market", {"side": "no"}, {"resolved": "no"}) == 1.0


@pytest.mark.parametrize(
    ("terms", "values", "reason"),
    [
        ({}, {"resolved": "yes"}, "side of the claim is missing"),
        ({"side": None}, {"resolved": "yes"}, "side of the claim is None"),
        ({"side": "maybe"}, {"resolved": "yes"}, "side of the claim is 'maybe'; known are yes, no"),
        ({"side": ["yes"]}, {"resolved": "yes"}, "side of the claim is"),
        ({"side": "yes", "direction": "lend"}, {"resolved": "yes"}, "direction of the claim is"),
        ({"side": "yes", "direction": None}, {"resolved": "yes"}, "direction of the claim is None"),
        ({"side": "yes"}, {}, "resolved of the outcome is missing"),
        ({"side": "yes"}, {"resolved": None}, "resolved of the outcome is None"),  # was NO
        ({"side": "yes"}, {"resolved": "void"}, "resolved of the outcome is 'void'"),
    ],
)
def test_what_a_prediction_does_not_say_is_not_guessed(
    terms: dict[str, Any], values: dict[str, Any], reason: str
) -> None:
    for name in ("prediction_market", "prediction_market_by_size"):
        with pytest.raises(UnsettleableError, match=reason):
            settle(name, {"size": 1.0} | terms, values)


@pytest.mark.parametrize(
    ("side", "end", "worth"),
    [
        ("long", 104.2, 0.42),
        ("short", 104.2, -0.42),
        ("long", 125.0, 1.0),
        ("short", 125.0, -1.0),
        ("long", 75.0, -1.0),
        ("SHORT", 95.0, 0.5),
        ("long", 100.0, 0.0),
    ],
)
def test_price_move(side: str, end: float, worth: float) -> None:
    found = settle("price_move", {"side": side, "price": 100.0}, {"price": end})
    assert found == pytest.approx(worth)
    outcome = {"start_price": 100.0, "price": end}
    assert settle("price_move", {"side": side}, outcome) == pytest.approx(worth)
    sold = {"side": side, "direction": "sell"}
    assert settle("price_move", sold, outcome) == pytest.approx(-worth)


@pytest.mark.parametrize(
    ("side", "direction", "worth"),
    [("long", "buy", 10.0), ("short", "buy", -10.0), ("long", "sell", -10.0)],
)
def test_perpetual_position(side: str, direction: str, worth: float) -> None:
    terms = {"side": side, "direction": direction, "size": 2, "price": 40}
    assert settle("perpetual_position", terms, {"price": 45}) == worth


@pytest.mark.parametrize("name", ["price_move", "perpetual_position"])
@pytest.mark.parametrize(
    ("terms", "values", "reason"),
    [
        ({"side": None}, {}, "side of the claim is None"),
        ({"side": "yes"}, {}, "side of the claim is 'yes'; known are long, short"),
        ({"price": None}, {}, "price of the claim is None, not a number"),
        ({"price": "100"}, {}, "price of the claim is '100', not a number"),
        ({"price": True}, {}, "price of the claim is True"),
        ({"price": 0.0}, {}, "price of the claim is 0.0, not above 0"),
        ({}, {"price": None}, "price of the outcome is None"),
        ({}, {"price": float("nan")}, "price of the outcome is nan"),
    ],
)
def test_what_a_price_does_not_say_is_not_guessed(
    name: str, terms: dict[str, Any], values: dict[str, Any], reason: str
) -> None:
    bet = {"side": "long", "size": 1.0, "price": 100.0}
    with pytest.raises(UnsettleableError, match=reason):
        settle(name, bet | terms, {"price": 104.0} | values)


@pytest.mark.parametrize("worth", [float("nan"), float("inf"), None, "1", True])
def test_what_is_no_finite_number_settles_nothing(worth: Any) -> None:
    rule = Rule("odd", "1", lambda _terms, _values: worth)
    with pytest.raises(UnsettleableError, match="rule odd@1 gave"):
        rule.settle({}, {})


def test_a_rule_that_fails_settles_nothing() -> None:
    rule = Rule("odd", "1", lambda terms, _values: float(terms["absent"]))
    with pytest.raises(UnsettleableError, match="rule odd@1 failed: KeyError"):
        rule.settle({}, {})
