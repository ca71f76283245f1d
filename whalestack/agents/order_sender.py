"""Sending one order that the database already holds. The only place from which orders leave.

The life of a send, and what covers a crash at each point:

    row is `intent`, committed       nothing was sent; a sweep sends it, or refuses it when too old
    leverage is set                  the same: setting it again is harmless
    row is `sent`, committed         from here nobody ever sends it again, whatever happens
    request leaves, Bybit takes it   the row says `sent`: the poll asks Bybit by its id
    answer arrives                   the same
    answer is committed              done; the stream and the poll tell the rest

So an order is sent at most once by us, and if two workers ever did send, both requests carry
the same id and Bybit refuses the second (110072).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import structlog

from whalestack.agents import order_book, plan_rows
from whalestack.agents.kill_switch import KillSwitch
from whalestack.agents.order_asker import OrderAsker
from whalestack.agents.patience import Patience
from whalestack.clients.bybit.errors import BybitRefused, DuplicateOrder
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import OrderAck, OrderRequest, Side
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.models import Order, TradePlan
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 3
LONGEST_WAIT_REAL_S = 2.0


class OrderSender:
    """Sends intents.

    Args:
        db: of this process.
        exchange: where orders go.
        settings: how old an intent may be, and who hears of a refusal.
        clock: market time.
        kill_switch: asked in the last moment before an entry is sent.
        asker: finds out what became of a send without an answer.
        sleep: waits real seconds before a send that was rate-limited is made.
    """

    def __init__(
        self,
        *,
        db: Database,
        exchange: ExchangePort,
        settings: Settings,
        clock: Clock,
        kill_switch: KillSwitch,
        asker: OrderAsker,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._kill_switch = kill_switch
        self._asker = asker
        self._sleep = sleep
        self._patience = Patience.from_settings(settings, clock)

    def send(self, order_link_id: str) -> str:
        """Send an intent, or find out what became of an order that may have been sent before.

        Returns:
            The order's status afterwards.

        Raises:
            TryAgain: nothing was sent because the exchange or a store is away; the row is
                still an intent.
        """
        order, plan = self._load(order_link_id)
        if order.status in ("sent", "unknown"):
            return self._asker.ask(order_link_id)
        if order.status != "intent":
            return order.status
        obstacle = self._obstacle(order)
        if obstacle is None:
            obstacle = self._set_leverage(order, plan)
        if obstacle is not None:
            return self._refuse(order_link_id, obstacle)
        sent_at = self._mark_sent(order_link_id)
        if sent_at is None:
            return "sent"  # another worker is sending it at this moment
        return self._place(_request(order), sent_at)

    def _load(self, order_link_id: str) -> tuple[Order, TradePlan | None]:
        with self._db.begin() as work:
            order = work.session.get_one(Order, order_link_id)
            plan = work.session.get(TradePlan, order.plan_id) if order.plan_id is not None else None
        return order, plan

    def _obstacle(self, order: Order) -> str | None:
        if self._clock.now() - order.created_at > self._patience.send_within:
            return "too_old_to_send"
        if not order.reduce_only and self._kill_switch.state().is_on:
            return "kill_switch"
        return None

    def _set_leverage(self, order: Order, plan: TradePlan | None) -> str | None:
        if order.reduce_only or plan is None or plan.leverage is None:
            return None
        try:
            self._exchange.set_leverage(order.symbol, plan.leverage)
        except UnknownOutcome as error:
            raise TryAgain(f"{order.symbol}: leverage may not be set yet") from error
        except BybitRefused as refusal:
            log.warning("leverage_refused", symbol=order.symbol, code=refusal.code)
            return f"leverage_refused_{refusal.code}"
        return None

    def _mark_sent(self, order_link_id: str) -> datetime | None:
        """Commit that the order is being sent; a moment for the one caller that may send it."""
        with self._db.begin() as work:
            order = store.locked_order(work.session, order_link_id)
            if order is None or order.status != "intent":
                return None
            now = self._clock.now()
            order.sent_at, order.attempts = now, order.attempts + 1
            order_book.move(order, "sent", now)
            return now

    def _place(self, request: OrderRequest, sent_at: datetime) -> str:
        """Send, and again only where the error's class says that it had no effect.

        Never later than `place_within`: a worker that was frozen after its commit wakes up in a
        world that may have declared the order absent.
        """
        for _ in range(MAX_ATTEMPTS):
            if self._clock.now() - sent_at > self._patience.place_within:
                return self._reject(request, reason="too_late_to_place", code=None)
            try:
                return self._accept(self._exchange.place(request))
            except DuplicateOrder:
                # An order with this id is there: ours, or one from before this database.
                return self._asker.ask(request.order_link_id)
            except UnknownOutcome as error:
                self._record(request.order_link_id, "unknown", reason=type(error).__name__)
                return self._asker.ask(request.order_link_id)
            except TryAgain as error:
                # The row stays `sent`: a crash in the wait is a send without an answer.
                wait_s = error.retry_after_s if error.retry_after_s is not None else 1.0
                if wait_s > LONGEST_WAIT_REAL_S:
                    return self._reject(request, reason=type(error).__name__, code=None)
                self._sleep(wait_s)
            except BybitRefused as refusal:
                return self._reject(request, reason=str(refusal), code=refusal.code)
            except (GiveUp, StopAndTell) as error:
                return self._reject(request, reason=type(error).__name__, code=None)
        return self._reject(request, reason="no_attempt_was_taken", code=None)

    def _accept(self, ack: OrderAck) -> str:
        log.info("order_accepted", order_link_id=ack.order_link_id)
        return self._record(ack.order_link_id, "new", exchange_order_id=ack.exchange_order_id)

    def _reject(self, request: OrderRequest, *, reason: str, code: int | None) -> str:
        log.warning("order_rejected", order_link_id=request.order_link_id, code=code, reason=reason)
        return self._record(request.order_link_id, "rejected", reason=reason, code=code)

    def _refuse(self, order_link_id: str, reason: str) -> str:
        log.warning("order_not_sent", order_link_id=order_link_id, reason=reason)
        return self._record(order_link_id, "refused", reason=reason)

    def _record(
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


def _request(order: Order) -> OrderRequest:
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
