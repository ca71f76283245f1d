"""A position in one-way mode, and what a fill does to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from whalestack.simulator.exchange.order import ZERO, Protection, Side


@dataclass(frozen=True)
class FillEffect:
    """What a fill did to a position, quantities in base coins, money in USDT.

    `realised` is the gross profit of the closed part; `open_fee` and `funding` are the parts of
    the fees paid at the entry and of the funding paid since that belong to what was closed.
    """

    opened_qty: Decimal
    closed_qty: Decimal
    realised: Decimal
    entry_value: Decimal
    open_fee: Decimal
    funding: Decimal


@dataclass
class Position:
    """The position of one symbol. `signed` is in base coins, positive when long."""

    symbol: str
    leverage: Decimal
    signed: Decimal = ZERO
    average_price: Decimal = ZERO
    protection: Protection = field(default_factory=Protection)
    open_fees: Decimal = ZERO
    funding_paid: Decimal = ZERO
    realised: Decimal = ZERO
    realised_ever: Decimal = ZERO
    created_ms: int = 0
    opened_ms: int = 0
    updated_ms: int = 0
    protected_ms: int = 0
    funding_slot: int = 0
    opened_by: str = ""
    seq: int = 0

    @property
    def size(self) -> Decimal:
        return abs(self.signed)

    @property
    def is_open(self) -> bool:
        return self.signed != 0

    @property
    def side(self) -> Side | None:
        """Buy for a long, Sell for a short, None when flat."""
        if self.signed == 0:
            return None
        return Side.BUY if self.signed > 0 else Side.SELL

    @property
    def entry_value(self) -> Decimal:
        """Size times average entry price, USDT."""
        return self.size * self.average_price

    def profit_at(self, price: Decimal) -> Decimal:
        """Unrealised profit in USDT at a price in USDT."""
        return (price - self.average_price) * self.signed

    def closing_part(self, side: Side, qty: Decimal) -> Decimal:
        """How much of an order of `qty` would close instead of open, base coins."""
        return min(qty, self.size) if self.side is side.opposite else ZERO

    def apply_fill(self, side: Side, qty: Decimal, price: Decimal, fee: Decimal) -> FillEffect:
        """Book a fill: close first, then open what is left in the other direction.

        Args:
            side: side of the order that filled.
            qty: filled quantity, base coins.
            price: fill price, USDT.
            fee: trading fee of the fill in USDT, shared between the closed and the opened part.
        """
        closed = self.closing_part(side, qty)
        opened = qty - closed
        effect = self._close(closed, opened, price)
        self._realise(effect.realised - fee * closed / qty)
        self._open(side, opened, price, fee * opened / qty)
        return effect

    def pay_funding(self, amount: Decimal) -> None:
        """Book a funding payment in USDT, positive when paid."""
        self.funding_paid += amount
        self._realise(-amount)

    def _realise(self, amount: Decimal) -> None:
        self.realised += amount
        self.realised_ever += amount

    def _close(self, closed: Decimal, opened: Decimal, price: Decimal) -> FillEffect:
        if not closed:
            return FillEffect(opened, ZERO, ZERO, ZERO, ZERO, ZERO)
        share = closed / self.size
        direction = 1 if self.signed > 0 else -1
        effect = FillEffect(
            opened,
            closed,
            realised=(price - self.average_price) * closed * direction,
            entry_value=self.average_price * closed,
            open_fee=self.open_fees * share,
            funding=self.funding_paid * share,
        )
        self.signed -= closed * direction
        self.open_fees -= effect.open_fee
        self.funding_paid -= effect.funding
        if self.signed == 0:
            self.average_price = ZERO
        return effect

    def _open(self, side: Side, opened: Decimal, price: Decimal, fee: Decimal) -> None:
        if not opened:
            return
        if self.signed == 0:
            self.realised = ZERO
        value = self.entry_value + opened * price
        self.signed += opened * side.sign
        self.average_price = value / self.size
        self.open_fees += fee
        self._realise(-fee)
