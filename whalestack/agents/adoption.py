"""Stand-in fills, where one side knows something of which no fill can be had any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from whalestack.agents.fill_facts import ADOPTED, RECONCILED
from whalestack.agents.pnl import direction_of, entry_side
from whalestack.agents.trade_book import TradeBook
from whalestack.clients.bybit.types import ClosedPnl, Position
from whalestack.clock import to_ms
from whalestack.config import Settings
from whalestack.db import agent_store
from whalestack.db.engine import UnitOfWork
from whalestack.db.models import Fill, Trade

MANUAL = "manual"
_ZERO = Decimal(0)


def adopt_position(
    work: UnitOfWork, position: Position, *, settings: Settings, trade_book: TradeBook, now: datetime
) -> Trade:
    """A position that somebody opened beside us becomes a trade of the agent `manual`.

    The caller holds the book lock and has seen that the symbol has no open trade. It begins now:
    Bybit's time of a position is that of the first one the coin ever had, and fills from before
    are in the size already.
    """
    trade = Trade(
        agent_name=MANUAL,
        symbol=position.symbol,
        side=direction_of(position.side),
        entry_price=position.avg_price,
        qty=position.size,
        open_qty=position.size,
        stop_loss=position.stop_loss,
        initial_stop_loss=position.stop_loss,
        take_profit=position.take_profit,
        entry_time=now,
        status="open",
        notes="found on the exchange and adopted",
        leverage=position.leverage,
        mode=settings.mode.value,
        updated_at=now,
    )
    work.session.add(trade)
    work.session.flush()
    _stand_in(work, trade, ADOPTED, position.side.value, position.avg_price, position.size, _ZERO, now)
    trade_book.refresh(work, trade)
    details = {"trade_id": trade.id, "size": str(position.size), "entry_price": str(position.avg_price)}
    agent_store.log_action(
        work.session,
        agent_name=MANUAL,
        action="position_adopted",
        symbol=trade.symbol,
        details=details,
        now=now,
    )
    return trade


def close_on_paper(
    work: UnitOfWork, trade: Trade, results: Sequence[ClosedPnl], trade_book: TradeBook, *, now: datetime
) -> None:
    """End a trade that the exchange no longer holds, at the price its own results tell.

    Without a result it ends at its entry price, and its note says that the exit is not known.
    """
    exits = [result for result in results if result.closing_side != entry_side(trade.side)]
    # closing_side is the side of the closing order: the opposite of the one that opened.
    price = _average_exit(exits) if exits else trade.entry_price
    if not exits:
        trade.notes = "the exchange tells of no exit; closed at its entry price"
    side = entry_side(trade.side).opposite.value
    open_qty = trade.open_qty
    _stand_in(work, trade, RECONCILED, side, price, open_qty, _ZERO, now)
    trade_book.refresh(work, trade, despite_missing_fills=True)


def _average_exit(results: Sequence[ClosedPnl]) -> Decimal:
    qty = sum((result.qty for result in results), _ZERO)
    value = sum((result.qty * result.avg_exit_price for result in results), _ZERO)
    return value / qty


def _stand_in(
    work: UnitOfWork,
    trade: Trade,
    exec_type: str,
    side: str,
    price: Decimal,
    qty: Decimal,
    fee_usd: Decimal,
    now: datetime,
) -> None:
    work.session.add(
        Fill(
            exec_id=f"{exec_type.lower()}-{trade.id}-{to_ms(now)}",
            order_link_id=None,
            exchange_order_id="",
            trade_id=trade.id,
            symbol=trade.symbol,
            side=side,
            price=price,
            qty=qty,
            fee_usd=fee_usd,
            is_maker=False,
            exec_type=exec_type,
            closed_qty=_ZERO,
            executed_at=now,
            source="reconciler",
        )
    )
    work.session.flush()
