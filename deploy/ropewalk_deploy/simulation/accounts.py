"""What an agent owns, and what becomes of an order: pure rules of the exchange."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ropewalk_schemas.events import ActionStatus

START_BALANCE = 10_000.0


@dataclass(frozen=True, slots=True)
class Intent:
    """What an agent wants to do: an action type and its parameters."""

    type: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an intent; `claim` is a bet on a market: its key and terms."""

    status: ActionStatus
    result: Mapping[str, Any] | None = None
    error: str | None = None
    claim: tuple[str, Mapping[str, Any]] | None = None


@dataclass(slots=True)
class Position:
    """Shares of one side of one market. Size is in shares, `paid` in dollars."""

    side: str
    size: float
    paid: float


@dataclass(slots=True)
class Account:
    """Money, positions and reputation of one agent in one game."""

    balance: float = START_BALANCE
    points: int = 0
    positions: dict[str, Position] = field(default_factory=dict)

    def value(self, prices: Mapping[str, float]) -> float:
        """Balance plus positions at market prices, in dollars."""
        return self.balance + sum(
            _worth(position, prices[key]) for key, position in self.positions.items()
        )

    def state(self, prices: Mapping[str, float]) -> dict[str, Any]:
        """The environment state before a decision."""
        value = self.value(prices)
        return {
            "balance": round(self.balance, 2),
            "pnl": round(value - START_BALANCE, 2),
            "portfolio_value": round(value, 2),
            "open_positions": len(self.positions),
            "points": self.points,
            "active_markets": len(prices),
        }

    def apply(self, intent: Intent, prices: Mapping[str, float]) -> Outcome:
        """Carry out an intent, or say why not."""
        match intent.type:
            case "BUY_SHARES" | "OPEN_PERP":
                return self._buy(intent.parameters, prices)
            case "SELL_SHARES" | "CLOSE_PERP":
                return self._sell(intent.parameters, prices)
            case "HOLD":
                return Outcome("held")
            case _:
                self.points += 2 if intent.type == "CREATE_POST" else 1
                return Outcome("executed", result={"points": self.points})

    def _buy(self, order: Mapping[str, Any], prices: Mapping[str, float]) -> Outcome:
        market, side, amount = order["market"], order["side"], order["amount"]
        if amount > self.balance:
            return Outcome("rejected", error=f"insufficient balance: {self.balance:.2f}")
        if market in self.positions:
            return Outcome("rejected", error=f"a position in {market} is already open")
        price = _price_of(side, prices[market])
        size = round(amount / price, 4)
        self.balance -= amount
        self.positions[market] = Position(side, size, amount)
        terms = {"side": side, "size": size, "price": price}
        return Outcome("executed", result=terms | {"filled": True}, claim=(market, terms))

    def _sell(self, order: Mapping[str, Any], prices: Mapping[str, float]) -> Outcome:
        position = self.positions.pop(order["market"], None)
        if position is None:
            return Outcome("rejected", error=f"no open position in {order['market']}")
        proceeds = round(_worth(position, prices[order["market"]]), 2)
        self.balance += proceeds
        return Outcome(
            "executed", result={"proceeds": proceeds, "profit": round(proceeds - position.paid, 2)}
        )


def _price_of(side: str, price: float) -> float:
    return round(1 - price, 2) if side == "no" else price


def _worth(position: Position, price: float) -> float:
    if position.side == "short":
        return max(0.0, 2 * position.paid - position.size * price)
    return position.size * _price_of(position.side, price)
