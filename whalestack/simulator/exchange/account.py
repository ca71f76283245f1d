"""The unified account: wallet, margin in use, and where a position is liquidated.

Two margin modes, as Bybit has them. REGULAR_MARGIN (cross) is what a unified account starts with:
all positions share the balance and are liquidated when the whole account falls below its maintenance
margin. ISOLATED_MARGIN: each position stands with its own margin, value / leverage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from whalestack.simulator.exchange.instrument import InstrumentRules
from whalestack.simulator.exchange.order import ZERO, Order
from whalestack.simulator.exchange.position import Position


class MarginMode(StrEnum):
    """How positions share the balance."""

    CROSS = "REGULAR_MARGIN"
    ISOLATED = "ISOLATED_MARGIN"


@dataclass(frozen=True)
class Marked:
    """A position with the mark price it is valued at, USDT, and its instrument."""

    position: Position
    mark: Decimal
    rules: InstrumentRules

    @property
    def value(self) -> Decimal:
        """Size at the mark price, USDT."""
        return self.position.size * self.mark

    @property
    def profit(self) -> Decimal:
        """Unrealised profit, USDT."""
        return self.position.profit_at(self.mark)

    @property
    def initial_margin(self) -> Decimal:
        """Margin that the position binds, USDT."""
        return self.value / self.position.leverage

    @property
    def maintenance_margin(self) -> Decimal:
        """Margin below which it is liquidated, USDT."""
        return self.value * self.rules.maintenance_rate


@dataclass(frozen=True)
class MarginState:
    """The account at one moment, all in USDT."""

    balance: Decimal
    unrealised: Decimal
    position_margin: Decimal
    maintenance: Decimal
    order_margin: Decimal
    mode: MarginMode

    @property
    def equity(self) -> Decimal:
        """Wallet balance and unrealised profit."""
        return self.balance + self.unrealised

    @property
    def initial_margin(self) -> Decimal:
        """Margin bound by positions and open orders."""
        return self.position_margin + self.order_margin

    @property
    def available(self) -> Decimal:
        """What new orders may bind; an isolated position's profit is not lent to others."""
        base = self.equity if self.mode is MarginMode.CROSS else self.balance
        return max(base - self.initial_margin, ZERO)


@dataclass
class Account:
    """The wallet in USDT and the account's settings.

    Args:
        balance: wallet balance, USDT.
        mode: how positions share it.
        leverage: chosen leverage of each symbol.
    """

    balance: Decimal
    mode: MarginMode = MarginMode.CROSS
    leverage: dict[str, Decimal] = field(default_factory=dict)
    realised_ever: Decimal = ZERO
    mode_changed_ms: int = 0

    def book(self, amount: Decimal) -> None:
        """Add realised profit (or take fees and losses, negative) in USDT."""
        self.balance += amount
        self.realised_ever += amount

    def state(self, marked: list[Marked], order_margin: Decimal) -> MarginState:
        """Sum the account up at the given mark prices."""
        return MarginState(
            balance=self.balance,
            unrealised=sum((item.profit for item in marked), ZERO),
            position_margin=sum((item.initial_margin for item in marked), ZERO),
            maintenance=sum((item.maintenance_margin for item in marked), ZERO),
            order_margin=order_margin,
            mode=self.mode,
        )


def order_margin(orders: list[Order], positions: Mapping[str, Position], leverage: Decimal) -> Decimal:
    """Margin in USDT that one symbol's open orders bind.

    Buys and sells do not add up: in one-way mode the larger side is what could be opened, and an
    order against the position binds margin only for what exceeds it.

    Args:
        orders: the symbol's open orders.
        positions: by symbol.
        leverage: of the symbol.
    """
    bound = {1: ZERO, -1: ZERO}
    for sign in bound:
        side_orders = [o for o in orders if o.side.sign == sign and not o.spec.reduce_only and not o.is_child]
        position = positions.get(side_orders[0].symbol) if side_orders else None
        closing = ZERO
        if position is not None and position.side is not None and position.side.sign == -sign:
            closing = position.size
        for order in side_orders:
            opens = max(order.leaves_qty - closing, ZERO)
            closing = max(closing - order.leaves_qty, ZERO)
            bound[sign] += opens * (order.price or order.last_price_on_created)
    return max(bound.values()) / leverage


def isolated_liquidation_price(position: Position, rules: InstrumentRules) -> Decimal | None:
    """Where an isolated position is liquidated: entry * (1 -/+ (1/leverage - maintenance rate)).

    Returns:
        USDT on the tick grid, None when there is no position or no such price.
    """
    if position.side is None:
        return None
    room = 1 / position.leverage - rules.maintenance_rate
    price = position.average_price * (1 - position.side.sign * room)
    return rules.price_up(price) if price > 0 else None


def cross_liquidation_price(marked: Marked, state: MarginState) -> Decimal | None:
    """The mark price of this symbol at which equity equals maintenance margin, all others unmoved.

    Returns:
        USDT on the tick grid, None when no price above 0 would do it.
    """
    size, sign = marked.position.size, marked.position.signed
    other_maintenance = state.maintenance - marked.maintenance_margin
    buffer = state.equity - other_maintenance
    if sign > 0:
        price = (marked.mark * size - buffer) / (size * (1 - marked.rules.maintenance_rate))
    else:
        price = (marked.mark * size + buffer) / (size * (1 + marked.rules.maintenance_rate))
    return marked.rules.price_up(price) if 0 < price < marked.rules.max_price * 10 else None


def bankruptcy_price(position: Position) -> Decimal:
    """Where an isolated position's margin is used up, USDT."""
    sign = 0 if position.side is None else position.side.sign
    return max(position.average_price * (1 - sign / position.leverage), ZERO)
