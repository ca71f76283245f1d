"""Cancelling orders: several by batch, one by itself, each with a fate of its own.

taken                            Bybit will cancel it; the stream or the poll says so
filled or cancelled already      no error: it is asked about by who wants to know
refused by the rate limit        sent again in the next second
anything else                    failed; cancelling again is harmless, and the next run does it
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from whalestack.clients.bybit.batch import BATCHED_PER_SECOND, QUOTA_RETURNS_REAL_S
from whalestack.clients.bybit.errors import BybitRateLimited, BybitRefused, OrderNotFound
from whalestack.clients.bybit.port import BatchResult, ExchangePort
from whalestack.clients.bybit.types import NamedOrder, OrderAck
from whalestack.errors import WhalestackError

log = structlog.get_logger(__name__)

MORE_ROUNDS = 3


@dataclass
class Cancelled:
    """What became of each order, by our ids: cancelled, gone before, or still there."""

    taken: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class OrderCanceller:
    """Cancels.

    Args:
        exchange: where orders are.
        sleep: waits real seconds for the next quota.
    """

    def __init__(self, *, exchange: ExchangePort, sleep: Callable[[float], None] = time.sleep) -> None:
        self._exchange = exchange
        self._sleep = sleep

    def cancel(self, orders: Sequence[NamedOrder]) -> Cancelled:
        """Cancel orders, ten a second at most, of whatever coins; raises nothing of the exchange's."""
        found = Cancelled()
        waiting = deque(orders)
        rounds = -(-len(orders) // BATCHED_PER_SECOND) + MORE_ROUNDS
        for number in range(rounds):
            if not waiting:
                return found
            if number:
                self._sleep(QUOTA_RETURNS_REAL_S)
            batch = [waiting.popleft() for _ in range(min(BATCHED_PER_SECOND, len(waiting)))]
            waiting.extendleft(reversed(self._cancel_some(batch, found)))
        found.failed += [each.order_link_id for each in waiting]
        return found

    def _cancel_some(self, batch: Sequence[NamedOrder], found: Cancelled) -> list[NamedOrder]:
        """Send one batch; those that the rate limit did not let through."""
        if len(batch) == 1:
            return self._cancel_one(batch[0], found)
        try:
            results = self._exchange.cancel_batch(batch)
        except BybitRateLimited:
            return list(batch)
        except BybitRefused as refusal:
            log.warning("cancel_batch_refused", orders=len(batch), code=refusal.code)
            return [each for order in batch for each in self._cancel_one(order, found)]
        except WhalestackError as error:
            log.warning("cancel_failed", orders=len(batch), error=type(error).__name__)
            found.failed += [order.order_link_id for order in batch]
            return []
        pairs = zip(batch, results, strict=True)
        return [order for order, result in pairs if not _take_in(order, result, found)]

    def _cancel_one(self, order: NamedOrder, found: Cancelled) -> list[NamedOrder]:
        try:
            self._exchange.cancel(order.symbol, order.order_link_id)
        except BybitRateLimited:
            return [order]
        except OrderNotFound:
            found.gone.append(order.order_link_id)
        except WhalestackError as error:
            log.warning("cancel_failed", order_link_id=order.order_link_id, error=type(error).__name__)
            found.failed.append(order.order_link_id)
        else:
            found.taken.append(order.order_link_id)
        return []


def _take_in(order: NamedOrder, result: BatchResult, found: Cancelled) -> bool:
    """Note one member's answer; False where it has to be sent again."""
    match result:
        case OrderAck():
            found.taken.append(order.order_link_id)
        case BybitRateLimited():
            return False
        case OrderNotFound():
            found.gone.append(order.order_link_id)
        case _:
            log.warning("cancel_failed", order_link_id=order.order_link_id, error=str(result))
            found.failed.append(order.order_link_id)
    return True
