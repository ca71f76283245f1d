"""Stand-in fills, where one side knows something of which no fill can be had any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from whalestack.agents.fill_facts import ADOPTED, RECONCILED, closes, fact_of
from whalestack.agents.pnl import direction_of, entry_side
from whalestack.agents.trade_book import TradeBook
from whalestack.clients.bybit.types import ClosedPnl, Position
from whalestack.clock import to_ms
from whalestack.config import Settings
from whalestack.db import agent_store, trade_store
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


@dataclass(frozen=True)
class _Exit:
    """Part of a position's end of which we have no fill: base coins, quote a coin, USD."""

    qty: Decimal
    price: Decimal
    fee_usd: Decimal
    at: datetime


def close_on_paper(
    work: UnitOfWork, trade: Trade, results: Sequence[ClosedPnl], trade_book: TradeBook, *, now: datetime
) -> None:
    """End a trade that the exchange no longer holds: what is open of it, by the exits that no fill tells.

    The exchange's own results tell every exit. Those whose fills we have are in the trade already;
    of the others the oldest are taken, until what is open is covered: later ones belong to what
    somebody did in the coin afterwards. Where they tell of less, the rest is taken to have gone at
    their average price, and without any at the entry price; the trade's note says so.
    """
    fills = [fill for fill in trade_store.trade_fills(work.session, trade.id) if closes(trade, fill)]
    told = [result for result in results if result.closing_side != entry_side(trade.side)]
    exits = list(_until_covered(trade.open_qty, _untold(trade, told, fills)))
    qty = sum((each.qty for each in exits), _ZERO)
    price = sum((each.qty * each.price for each in exits), _ZERO) / qty if qty else trade.entry_price
    if qty < trade.open_qty:
        assumed = "their average" if qty else "its entry price"
        trade.notes = f"the exchange tells of exits of {qty.normalize():f}; the rest was closed at {assumed}"
    _stand_in(
        work,
        trade,
        RECONCILED,
        entry_side(trade.side).opposite.value,
        price,
        trade.open_qty,
        sum((each.fee_usd for each in exits), _ZERO),
        max((each.at for each in exits), default=now),
    )
    trade_book.refresh(work, trade, despite_missing_fills=True)


def _untold(trade: Trade, results: Sequence[ClosedPnl], fills: Sequence[Fill]) -> Iterator[_Exit]:
    """What each closing order did beyond the fills that we have of it, oldest first."""
    for result in sorted(results, key=lambda each: each.created_at):
        known = [fact_of(trade, fill) for fill in fills if fill.exchange_order_id == result.exchange_order_id]
        qty = result.qty - sum((fact.qty for fact in known), _ZERO)
        if qty > 0:
            value = result.qty * result.avg_exit_price - sum((fact.qty * fact.price for fact in known), _ZERO)
            fee_usd = result.close_fee_usd - sum((fact.fee_usd for fact in known), _ZERO)
            yield _Exit(qty, value / qty, fee_usd, result.created_at)


def _until_covered(open_qty: Decimal, exits: Iterable[_Exit]) -> Iterator[_Exit]:
    """As many exits as the open quantity needs, the last one in part."""
    left = open_qty
    for each in exits:
        taken = min(each.qty, left)
        if taken <= 0:
            return
        yield replace(each, qty=taken, fee_usd=each.fee_usd * taken / each.qty)
        left -= taken


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
