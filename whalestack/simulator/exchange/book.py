"""Every order, open or closed, by exchange id and by link id."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from whalestack.simulator.exchange.order import Order
from whalestack.simulator.exchange.refusals import DUPLICATE_LINK_ID, Refused

RECENT_CLOSED = 500


class OrderBook:
    """The account's orders. A link id stays reserved for ever, also after its order is gone."""

    def __init__(self) -> None:
        self._by_id: dict[str, Order] = {}
        self._by_link_id: dict[str, Order] = {}
        self._open: dict[str, dict[str, Order]] = {}
        self._closed: list[Order] = []

    def reserve_check(self, link_id: str) -> None:
        """Refuse a link id that was used before (110072)."""
        if link_id and link_id in self._by_link_id:
            raise Refused(DUPLICATE_LINK_ID, "OrderLinkedID is duplicate")

    def add(self, order: Order) -> None:
        """Take an order in.

        Raises:
            Refused: its link id has been used; the last line of defence.
        """
        self.reserve_check(order.link_id)
        self._by_id[order.order_id] = order
        if order.link_id:
            self._by_link_id[order.link_id] = order
        self._open.setdefault(order.symbol, {})[order.order_id] = order

    def close(self, order: Order, now_ms: int) -> None:
        """Move a finished order to the history, once."""
        if self._open.get(order.symbol, {}).pop(order.order_id, None) is not None:
            order.closed_ms = now_ms
            self._closed.append(order)

    def find(self, *, order_id: str = "", link_id: str = "") -> Order | None:
        """The order of an id; the exchange's id wins when both are given."""
        return self._by_id.get(order_id) if order_id else self._by_link_id.get(link_id)

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Open orders in the order of their arrival, children of positions included."""
        if symbol is not None:
            return list(self._open.get(symbol, {}).values())
        return [order for orders in self._open.values() for order in orders.values()]

    def symbols(self) -> list[str]:
        """Symbols with open orders."""
        return [symbol for symbol, orders in self._open.items() if orders]

    def has_open(self, symbol: str) -> bool:
        """Whether the symbol has any open order; cheap, asked for every tick."""
        return bool(self._open.get(symbol))

    def closed_orders(self) -> Iterator[Order]:
        """Finished orders, those that ended last first."""
        return reversed(self._closed)

    def recently_closed(self) -> list[Order]:
        """The last 500 finished orders, newest first."""
        return list(islice(self.closed_orders(), RECENT_CLOSED))
