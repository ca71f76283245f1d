"""Ending plans: the pullback did not come, the target was reached, or the trade has moved on.

Rungs of a ladder that have not filled are part of the entry. They are cancelled when the trade
has ended, and also when its stop was moved: they carry the first stop, and a rung that filled
later would set it on the whole position again.

Cancelling is asked for, never assumed: Bybit acknowledges a cancel before it is done, and a fill
may cross it. The order's row moves when the stream or the poll says what became of it, and what
filled is kept, with its stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog

from whalestack.agents import order_book, plan_book
from whalestack.agents.order_asker import OrderAsker
from whalestack.agents.order_canceller import OrderCanceller
from whalestack.clock import Clock
from whalestack.db import trade_store
from whalestack.db import trading_inputs as inputs
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket
from whalestack.db.models import TradePlan
from whalestack.errors import TryAgain
from whalestack.math.rounding import decimal_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ReapReport:
    """How many plans were ended, and how many of their orders were cancelled or dropped unsent."""

    plans: int = 0
    cancelled: int = 0
    dropped: int = 0
    failed: int = 0


class PlanReaper:
    """Ends plans.

    Args:
        db: of this process.
        live: prices, to see that a target was reached.
        clock: market time.
        canceller: cancels what is on the exchange.
        asker: told to look at orders that the exchange no longer knows as open.
    """

    def __init__(
        self, *, db: Database, live: LiveMarket, clock: Clock, canceller: OrderCanceller, asker: OrderAsker
    ) -> None:
        self._db = db
        self._live = live
        self._clock = clock
        self._canceller = canceller
        self._asker = asker

    def run(self) -> ReapReport:
        """End every plan whose time has come; one that cannot be ended holds up no other."""
        report = ReapReport()
        with self._db.begin() as work:
            plans = store.active_plans(work.session)
        for plan in plans:
            reason = self._reason(plan)
            if reason is not None:
                report = _sum(report, self.end(plan.id, reason))
        return report

    def end(self, plan_id: int, reason: str) -> ReapReport:
        """Cancel or drop what is left of a plan's entry orders."""
        with self._db.begin() as work:
            orders = store.plan_orders(work.session, plan_id, store.UNFINISHED)
        unsent = [order.order_link_id for order in orders if order.status == "intent"]
        dropped = sum(self._drop(order_link_id, reason) for order_link_id in unsent)
        ended = self._canceller.cancel([order for order in orders if order.status != "intent"])
        for order_link_id in ended.gone:
            self._asker.ask(order_link_id)
        self._settle(plan_id)
        if ended.taken:
            log.info("cancel_asked", plan_id=plan_id, orders=len(ended.taken), reason=reason)
        return ReapReport(
            plans=int(bool(orders)), cancelled=len(ended.taken), dropped=dropped, failed=len(ended.failed)
        )

    def _reason(self, plan: TradePlan) -> str | None:
        now = self._clock.now()
        if plan.expires_at is not None and plan.expires_at <= now:
            return "expired"
        with self._db.begin() as work:
            trades = trade_store.plan_trades(work.session, plan.id)
        if any(trade.status != "open" for trade in trades):
            return "trade_ended"
        if any(trade.stop_loss != trade.initial_stop_loss for trade in trades):
            return "stop_was_moved"
        if self._target_was_reached(plan):
            return "target_reached" if trades else "target_reached_without_entry"
        return None

    def _target_was_reached(self, plan: TradePlan) -> bool:
        """Once price has been at the target, what the plan waited for has happened without it.

        A price that was there and has fallen back counts: the ticks and bars since then tell it.
        """
        if plan.take_profit is None:
            return False
        seen = self._prices_since(plan.symbol, plan.created_at)
        if plan.direction == "LONG":
            return any(price >= plan.take_profit for price in seen)
        return any(price <= plan.take_profit for price in seen)

    def _prices_since(self, symbol: str, moment: datetime) -> list[Decimal]:
        """The price now, and the lowest and the highest since a moment, as far as they are known."""
        try:
            tick = self._live.get(symbol)
        except TryAgain:
            tick = None
        with self._db.begin() as work:
            seen = inputs.price_range_since(work.session, symbol, moment) or ()
        return [decimal_of(price) for price in (*seen, *([tick.last] if tick is not None else []))]

    def _drop(self, order_link_id: str, reason: str) -> bool:
        """An intent that was never sent, and now never will be."""
        with self._db.begin() as work:
            order = store.locked_order(work.session, order_link_id)
            if order is None or order.status != "intent":
                return False
            return order_book.move(order, "refused", self._clock.now(), reason=reason)

    def _settle(self, plan_id: int) -> None:
        with self._db.begin() as work:
            plan = work.session.get_one(TradePlan, plan_id)
            store.lock_book(work.session, plan.symbol)
            plan_book.settle(work.session, plan_id, self._clock.now())


def _sum(first: ReapReport, second: ReapReport) -> ReapReport:
    return ReapReport(
        first.plans + second.plans,
        first.cancelled + second.cancelled,
        first.dropped + second.dropped,
        first.failed + second.failed,
    )
