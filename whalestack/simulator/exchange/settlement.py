"""Books what happens to orders: fills, cancels, and the stop and target orders of positions.

A fill is booked in one step: position, stop, wallet, order and record change together, so there is
no moment at which a position of an order with a stop exists without it.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from whalestack.simulator.exchange.event_log import Kind
from whalestack.simulator.exchange.order import (
    ZERO,
    ClosedPnl,
    Execution,
    Order,
    OrderSpec,
    OrderType,
    Protection,
    Side,
    Status,
    TimeInForce,
    TriggerBy,
)
from whalestack.simulator.exchange.position import FillEffect, Position
from whalestack.simulator.exchange.state import ExchangeState
from whalestack.simulator.exchange.wire import (
    execution_stream_row,
    order_stream_row,
    position_stream_row,
    wallet_row,
)

STOP_LOSS = "StopLoss"
TAKE_PROFIT = "TakeProfit"
CREATE_TYPES = {STOP_LOSS: "CreateByStopLoss", TAKE_PROFIT: "CreateByTakeProfit"}


class Settlement:
    """Changes the exchange's state, keeps its record, and tells the private stream."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state

    # --- orders ------------------------------------------------------------------------

    def accept(self, order: Order) -> None:
        """Take an order in and tell of it."""
        self._state.book.add(order)
        if not order.is_child:
            self._state.log.order_accepted(order, order.created_ms)
        self._tell_order(order)

    def cancel(self, order: Order, now_ms: int, *, cancel_type: str, reason: str = "EC_NoError") -> None:
        """End an open order; what it has filled stays filled."""
        order.status = Status.DEACTIVATED if order.status is Status.UNTRIGGERED else Status.CANCELLED
        order.cancel_type, order.reject_reason, order.updated_ms = cancel_type, reason, now_ms
        self._state.book.close(order, now_ms)
        if not order.is_child:
            self._state.log.order_event(Kind.ORDER_CANCELLED, order, now_ms)
        self._tell_order(order)

    def amended(self, order: Order) -> None:
        """Tell of an order that was changed in place."""
        self._tell_order(order)

    def trigger(self, order: Order, now_ms: int) -> None:
        """An untriggered order's price was reached."""
        order.status, order.updated_ms = Status.TRIGGERED, now_ms
        self._state.log.order_event(Kind.TRIGGERED, order, now_ms)
        self._tell_order(order)

    # --- fills --------------------------------------------------------------------------

    def fill(
        self,
        order: Order,
        price: Decimal,
        qty: Decimal,
        now_ms: int,
        *,
        is_maker: bool,
        exec_type: str = "Trade",
    ) -> Decimal:
        """Fill an order, whole or in part.

        Args:
            order: an open order.
            price: USDT.
            qty: base coins; cut to the position for a reduce-only order.
            now_ms: market time.
            is_maker: whether it waited in the book.
            exec_type: Trade or BustTrade.

        Returns:
            The quantity that filled; 0 when a reduce-only order found nothing to reduce.
        """
        state, position = self._state, self._state.position(order.symbol)
        qty = min(qty, position.closing_part(order.side, qty)) if order.spec.reduce_only else qty
        if qty <= 0:
            return ZERO
        before, stops_before = position.signed, position.protection
        rate = state.fees.maker if is_maker else state.fees.taker
        fee = price * qty * rate
        effect = position.apply_fill(order.side, qty, price, fee)
        state.account.book(effect.realised - fee)
        self._book_on_order(order, price, qty, fee, now_ms)
        self._carry_protection(order, position, before, now_ms)
        close_fee = fee * effect.closed_qty / qty
        pnl = effect.realised - effect.open_fee - close_fee - effect.funding
        execution = self._execution(order, price, qty, fee, rate, is_maker, exec_type, effect, pnl, now_ms)
        self._book_closed_pnl(execution, effect, close_fee)
        self._record_and_tell(execution, position, before, stops_before)
        return qty

    def charge_funding(self, position: Position, rate: Decimal, mark: Decimal, now_ms: int) -> None:
        """Funding of one interval: a long pays size * mark * rate (rate a fraction), a short receives it."""
        state = self._state
        if position.side is None:
            return
        amount = position.signed * mark * rate
        position.pay_funding(amount)
        position.updated_ms, position.seq = now_ms, state.next_seq()
        state.account.book(-amount)
        spec = OrderSpec(position.symbol, position.side, OrderType.MARKET, position.size)
        order = Order(state.new_id(), spec, now_ms, now_ms, mark, Status.FILLED, position.size)
        order.create_type = "UNKNOWN"
        no_effect = FillEffect(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)
        execution = self._execution(
            order, mark, position.size, amount, rate, False, "Funding", no_effect, ZERO, now_ms
        )
        state.log.add(Kind.FUNDING, now_ms, position.symbol, amount=format(amount, "f"))
        state.tell("execution", execution_stream_row(execution))
        self.tell_position(position)
        self.tell_wallet()

    # --- stops and targets -----------------------------------------------------------------

    def set_protection(self, position: Position, protection: Protection, now_ms: int) -> None:
        """Put other stops on an open position, in place: one step, the old ones hold until then."""
        before = position.protection
        position.protection, position.updated_ms = protection, now_ms
        position.protected_ms = now_ms
        position.seq = self._state.next_seq()
        self._state.log.stops(position, before, now_ms)
        self._sync_children(position, now_ms)
        self.tell_position(position)

    def children(self, symbol: str) -> dict[str, Order]:
        """The waiting stop and target orders of a position, by their kind."""
        return {
            order.stop_order_type: order
            for order in self._state.book.open_orders(symbol)
            if order.is_child and order.status is Status.UNTRIGGERED
        }

    def tell_position(self, position: Position) -> None:
        """Send the position's row; Bybit sends it also when nothing in it has changed."""
        state = self._state
        marked, price = state.marked(position), state.liquidation_price(position)
        state.tell("position", position_stream_row(marked, price, state.bankruptcy_price(position)))

    def tell_wallet(self) -> None:
        """Send the account's row."""
        state = self._state
        state.tell("wallet", wallet_row(state.margin(), state.account.realised_ever))

    # --- the parts of a fill -----------------------------------------------------------------

    def _book_on_order(self, order: Order, price: Decimal, qty: Decimal, fee: Decimal, now_ms: int) -> None:
        order.filled_qty += qty
        order.filled_value += price * qty
        order.fee += fee
        order.fill_count += 1
        order.updated_ms = now_ms
        if order.filled_qty >= order.qty:
            order.status = Status.FILLED
            self._state.book.close(order, now_ms)
        else:
            order.status = Status.PARTIALLY_FILLED

    def _carry_protection(self, order: Order, position: Position, before: Decimal, now_ms: int) -> None:
        """Give the position the order's stop and target with the order's first fill.

        Later fills of the same order leave them alone, because they may have been moved since.
        """
        position.updated_ms, position.seq = now_ms, self._state.next_seq()
        opens_anew = position.is_open and before * position.signed <= 0
        if opens_anew:
            self._begin(position, order, now_ms)
        elif not position.is_open:
            position.protection = Protection()
        elif abs(position.signed) > abs(before) and order.fill_count == 1:
            position.protection = merged(position.protection, order.protection)
        if position.protection.stop_loss is None and abs(position.signed) > abs(before):
            position.protection = merged(position.protection, order.protection)
        self._state.follow_mark(position.symbol, follow=position.is_open)

    def _begin(self, position: Position, order: Order, now_ms: int) -> None:
        position.leverage = self._state.leverage(position.symbol)
        position.protection = order.protection
        position.opened_by = order.link_id or order.order_id
        position.opened_ms = position.protected_ms = now_ms
        position.created_ms = position.created_ms or now_ms
        interval_ms = self._state.rules(position.symbol).funding_interval_min * 60_000
        position.funding_slot = now_ms // interval_ms

    def _execution(
        self,
        order: Order,
        price: Decimal,
        qty: Decimal,
        fee: Decimal,
        rate: Decimal,
        is_maker: bool,
        exec_type: str,
        effect: FillEffect,
        pnl: Decimal,
        now_ms: int,
    ) -> Execution:
        state = self._state
        execution = Execution(
            exec_id=state.new_id(),
            exec_type=exec_type,
            order=order,
            symbol=order.symbol,
            side=order.side,
            price=price,
            qty=qty,
            fee=fee,
            fee_rate=rate,
            is_maker=is_maker,
            closed_qty=effect.closed_qty,
            leaves_qty=order.leaves_qty,
            mark_price=state.mark(order.symbol),
            pnl=pnl if effect.closed_qty else ZERO,
            executed_ms=now_ms,
            seq=state.next_seq(),
        )
        state.executions.append(execution)
        return execution

    def _book_closed_pnl(self, execution: Execution, effect: FillEffect, close_fee: Decimal) -> None:
        if not effect.closed_qty:
            return
        order, now_ms = execution.order, execution.executed_ms
        order.closed_pnl += execution.pnl
        closed = self._state.closed_pnl.get(order.order_id)
        if closed is None:
            closed = ClosedPnl(order, self._state.leverage(order.symbol), now_ms, now_ms)
            self._state.closed_pnl[order.order_id] = closed
        closed.updated_ms, closed.exec_type = now_ms, execution.exec_type
        closed.qty += effect.closed_qty
        closed.entry_value += effect.entry_value
        closed.exit_value += execution.price * effect.closed_qty
        closed.pnl += execution.pnl
        closed.open_fee += effect.open_fee
        closed.close_fee += close_fee
        closed.fill_count += 1

    def _record_and_tell(
        self, execution: Execution, position: Position, before: Decimal, stops_before: Protection
    ) -> None:
        state, now_ms = self._state, execution.executed_ms
        state.log.fill(execution, now_ms)
        state.log.position(position, before, now_ms)
        opened = position.is_open and before * position.signed <= 0
        if position.is_open:
            state.log.stops(position, Protection() if opened else stops_before, now_ms)
        if not execution.order.is_open:
            state.log.order_event(Kind.ORDER_FILLED, execution.order, now_ms)
        state.tell("execution", execution_stream_row(execution))
        self._tell_order(execution.order)
        self._sync_children(position, now_ms)
        self._cut_reduce_only(position, now_ms)
        self.tell_position(position)
        self.tell_wallet()

    # --- the stop and target orders that the exchange makes ----------------------------------------

    def _sync_children(self, position: Position, now_ms: int) -> None:
        """Make the waiting stop and target orders say what the position's protection says."""
        waiting = self.children(position.symbol)
        firing = self._firing(position.symbol)
        wanted = {STOP_LOSS: position.protection.stop_loss, TAKE_PROFIT: position.protection.take_profit}
        for kind, price in wanted.items():
            child = waiting.get(kind)
            if child is not None and (price is None or child.side is position.side):
                self.cancel(child, now_ms, cancel_type="CancelByTpSlTsClear")
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
            self.accept(self._new_child(position, kind, price, now_ms))
            return
        if child.spec.trigger_price == price and child.qty == position.size:
            return
        child.spec = replace(child.spec, trigger_price=price)
        child.qty, child.updated_ms = position.size, now_ms
        self._tell_order(child)

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

    def _cut_reduce_only(self, position: Position, now_ms: int) -> None:
        """Waiting reduce-only orders never exceed the position: Bybit cuts or cancels them."""
        for order in self._state.book.open_orders(position.symbol):
            if not order.spec.reduce_only or order.is_child or order.status is Status.UNTRIGGERED:
                continue
            closable = position.closing_part(order.side, order.leaves_qty)
            if closable <= 0:
                self.cancel(order, now_ms, cancel_type="CancelByReduceOnly")
            elif closable < order.leaves_qty:
                order.qty = order.filled_qty + closable
                self._tell_order(order)

    def _tell_order(self, order: Order) -> None:
        self._state.tell("order", order_stream_row(order))


def merged(old: Protection, new: Protection) -> Protection:
    """The position's protection with what a further order brings: in Full mode the newest holds."""
    if new.stop_loss is not None:
        old = replace(old, stop_loss=new.stop_loss, stop_by=new.stop_by)
    if new.take_profit is not None:
        old = replace(old, take_profit=new.take_profit, target_by=new.target_by)
    return old
