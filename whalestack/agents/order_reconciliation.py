"""Orders on both sides: what the exchange has open and we do not, and what we wrote and never sent."""

from __future__ import annotations

import structlog

from whalestack.agents.alerts import alert
from whalestack.agents.order_ids import parse_link_id
from whalestack.agents.order_sender import OrderSender
from whalestack.clients.bybit.errors import OrderNotFound
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import OrderState
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.models import Order
from whalestack.db.order_states import UNFINISHED
from whalestack.errors import WhalestackError

log = structlog.get_logger(__name__)

AGENT_NAME = "reconciler"


class OrderReconciliation:
    """Compares open orders.

    Args:
        db: of this process.
        exchange: the other side.
        settings: who is told.
        clock: market time.
        sender: finishes exits that a crash left unsent, or refuses them.
    """

    def __init__(
        self, *, db: Database, exchange: ExchangePort, settings: Settings, clock: Clock, sender: OrderSender
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._sender = sender

    def run(self) -> tuple[str, ...]:
        """Compare; the caller has polled just before, so rows are as new as can be.

        Returns:
            A sentence for each difference.
        """
        found = [self._look(order) for order in self._exchange.open_orders() if _is_an_entry_of_ours(order)]
        self._finish_exits()
        return tuple(sentence for sentence in found if sentence is not None)

    def _look(self, order: OrderState) -> str | None:
        with self._db.begin() as work:
            row = work.session.get(Order, order.order_link_id)
        if row is None:
            # Its id is of our making but no row tells of it: another database trades this account.
            return self._report(order, "is open on Bybit and no row of ours knows it")
        if row.status not in UNFINISHED:
            # It was given up here, or ended, and is open there: nobody is waiting for it any more.
            return self._cancel(order, row.status)
        return None

    def _cancel(self, order: OrderState, status: str) -> str:
        try:
            self._exchange.cancel(order.symbol, order.order_link_id)
        except OrderNotFound:
            return f"{order.order_link_id} was {status} here and has just ended there"
        except WhalestackError as error:
            log.warning("cancel_failed", order_link_id=order.order_link_id, error=str(error))
        return self._report(order, f"is {status} here and open on Bybit; it is being cancelled")

    def _report(self, order: OrderState, what: str) -> str:
        sentence = f"Order {order.order_link_id} {what}"
        now = self._clock.now()
        with self._db.begin() as work:
            alert(
                work,
                settings=self._settings,
                now=now,
                agent_name=AGENT_NAME,
                key=f"order-difference:{order.order_link_id}",
                what=f"{sentence}.",
                symbol=order.symbol,
            )
        return sentence

    def _finish_exits(self) -> None:
        """Exits that were written and never sent: sent now while young, refused when old."""
        with self._db.begin() as work:
            exits = [order for order in store.orders_in(work.session, ("intent",)) if order.reduce_only]
        for order in exits:
            self._sender.send(order.order_link_id)


def _is_an_entry_of_ours(order: OrderState) -> bool:
    return (
        not order.reduce_only and not order.stop_order_type and parse_link_id(order.order_link_id) is not None
    )
