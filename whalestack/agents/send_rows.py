"""The rows of orders that are being sent: marked before, answered after, each answer one commit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from whalestack.agents import order_book, plan_rows
from whalestack.clients.bybit.types import OrderAck, OrderRequest, Side
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import entering
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.models import Order, TradePlan
from whalestack.errors import GiveUp

log = structlog.get_logger(__name__)


class SendRows:
    """Writes what happens to an order on its way.

    Args:
        db: of this process.
        settings: who hears of a refusal.
        clock: market time.
    """

    def __init__(self, *, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock

    def load(self, order_link_id: str) -> tuple[Order, TradePlan | None]:
        """An order, and the plan it belongs to."""
        with self._db.begin() as work:
            order = work.session.get_one(Order, order_link_id)
            plan = work.session.get(TradePlan, order.plan_id) if order.plan_id is not None else None
        return order, plan

    def mark_sent(self, order_link_ids: Sequence[str], sent_at: datetime) -> list[str]:
        """Commit, all in one transaction, that orders are being sent.

        Args:
            order_link_ids: of one symbol.
            sent_at: market time.

        Returns:
            Those that this caller may send: the others are being sent by somebody else.
        """
        return entering.mark_sent(self._db, order_link_ids, sent_at)

    def accept(self, ack: OrderAck) -> str:
        """The exchange has it."""
        log.info("order_accepted", order_link_id=ack.order_link_id)
        now = self._clock.now()
        if entering.mark_accepted(self._db, ack.order_link_id, ack.exchange_order_id, now):
            # An order that may still fill leaves its plan as it is.
            return "new"
        return self.record(ack.order_link_id, "new", exchange_order_id=ack.exchange_order_id)

    def reject(self, order_link_id: str, *, reason: str, code: int | None) -> str:
        """It was marked as sent, and the exchange has not got it."""
        log.warning("order_rejected", order_link_id=order_link_id, code=code, reason=reason)
        return self.record(order_link_id, "rejected", reason=reason, code=code)

    def refuse(self, order_link_id: str, reason: str) -> str:
        """It was never sent and never will be."""
        log.warning("order_not_sent", order_link_id=order_link_id, reason=reason)
        return self.record(order_link_id, "refused", reason=reason)

    def record(
        self,
        order_link_id: str,
        status: str,
        *,
        reason: str | None = None,
        code: int | None = None,
        exchange_order_id: str | None = None,
    ) -> str:
        """Commit an answer. A stream that was faster has moved the row on already; that stands."""
        now = self._clock.now()
        with self._db.begin() as work:
            order = store.locked_order(work.session, order_link_id)
            if order is None:
                raise GiveUp(f"order {order_link_id} has lost its row")
            order.exchange_order_id = order.exchange_order_id or exchange_order_id
            order.reject_code = code if code is not None else order.reject_code
            order_book.move(order, status, now, reason=reason)
            work.session.flush()
            if order.plan_id is not None:
                plan_rows.settle_and_tell(work, order.plan_id, settings=self._settings, now=now)
            return order.status


def request_of(order: Order) -> OrderRequest:
    """What is sent is what was committed, and nothing else."""
    return OrderRequest(
        symbol=order.symbol,
        side=Side(order.side),
        qty=order.qty,
        order_link_id=order.order_link_id,
        price=order.price,
        time_in_force=order.time_in_force,
        reduce_only=order.reduce_only,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
    )
