"""Sending orders that the database already holds; with `ladder_sender` the only place from which they leave.

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
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from whalestack.agents.kill_switch import KillSwitch
from whalestack.agents.ladder_sender import LadderSender
from whalestack.agents.order_asker import OrderAsker
from whalestack.agents.patience import Patience
from whalestack.agents.send_preparation import SendPreparation
from whalestack.agents.send_rows import SendRows, request_of
from whalestack.clients.bybit.errors import BybitRefused, DuplicateOrder
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import OrderRequest
from whalestack.clock import Clock
from whalestack.config import Settings
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
        self._exchange = exchange
        self._clock = clock
        self._asker = asker
        self._sleep = sleep
        self._rows = SendRows(db=db, settings=settings, clock=clock)
        self._preparation = SendPreparation(
            exchange=exchange, settings=settings, clock=clock, kill_switch=kill_switch
        )
        self._patience = Patience.from_settings(settings, clock)
        self._ladders = LadderSender(
            exchange=exchange,
            clock=clock,
            patience=self._patience,
            rows=self._rows,
            preparation=self._preparation,
            asker=asker,
            sleep=sleep,
        )

    def send_plan(self, plan: TradePlan, orders: Sequence[Order]) -> tuple[str, ...]:
        """Send the intents of one plan, several by batch, and ask about its orders that left before.

        Args:
            plan: with its numbers.
            orders: of it, as they were read a moment ago; whoever sends one locks its row first.

        Returns:
            Each order's status afterwards.

        Raises:
            TryAgain: as `send`.
        """
        intents = [order.order_link_id for order in orders if order.status == "intent"]
        if len(intents) < 2:
            return tuple(self._send(order, plan) for order in orders)
        sent = dict(zip(intents, self._ladders.send(intents), strict=True))
        return tuple(sent.get(order.order_link_id) or self._send(order, plan) for order in orders)

    def send(self, order_link_id: str) -> str:
        """Send an intent, or find out what became of an order that may have been sent before.

        Returns:
            The order's status afterwards.

        Raises:
            TryAgain: nothing was sent because the exchange or a store is away; the row is
                still an intent.
        """
        return self._send(*self._rows.load(order_link_id))

    def _send(self, order: Order, plan: TradePlan | None) -> str:
        order_link_id = order.order_link_id
        if order.status in ("sent", "unknown"):
            return self._asker.ask(order_link_id)
        if order.status != "intent":
            return order.status
        obstacle = self._preparation.obstacle(order)
        if obstacle is None:
            obstacle = self._preparation.set_leverage(order, plan)
        if obstacle is not None:
            return self._rows.refuse(order_link_id, obstacle)
        sent_at = self._mark_sent(order_link_id)
        if sent_at is None:
            return "sent"  # another worker is sending it at this moment
        return self._place(request_of(order), sent_at)

    def _mark_sent(self, order_link_id: str) -> datetime | None:
        """Commit that the order is being sent; a moment for the one caller that may send it."""
        sent_at = self._clock.now()
        return sent_at if self._rows.mark_sent([order_link_id], sent_at) else None

    def _place(self, request: OrderRequest, sent_at: datetime) -> str:
        """Send, and again only where the error's class says that it had no effect.

        Never later than `place_within`: a worker that was frozen after its commit wakes up in a
        world that may have declared the order absent.
        """
        for _ in range(MAX_ATTEMPTS):
            if self._clock.now() - sent_at > self._patience.place_within:
                return self._rows.reject(request.order_link_id, reason="too_late_to_place", code=None)
            try:
                return self._rows.accept(self._exchange.place(request))
            except DuplicateOrder:
                # An order with this id is there: ours, or one from before this database.
                return self._asker.ask(request.order_link_id)
            except UnknownOutcome as error:
                self._rows.record(request.order_link_id, "unknown", reason=type(error).__name__)
                return self._asker.ask(request.order_link_id)
            except TryAgain as error:
                # The row stays `sent`: a crash in the wait is a send without an answer.
                wait_s = error.retry_after_s if error.retry_after_s is not None else 1.0
                if wait_s > LONGEST_WAIT_REAL_S:
                    return self._rows.reject(request.order_link_id, reason=type(error).__name__, code=None)
                self._sleep(wait_s)
            except BybitRefused as refusal:
                return self._rows.reject(request.order_link_id, reason=str(refusal), code=refusal.code)
            except (GiveUp, StopAndTell) as error:
                return self._rows.reject(request.order_link_id, reason=type(error).__name__, code=None)
        return self._rows.reject(request.order_link_id, reason="no_attempt_was_taken", code=None)
