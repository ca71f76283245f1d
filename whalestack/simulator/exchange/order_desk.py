"""What happens to an order besides filling: taken in, ended, triggered, cut; and told of."""

from __future__ import annotations

from whalestack.simulator.exchange.event_log import Kind
from whalestack.simulator.exchange.order import Order, Status
from whalestack.simulator.exchange.position import Position
from whalestack.simulator.exchange.state import ExchangeState
from whalestack.simulator.exchange.wire import order_stream_row


class OrderDesk:
    """Changes orders, records it, and tells the private stream."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state

    def accept(self, order: Order) -> None:
        """Take an order in and tell of it."""
        self._state.book.add(order)
        if not order.is_child:
            self._state.log.order_accepted(order, order.created_ms)
        self.tell(order)

    def cancel(self, order: Order, now_ms: int, *, cancel_type: str, reason: str = "EC_NoError") -> None:
        """End an open order; what it has filled stays filled."""
        order.status = Status.DEACTIVATED if order.status is Status.UNTRIGGERED else Status.CANCELLED
        order.cancel_type, order.reject_reason, order.updated_ms = cancel_type, reason, now_ms
        self._state.book.close(order, now_ms)
        if not order.is_child:
            self._state.log.order_event(Kind.ORDER_CANCELLED, order, now_ms)
        self.tell(order)

    def trigger(self, order: Order, now_ms: int) -> None:
        """An untriggered order's price was reached."""
        order.status, order.updated_ms = Status.TRIGGERED, now_ms
        self._state.log.order_event(Kind.TRIGGERED, order, now_ms)
        self.tell(order)

    def cut_reduce_only(self, position: Position, now_ms: int) -> None:
        """Waiting reduce-only orders never exceed the position: Bybit cuts or cancels them."""
        for order in self._state.book.open_orders(position.symbol):
            if not order.spec.reduce_only or order.is_child or order.status is Status.UNTRIGGERED:
                continue
            closable = position.closing_part(order.side, order.leaves_qty)
            if closable <= 0:
                self.cancel(order, now_ms, cancel_type="CancelByReduceOnly")
            elif closable < order.leaves_qty:
                order.qty = order.filled_qty + closable
                self.tell(order)

    def tell(self, order: Order) -> None:
        """Send the order's row."""
        self._state.tell("order", lambda: order_stream_row(order))
