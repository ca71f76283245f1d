"""What a trade is worth, from the set of its fills: pure, and blind to the order they came in.

A trade's row is never counted up or down. Each time a fill arrives, from whichever side and
however often, the row is computed anew from all fills the database holds for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from whalestack.clients.bybit.types import Side

# Bybit's execType words after which the position has another size. The others (Funding,
# Settle, ...) only move money.
POSITION_EXEC_TYPES = frozenset(
    {"Trade", "AdlTrade", "BustTrade", "Delivery", "BlockTrade", "MovePosition", "Adopted", "Reconciled"}
)
_ZERO = Decimal(0)


@dataclass(frozen=True)
class FillFact:
    """What the sum needs of one fill: price in quote per unit, qty in base, fee in USD (paid is positive)."""

    side: str
    price: Decimal
    qty: Decimal
    fee_usd: Decimal
    exec_type: str

    @property
    def moves_position(self) -> bool:
        return self.exec_type in POSITION_EXEC_TYPES


@dataclass(frozen=True)
class TradeTotals:
    """A trade as its fills tell it.

    `missing_entry_qty` is how much more was closed than we have seen opened: above zero
    some fill has not reached us yet. `pnl_pct` is per cent of the entry value.
    """

    entry_qty: Decimal
    entry_price: Decimal | None
    exit_qty: Decimal
    exit_price: Decimal | None
    fees_usd: Decimal
    pnl_usd: Decimal
    pnl_pct: float

    @property
    def open_qty(self) -> Decimal:
        return max(_ZERO, self.entry_qty - self.exit_qty)

    @property
    def missing_entry_qty(self) -> Decimal:
        return max(_ZERO, self.exit_qty - self.entry_qty)

    @property
    def is_over(self) -> bool:
        return self.entry_qty > 0 and self.entry_qty == self.exit_qty


def entry_side(direction: str) -> Side:
    """The order side that opens a LONG or a SHORT."""
    return Side.BUY if direction == "LONG" else Side.SELL


def direction_of(side: Side) -> str:
    """LONG for a position or an entry on the buy side, SHORT for the other."""
    return "LONG" if side is Side.BUY else "SHORT"


def trade_totals(direction: str, fills: Iterable[FillFact]) -> TradeTotals:
    """Sum one trade's fills.

    Profit is what the closed part earned, signed by the direction, less every fee and
    funding payment seen so far: ``sign * (exit value - entry price * exit qty) - fees``.

    Args:
        direction: LONG or SHORT.
        fills: all fills of the trade, in any order, each once.
    """
    facts = tuple(fills)
    opens = entry_side(direction)
    entry_qty, entry_value = _sum(fact for fact in facts if fact.moves_position and fact.side == opens)
    exit_qty, exit_value = _sum(fact for fact in facts if fact.moves_position and fact.side != opens)
    fees = sum((fact.fee_usd for fact in facts), _ZERO)
    entry_price = entry_value / entry_qty if entry_qty else None
    sign = 1 if direction == "LONG" else -1
    gross = sign * (exit_value - entry_price * exit_qty) if entry_price is not None else _ZERO
    pnl_usd = gross - fees
    return TradeTotals(
        entry_qty=entry_qty,
        entry_price=entry_price,
        exit_qty=exit_qty,
        exit_price=exit_value / exit_qty if exit_qty else None,
        fees_usd=fees,
        pnl_usd=pnl_usd,
        pnl_pct=float(pnl_usd / entry_value * 100) if entry_value else 0.0,
    )


def profit_pct(direction: str, entry_price: Decimal, price: Decimal) -> float:
    """Profit at `price` in per cent of the entry price, before costs."""
    move = float(price / entry_price - 1) * 100.0
    return move if direction == "LONG" else -move


def _sum(facts: Iterable[FillFact]) -> tuple[Decimal, Decimal]:
    qty, value = _ZERO, _ZERO
    for fact in facts:
        qty += fact.qty
        value += fact.qty * fact.price
    return qty, value
