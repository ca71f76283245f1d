"""Books fills, funding and changed stops.

A fill is booked in one step: position, stop, wallet, order and record change together, so there is
no moment at which a position of an order with a stop exists without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    Status,
)
from whalestack.simulator.exchange.order_desk import OrderDesk
from whalestack.simulator.exchange.position import FillEffect, Position
from whalestack.simulator.exchange.protective_orders import ProtectiveOrders
from whalestack.simulator.exchange.state import ExchangeState
from whalestack.simulator.exchange.wire import (
    execution_stream_row,
    position_stream_row,
    wallet_row,
)

NO_EFFECT = FillEffect(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)


@dataclass(frozen=True)
class Deal:
    """What a fill was made at: price in USDT, quantity in base coins, fee in USDT."""

    price: Decimal
    qty: Decimal
    fee: Decimal
    fee_rate: Decimal
    is_maker: bool
    exec_type: str
    now_ms: int

    def close_fee(self, effect: FillEffect) -> Decimal:
        """The part of the fee that belongs to what was closed, USDT."""
        return self.fee * effect.closed_qty / self.qty


class Settlement:
    """Changes the exchange's state, keeps its record, and tells the private stream."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state
        self.orders = OrderDesk(state)
        self.protective = ProtectiveOrders(state, self.orders)

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
        deal = Deal(price, qty, price * qty * rate, rate, is_maker, exec_type, now_ms)
        effect = position.apply_fill(order.side, qty, price, deal.fee)
        state.account.book(effect.realised - deal.fee)
        self._book_on_order(order, deal)
        self._carry_protection(order, position, before, now_ms)
        execution = self._execution(order, deal, effect)
        self._book_closed_pnl(execution, effect, deal.close_fee(effect))
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
        deal = Deal(mark, position.size, amount, rate, False, "Funding", now_ms)
        execution = self._execution(order, deal, NO_EFFECT)
        state.log.add(Kind.FUNDING, now_ms, position.symbol, amount=format(amount, "f"))
        state.tell("execution", lambda: execution_stream_row(execution))
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
        self.protective.sync(position, now_ms)
        self.tell_position(position)

    def tell_position(self, position: Position) -> None:
        """Send the position's row; Bybit sends it also when nothing in it has changed."""
        state = self._state
        state.tell(
            "position",
            lambda: position_stream_row(
                state.marked(position), state.liquidation_price(position), state.bankruptcy_price(position)
            ),
        )

    def tell_wallet(self) -> None:
        """Send the account's row."""
        state = self._state
        state.tell("wallet", lambda: wallet_row(state.margin(), state.account.realised_ever))

    # --- the parts of a fill -----------------------------------------------------------------

    def _book_on_order(self, order: Order, deal: Deal) -> None:
        order.filled_qty += deal.qty
        order.filled_value += deal.price * deal.qty
        order.fee += deal.fee
        order.fill_count += 1
        order.updated_ms = deal.now_ms
        if order.filled_qty >= order.qty:
            order.status = Status.FILLED
            self._state.book.close(order, deal.now_ms)
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

    def _execution(self, order: Order, deal: Deal, effect: FillEffect) -> Execution:
        state = self._state
        execution = Execution(
            exec_id=state.new_id(),
            exec_type=deal.exec_type,
            order=order,
            symbol=order.symbol,
            side=order.side,
            price=deal.price,
            qty=deal.qty,
            fee=deal.fee,
            fee_rate=deal.fee_rate,
            is_maker=deal.is_maker,
            closed_qty=effect.closed_qty,
            leaves_qty=order.leaves_qty,
            mark_price=state.mark(order.symbol),
            pnl=effect.realised - effect.open_fee - deal.close_fee(effect) - effect.funding,
            executed_ms=deal.now_ms,
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
        state.tell("execution", lambda: execution_stream_row(execution))
        self.orders.tell(execution.order)
        self.protective.sync(position, now_ms)
        self.orders.cut_reduce_only(position, now_ms)
        self.tell_position(position)
        self.tell_wallet()


def merged(old: Protection, new: Protection) -> Protection:
    """The position's protection with what a further order brings: in Full mode the newest holds."""
    if new.stop_loss is not None:
        old = replace(old, stop_loss=new.stop_loss, stop_by=new.stop_by)
    if new.take_profit is not None:
        old = replace(old, take_profit=new.take_profit, target_by=new.target_by)
    return old
