"""Sending the rungs of a ladder, by batches. What covers a crash is what covers a single order's.

All rungs are marked as sent in one commit before the first batch leaves, so from there nobody
else sends any of them. Each rung then has a fate of its own:

    taken                          new
    refused                        rejected; the others stand
    refused by the rate limit      sent again in the next second: it had no effect
    no answer, for one or for all  unknown; asked about by its own id
    the time is over               rejected: a rung that was never taken

The ladder is whole or it is not; what stands is protected, because every rung carries the stop
of the whole position, and the loss of a part is smaller than that of the whole.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import structlog

from whalestack.agents.order_asker import OrderAsker
from whalestack.agents.patience import Patience
from whalestack.agents.send_preparation import SendPreparation
from whalestack.agents.send_rows import SendRows, request_of
from whalestack.clients.bybit.batch import BATCHED_PER_SECOND, QUOTA_RETURNS_REAL_S
from whalestack.clients.bybit.errors import (
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    DuplicateOrder,
)
from whalestack.clients.bybit.port import BatchResult, ExchangePort
from whalestack.clients.bybit.types import OrderAck
from whalestack.clock import Clock
from whalestack.db.models import Order
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome

log = structlog.get_logger(__name__)

LONGEST_WAIT_REAL_S = 2.0
MAX_ROUNDS = 6


class LadderSender:
    """Sends the intents of one plan.

    Args:
        exchange: where orders go.
        clock: market time.
        patience: how long a send may take.
        rows: where answers are written.
        preparation: the last looks before the send, and the kill switch between two batches.
        asker: finds out what became of a rung without an answer.
        sleep: waits real seconds for the next quota.
    """

    def __init__(
        self,
        *,
        exchange: ExchangePort,
        clock: Clock,
        patience: Patience,
        rows: SendRows,
        preparation: SendPreparation,
        asker: OrderAsker,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._patience = patience
        self._rows = rows
        self._preparation = preparation
        self._asker = asker
        self._sleep = sleep

    def send(self, order_link_ids: Sequence[str]) -> tuple[str, ...]:
        """Send intents of one plan, nearest rung first.

        Returns:
            Each one's status afterwards.

        Raises:
            TryAgain: nothing was sent because the exchange or a store is away; the rows are still
                intents.
        """
        first, plan = self._rows.load(order_link_ids[0])
        obstacle = self._preparation.obstacle(first) or self._preparation.set_leverage(first, plan)
        if obstacle is not None:
            return tuple(self._rows.refuse(each, obstacle) for each in order_link_ids)
        sent_at = self._clock.now()
        mine = self._rows.mark_sent(order_link_ids, sent_at)
        self._send_all([self._rows.load(each)[0] for each in mine], sent_at)
        return tuple(self._rows.load(each)[0].status for each in order_link_ids)

    def _send_all(self, orders: Sequence[Order], sent_at: datetime) -> None:
        """Batch after batch, as the quota allows, until every rung has its answer."""
        waiting = deque(orders)
        for wait_s in self._rounds(waiting):
            if wait_s > 0:
                self._sleep(wait_s)
            obstacle = self._obstacle(waiting[0], sent_at)
            if obstacle is not None:
                return self._reject_all(waiting, obstacle)
            batch = [waiting.popleft() for _ in range(min(BATCHED_PER_SECOND, len(waiting)))]
            # What the quota did not let through keeps its place: the nearest rung goes first.
            waiting.extendleft(reversed(self._send_batch(batch)))
        return self._reject_all(waiting, "no_attempt_was_taken")

    def _rounds(self, waiting: deque[Order]) -> Iterator[float]:
        """The wait before each round, real seconds, while there is something to send."""
        for number in range(MAX_ROUNDS):
            if not waiting:
                return
            yield QUOTA_RETURNS_REAL_S if number else 0.0

    def _obstacle(self, order: Order, sent_at: datetime) -> str | None:
        """A worker that was frozen wakes up in a world that may have declared its orders absent."""
        if self._clock.now() - sent_at > self._patience.place_within:
            return "too_late_to_place"
        return self._preparation.kill_obstacle(order)

    def _send_batch(self, batch: Sequence[Order]) -> list[Order]:
        """Send one batch, once; the rungs that had no effect and may be sent again."""
        try:
            results = self._exchange.place_batch([request_of(order) for order in batch])
        except UnknownOutcome as error:
            self._ask_all(batch, type(error).__name__)
            return []
        except TryAgain as error:
            if error.retry_after_s is not None and error.retry_after_s > LONGEST_WAIT_REAL_S:
                self._reject_all(batch, type(error).__name__)
                return []
            return list(batch)
        except BybitRefused as refusal:
            self._reject_all(batch, str(refusal), refusal.code)
            return []
        except (GiveUp, StopAndTell) as error:
            self._reject_all(batch, type(error).__name__)
            return []
        return self._take_in(batch, results)

    def _take_in(self, batch: Sequence[Order], results: Sequence[BatchResult]) -> list[Order]:
        """Write every clear answer first, then ask about what is unclear."""
        again: list[Order] = []
        unclear: list[Order] = []
        for order, result in zip(batch, results, strict=True):
            match result:
                case OrderAck():
                    self._rows.accept(result)
                case BybitRateLimited():
                    again.append(order)
                case DuplicateOrder() | BybitOutcomeUnknown():
                    unclear.append(order)
                case BybitRefused():
                    self._rows.reject(order.order_link_id, reason=str(result), code=result.code)
        self._ask_all(unclear, "no_clear_answer")
        return again

    def _ask_all(self, orders: Sequence[Order], reason: str) -> None:
        for order in orders:
            self._rows.record(order.order_link_id, "unknown", reason=reason)
        for order in orders:
            self._asker.ask(order.order_link_id)

    def _reject_all(self, orders: Sequence[Order], reason: str, code: int | None = None) -> None:
        for order in orders:
            self._rows.reject(order.order_link_id, reason=reason, code=code)
