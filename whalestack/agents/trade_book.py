"""Fills become trades: opened by the first entry fill, ended by the last exit fill.

Everything here happens in the caller's transaction, under the symbol's book lock, and a fill
is known by the exchange's id. So a message that comes twice, late or out of order changes
nothing that it should not: the trade is computed from the set of its fills (`pnl`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from whalestack.agents import order_book, plan_book
from whalestack.agents.fill_facts import closes, exit_reason, fill_row, opens, totals_of
from whalestack.agents.pnl import TradeTotals, direction_of
from whalestack.agents.trade_news import CHECK_STOP_TASK, TradeNews
from whalestack.clients.bybit.types import Execution, Side
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import trade_store
from whalestack.db import trading_store as store
from whalestack.db.engine import UnitOfWork
from whalestack.db.models import Fill, Order, Trade, TradePlan
from whalestack.dispatch import Job

POLL_TASK = "trade.poll"


@dataclass(frozen=True)
class BookChanges:
    """What a batch of fills did: new fills, trades opened and closed, fills no trade knows."""

    fills: int = 0
    opened: int = 0
    closed: int = 0
    stray: int = 0

    def __add__(self, other: BookChanges) -> BookChanges:
        return BookChanges(
            self.fills + other.fills,
            self.opened + other.opened,
            self.closed + other.closed,
            self.stray + other.stray,
        )


class TradeBook:
    """Keeps `fills` and `trades`.

    Args:
        settings: the mode is written on each trade.
        clock: market time.
    """

    def __init__(self, *, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._news = TradeNews(settings=settings, clock=clock)

    def apply(self, work: UnitOfWork, executions: Iterable[Execution], source: str) -> BookChanges:
        """Take in fills of ONE symbol, each at most once.

        Args:
            work: the caller's transaction.
            executions: of one symbol, in any order.
            source: stream or poll.
        """
        changes = BookChanges()
        for execution in sorted(executions, key=lambda each: (each.executed_at, each.exec_id)):
            store.lock_book(work.session, execution.symbol)
            if trade_store.insert_fill(work.session, fill_row(execution, source)):
                changes += self._take_in(work, execution)
        return changes

    def refresh(self, work: UnitOfWork, trade: Trade, *, despite_missing_fills: bool = False) -> BookChanges:
        """Compute a trade anew from its fills; ends it when they say it is over.

        Args:
            work: the caller's transaction, which holds the book lock.
            trade: locked.
            despite_missing_fills: end it even if the exchange once told of fills that never came.
        """
        totals = totals_of(trade, trade_store.trade_fills(work.session, trade.id))
        is_complete = despite_missing_fills or not self._fills_are_missing(work.session, trade)
        is_over = totals.is_over and is_complete
        self._write(trade, totals)
        if totals.missing_entry_qty > 0:
            # More was closed than opened: an entry fill was lost on the way. Ask for it.
            work.dispatch_after_commit(Job(POLL_TASK))
        changes = self._end(work, trade, totals) if is_over else BookChanges()
        work.session.flush()
        if trade.plan_id is not None:
            plan_book.settle(work.session, trade.plan_id, self._clock.now())
        return changes

    def _take_in(self, work: UnitOfWork, execution: Execution) -> BookChanges:
        order = self._tell_order(work.session, execution)
        trade, opened = self._trade_of(work.session, execution, order), 0
        if trade is None and order is not None and _is_entry(execution, order):
            trade, opened = self._open(work, execution, order), 1
        if trade is None:
            return BookChanges(fills=1, stray=1)
        self._assign(work.session, execution.exec_id, trade)
        if order is not None and not opened and _is_entry(execution, order):
            # One more rung: the average has changed, and with it the price of the next trailing step.
            work.dispatch_after_commit(Job(CHECK_STOP_TASK, {"symbol": trade.symbol}))
        return self.refresh(work, trade) + BookChanges(fills=1, opened=opened)

    def _tell_order(self, session: Session, execution: Execution) -> Order | None:
        order = store.locked_order(session, execution.order_link_id) if execution.order_link_id else None
        if order is None or order.symbol != execution.symbol:
            return None
        filled = trade_store.known_filled_qty(session, order.order_link_id)
        order.exchange_order_id = order.exchange_order_id or execution.exchange_order_id
        order_book.apply_fill(session, order, filled, execution.leaves_qty, self._clock.now())
        return order

    def _trade_of(self, session: Session, execution: Execution, order: Order | None) -> Trade | None:
        """The trade a fill belongs to: a symbol is one position, so time decides, not the id."""
        plan_id = order.plan_id if order is not None else None
        running = trade_store.open_trade(session, execution.symbol, lock=True)
        if running is not None and execution.executed_at >= running.entry_time:
            return running
        ended = trade_store.ended_trade(
            session, execution.symbol, execution.executed_at, plan_id=plan_id, side=execution.side.value
        )
        if ended is None and running is not None and plan_id is not None and running.plan_id == plan_id:
            return running  # its first fill reached us after a later one
        return ended

    def _open(self, work: UnitOfWork, execution: Execution, order: Order) -> Trade:
        plan = work.session.get_one(TradePlan, order.plan_id)
        trade = Trade(
            agent_name=order.agent_name,
            symbol=order.symbol,
            side=direction_of(Side(order.side)),
            entry_price=execution.price,
            qty=execution.qty,
            open_qty=execution.qty,
            stop_loss=order.stop_loss,
            initial_stop_loss=order.stop_loss,
            take_profit=order.take_profit,
            entry_time=execution.executed_at,
            status="open",
            plan_id=order.plan_id,
            leverage=plan.leverage,
            mode=self._settings.mode.value,
            updated_at=self._clock.now(),
        )
        work.session.add(trade)
        work.session.flush()
        self._adopt_early_exits(work.session, trade)
        self._news.opened(work, trade)
        return trade

    def _assign(self, session: Session, exec_id: str, trade: Trade) -> None:
        fill = session.get_one(Fill, exec_id)
        fill.trade_id = trade.id
        if opens(trade, fill):
            trade.entry_time = min(trade.entry_time, fill.executed_at)
        order = session.get(Order, fill.order_link_id) if fill.order_link_id else None
        if order is not None and order.trade_id is None:
            order.trade_id = trade.id
        session.flush()

    def _adopt_early_exits(self, session: Session, trade: Trade) -> None:
        """What reached us before the entry it follows, exits and funding, belongs to this trade."""
        for fill in trade_store.stray_fills(session, trade.symbol, trade.entry_time):
            if not opens(trade, fill):
                fill.trade_id = trade.id
        session.flush()

    def _fills_are_missing(self, session: Session, trade: Trade) -> bool:
        """Whether the exchange has told of more entry fills than have reached us."""
        if trade.plan_id is None:
            return False
        return any(
            trade_store.known_filled_qty(session, order.order_link_id) < order.filled_qty
            for order in store.plan_orders(session, trade.plan_id)
        )

    def _write(self, trade: Trade, totals: TradeTotals) -> None:
        trade.entry_price = totals.entry_price or trade.entry_price
        trade.qty = totals.entry_qty
        trade.open_qty = totals.open_qty
        trade.fees_usd = totals.fees_usd
        trade.exit_price = totals.exit_price
        trade.updated_at = self._clock.now()

    def _end(self, work: UnitOfWork, trade: Trade, totals: TradeTotals) -> BookChanges:
        """Write how a trade ended; told and counted only the first time."""
        is_first_time = trade.status == "open"
        fills = trade_store.trade_fills(work.session, trade.id)
        last = next(fill for fill in reversed(fills) if closes(trade, fill))
        trade.exit_time = last.executed_at
        trade.pnl_usd, trade.pnl_pct = totals.pnl_usd, totals.pnl_pct
        if not is_first_time:
            return BookChanges()
        trade.exit_reason = exit_reason(work.session, last)
        trade.status = "stopped_out" if trade.exit_reason == "stop_loss" else "closed"
        self._news.closed(work, trade)
        return BookChanges(closed=1)


def _is_entry(execution: Execution, order: Order) -> bool:
    return order.plan_id is not None and not order.reduce_only and execution.side.value == order.side
