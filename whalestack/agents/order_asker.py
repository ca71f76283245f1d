"""What became of an order: asked of the exchange, never guessed.

An order without an answer is looked for by its id among the open orders, the history and the
fills. That nobody knows it counts only when it is too old to be still on its way.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from whalestack.agents import order_book, plan_rows
from whalestack.agents.alerts import alert
from whalestack.agents.order_book import Seen
from whalestack.agents.patience import Patience
from whalestack.agents.trade_book import TradeBook
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import Execution, OrderState
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import trading_store as store
from whalestack.db.engine import Database, UnitOfWork
from whalestack.db.models import Order
from whalestack.errors import TryAgain

log = structlog.get_logger(__name__)


class OrderAsker:
    """Resolves single orders by asking.

    Args:
        db: of this process.
        exchange: who is asked.
        settings: bounds and channels.
        clock: market time.
        trade_book: takes in the fills that the answer brings.
    """

    def __init__(
        self, *, db: Database, exchange: ExchangePort, settings: Settings, clock: Clock, trade_book: TradeBook
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._trade_book = trade_book
        self._patience = Patience.from_settings(settings, clock)

    def ask(self, order_link_id: str) -> str:
        """Bring one order up to date and return its status; without an answer it stays unknown."""
        with self._db.begin() as work:
            order = work.session.get_one(Order, order_link_id)
        if order.status == "intent":
            return order.status
        try:
            state = self._exchange.find_order(order.symbol, order_link_id)
            # An order that says it has filled nothing has no fills to be asked for.
            has_fills = state is None or state.filled_qty > 0
            fills = self._exchange.executions(order.symbol, order_link_id=order_link_id) if has_fills else []
        except TryAgain as error:
            log.warning("order_not_asked", order_link_id=order_link_id, error=type(error).__name__)
            return self._note_no_answer(order_link_id)
        return self._note_answer(order_link_id, state, fills)

    def _note_answer(self, order_link_id: str, state: OrderState | None, fills: list[Execution]) -> str:
        now = self._clock.now()
        with self._db.begin() as work:
            order = self._locked(work, order_link_id)
            seen = order_book.apply_state(work.session, state, now) if state is not None else None
            if seen is Seen.TAKEN_ID:
                self._alert(work, order, "taken", "its id belongs to an older order; it was not sent again")
            else:
                self._trade_book.apply(work, fills, "poll")
                if state is None and not fills:
                    self._nowhere(order, now)
            self._end_of_patience(work, order, now)
            work.session.flush()
            if order.plan_id is not None:
                plan_rows.settle_and_tell(work, order.plan_id, settings=self._settings, now=now)
            return order.status

    def _nowhere(self, order: Order, now: datetime) -> None:
        """The exchange has answered and knows no such order."""
        age = now - (order.sent_at or order.created_at)
        if order.status in ("sent", "unknown"):
            if age >= self._patience.absent_after:
                order_book.move(order, "rejected", now, reason="never_arrived")
            elif age >= self._patience.in_flight:
                order_book.move(order, "unknown", now, reason="not_there_yet")
        elif now - order.updated_at >= self._patience.absent_after:
            # It was there once; Bybit forgets orders that were cancelled without a fill.
            order_book.move(order, "cancelled", now, reason="no_longer_known")

    def _note_no_answer(self, order_link_id: str) -> str:
        now = self._clock.now()
        with self._db.begin() as work:
            order = self._locked(work, order_link_id)
            if order.status == "sent" and now - (order.sent_at or now) >= self._patience.in_flight:
                order_book.move(order, "unknown", now, reason="exchange_not_reached")
            self._end_of_patience(work, order, now)
            return order.status

    def _end_of_patience(self, work: UnitOfWork, order: Order, now: datetime) -> None:
        if order.status not in ("sent", "unknown"):
            return
        if now - (order.sent_at or order.created_at) >= self._patience.unknown_bound:
            self._alert(work, order, "unknown", "nobody can say yet whether it was taken; look on Bybit")

    def _alert(self, work: UnitOfWork, order: Order, key: str, what: str) -> None:
        alert(
            work,
            settings=self._settings,
            now=self._clock.now(),
            agent_name=order.agent_name,
            key=f"order-{key}:{order.order_link_id}",
            what=f"Order {order.order_link_id}: {what}.",
            symbol=order.symbol,
        )

    def _locked(self, work: UnitOfWork, order_link_id: str) -> Order:
        order = store.locked_order(work.session, order_link_id)
        if order is None:
            raise LookupError(f"order {order_link_id} has lost its row")
        return order
