"""The stop and target orders that the exchange makes for a position, one of each at most.

They wait untriggered, close the whole position at the market (Full mode), follow its size, are moved
in place when the position's protection is, and go when the position is closed.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from whalestack.simulator.exchange.order import (
    Order,
    OrderSpec,
    OrderType,
    Side,
    Status,
    TimeInForce,
    TriggerBy,
)
from whalestack.simulator.exchange.order_desk import OrderDesk
from whalestack.simulator.exchange.position import Position
from whalestack.simulator.exchange.state import ExchangeState

STOP_LOSS = "StopLoss"
TAKE_PROFIT = "TakeProfit"
CREATE_TYPES = {STOP_LOSS: "CreateByStopLoss", TAKE_PROFIT: "CreateByTakeProfit"}


class ProtectiveOrders:
    """Keeps the waiting orders equal to the positions' protection."""

    def __init__(self, state: ExchangeState, orders: OrderDesk) -> None:
        self._state = state
        self._orders = orders

    def waiting(self, symbol: str) -> dict[str, Order]:
        """The waiting stop and target orders of a position, by their kind."""
        return {
            order.stop_order_type: order
            for order in self._state.book.open_orders(symbol)
            if order.is_child and order.status is Status.UNTRIGGERED
        }

    def sync(self, position: Position, now_ms: int) -> None:
        """Make the waiting stop and target orders say what the position's protection says."""
        waiting = self.waiting(position.symbol)
        firing = self._firing(position.symbol)
        wanted = {STOP_LOSS: position.protection.stop_loss, TAKE_PROFIT: position.protection.take_profit}
        for kind, price in wanted.items():
            child = waiting.get(kind)
            if child is not None and (price is None or child.side is position.side):
                self._orders.cancel(child, now_ms, cancel_type="CancelByTpSlTsClear")
                child = None
            if price is not None and position.is_open and kind not in firing:
                self._put_child(position, kind, price, child, now_ms)

    def _firing(self, symbol: str) -> set[str]:
        """The kinds of which an order is just being filled."""
        orders = self._state.book.open_orders(symbol)
        return {o.stop_order_type for o in orders if o.is_child and o.status is not Status.UNTRIGGERED}

    def _put_child(
        self, position: Position, kind: str, price: Decimal, child: Order | None, now_ms: int
    ) -> None:
        if child is None:
            self._orders.accept(self._new_child(position, kind, price, now_ms))
            return
        if child.spec.trigger_price == price and child.qty == position.size:
            return
        child.spec = replace(child.spec, trigger_price=price)
        child.qty, child.updated_ms = position.size, now_ms
        self._orders.tell(child)

    def _new_child(self, position: Position, kind: str, price: Decimal, now_ms: int) -> Order:
        side = Side.SELL if position.signed > 0 else Side.BUY
        rises = (kind == TAKE_PROFIT) == (side is Side.SELL)
        by = position.protection.target_by if kind == TAKE_PROFIT else position.protection.stop_by
        spec = OrderSpec(
            symbol=position.symbol,
            side=side,
            order_type=OrderType.MARKET,
            qty=position.size,
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
            close_on_trigger=True,
            trigger_price=price,
            trigger_direction=1 if rises else 2,
            trigger_by=TriggerBy(by),
        )
        last = self._state.quote(position.symbol).last
        child = Order(self._state.new_id(), spec, now_ms, now_ms, last, Status.UNTRIGGERED, position.size)
        child.stop_order_type, child.create_type = kind, CREATE_TYPES[kind]
        opener = self._state.book.find(link_id=position.opened_by)
        child.parent_link_id = "" if opener is None else opener.link_id
        return child
