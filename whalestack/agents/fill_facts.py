"""What stored fills say: whether they open, what they sum to, why the position ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from whalestack.agents.pnl import POSITION_EXEC_TYPES, FillFact, TradeTotals, entry_side, trade_totals
from whalestack.clients.bybit.types import Execution
from whalestack.db.models import Fill, Order, Trade

# Rows of ours that stand in for fills the exchange no longer tells of.
ADOPTED = "Adopted"
RECONCILED = "Reconciled"
STOP_ORDER_TYPES = frozenset({"StopLoss", "PartialStopLoss", "TrailingStop", "Stop"})
TARGET_ORDER_TYPES = frozenset({"TakeProfit", "PartialTakeProfit"})
_REASON_BY_EXEC_TYPE = {
    "BustTrade": "liquidation",
    "AdlTrade": "deleveraged",
    "Delivery": "delisted",
    RECONCILED: "reconciled",
}


def opens(trade: Trade, fill: Fill) -> bool:
    """Whether the fill made the trade's position larger."""
    return fill.exec_type in POSITION_EXEC_TYPES and fill.side == entry_side(trade.side)


def closes(trade: Trade, fill: Fill) -> bool:
    """Whether the fill made the trade's position smaller."""
    return fill.exec_type in POSITION_EXEC_TYPES and fill.side != entry_side(trade.side)


def last_entry_at(trade: Trade, fills: Sequence[Fill]) -> datetime:
    """When the position last became larger: since then its average entry is what it is."""
    return max((fill.executed_at for fill in fills if opens(trade, fill)), default=trade.entry_time)


def totals_of(trade: Trade, fills: Sequence[Fill]) -> TradeTotals:
    """A trade's totals; a stand-in steps back as far as real fills take its place, and wholly as soon
    as they cover the whole trade."""
    real = trade_totals(
        trade.side, [fact_of(trade, fill) for fill in fills if fill.exec_type not in (ADOPTED, RECONCILED)]
    )
    if real.is_over:
        return real
    totals = trade_totals(trade.side, [fact_of(trade, fill) for fill in fills])
    doubled = totals.missing_entry_qty
    if doubled == 0 or not any(fill.exec_type == RECONCILED for fill in fills):
        return totals
    return trade_totals(trade.side, [fact_of(trade, fill, doubled) for fill in fills])


def exit_reason(session: Session, fill: Fill) -> str:
    """Why a position ended, from its last closing fill: stop_loss, take_profit, liquidation,
    deleveraged, delisted, reconciled, the name of the agent whose order it was, or manual."""
    if fill.exec_type in _REASON_BY_EXEC_TYPE:
        return _REASON_BY_EXEC_TYPE[fill.exec_type]
    if fill.stop_order_type in STOP_ORDER_TYPES:
        return "stop_loss"
    if fill.stop_order_type in TARGET_ORDER_TYPES:
        return "take_profit"
    order = session.get(Order, fill.order_link_id) if fill.order_link_id else None
    return order.agent_name if order is not None else "manual"


def fill_row(execution: Execution, source: str) -> dict[str, object]:
    """The row of one execution; `source` is stream or poll."""
    return {
        "exec_id": execution.exec_id,
        "order_link_id": execution.order_link_id or None,
        "exchange_order_id": execution.exchange_order_id,
        "symbol": execution.symbol,
        "side": execution.side.value,
        "price": execution.price,
        "qty": execution.qty,
        "fee_usd": execution.fee_usd,
        "is_maker": execution.is_maker,
        "exec_type": execution.exec_type,
        "stop_order_type": execution.stop_order_type or None,
        "closed_qty": execution.closed_qty,
        "executed_at": execution.executed_at,
        "source": source,
    }


def fact_of(trade: Trade, fill: Fill, doubled: Decimal = Decimal(0)) -> FillFact:
    """A fill that turned the position round belongs to the trade only as far as it closed it.

    `doubled` is what the stand-in of an exit tells a second time, base coins.
    """
    if fill.exec_type == RECONCILED and doubled:
        qty = max(fill.qty - doubled, Decimal(0))
        return FillFact(fill.side, fill.price, qty, fill.fee_usd * qty / fill.qty, fill.exec_type)
    if closes(trade, fill) and 0 < fill.closed_qty < fill.qty:
        fee_usd = fill.fee_usd * fill.closed_qty / fill.qty
        return FillFact(fill.side, fill.price, fill.closed_qty, fee_usd, fill.exec_type)
    return FillFact(fill.side, fill.price, fill.qty, fill.fee_usd, fill.exec_type)
