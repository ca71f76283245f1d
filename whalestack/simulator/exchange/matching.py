"""Matches orders with the market: on arrival, and along the market's price points.

The market is the counterparty; our orders do not move it. At each price point of a symbol, in this
order: waiting limit orders that the price has reached (best price first) fill at their own price,
conditional orders trigger, the position's stop and then its target trigger and fill at the market,
an isolated position beyond its liquidation price is closed, funding falls due. The whole account's
liquidation in cross margin is looked at once for each batch of points.

A price point older than an order (or than the last change of a stop) does not touch it: the market
is told in steps, and an order must not be filled by a price from before it was there.
"""

from __future__ import annotations

from decimal import Decimal

from whalestack.simulator.exchange.account import MarginMode
from whalestack.simulator.exchange.event_log import Kind
from whalestack.simulator.exchange.liquidity import Quote
from whalestack.simulator.exchange.order import (
    ZERO,
    Order,
    OrderSpec,
    OrderType,
    Side,
    Status,
    TimeInForce,
    TriggerBy,
)
from whalestack.simulator.exchange.position import Position
from whalestack.simulator.exchange.protective_orders import STOP_LOSS, TAKE_PROFIT
from whalestack.simulator.exchange.settlement import Settlement
from whalestack.simulator.exchange.state import ExchangeState
from whalestack.simulator.market.base import Tick

IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


class Matching:
    """The matching engine over an `ExchangeState`."""

    def __init__(self, state: ExchangeState, settlement: Settlement) -> None:
        self._state = state
        self._settlement = settlement

    # --- on arrival ----------------------------------------------------------------------

    def arrive(self, order: Order, quote: Quote, now_ms: int) -> None:
        """Fill what can be filled at once; what may not wait is cancelled."""
        if order.price is not None and not quote.crosses(order.side, order.price):
            self._cancel_rest_if_immediate(order, now_ms)
            return
        if order.spec.time_in_force is TimeInForce.POST_ONLY:
            self._cancel(order, now_ms, "EC_PostOnlyWillTakeLiquidity")
            return
        self._take(order, quote, now_ms)

    def _take(self, order: Order, quote: Quote, now_ms: int, *, must_complete: bool = False) -> None:
        rules = self._state.rules(order.symbol)
        limit = self._worst_price(order, quote) if not must_complete else None
        fills = self._state.liquidity.sweep(
            order.side, order.leaves_qty, quote, rules, limit=limit, must_complete=must_complete
        )
        if order.spec.time_in_force is TimeInForce.FOK and sum(qty for _, qty in fills) < order.leaves_qty:
            self._cancel(order, now_ms, "EC_CancelForNoFullFill")
            return
        for price, qty in fills:
            if order.is_open:
                self._settlement.fill(order, price, qty, now_ms, is_maker=False)
        self._cancel_rest_if_immediate(order, now_ms)

    def _worst_price(self, order: Order, quote: Quote) -> Decimal:
        """A limit's own price; a market order stops at the price limit of its side."""
        if order.price is not None:
            return order.price
        rules = self._state.rules(order.symbol)
        if order.side is Side.BUY:
            return max(rules.highest_buy(quote.mark, quote.index), quote.ask)
        return min(rules.lowest_sell(quote.mark, quote.index), quote.bid)

    def _cancel_rest_if_immediate(self, order: Order, now_ms: int) -> None:
        is_market = order.spec.order_type is OrderType.MARKET
        if order.is_open and (is_market or order.spec.time_in_force in IMMEDIATE):
            self._cancel(order, now_ms, "EC_NoImmediateQtyToFill")

    def _cancel(self, order: Order, now_ms: int, reason: str) -> None:
        self._settlement.orders.cancel(order, now_ms, cancel_type="UNKNOWN", reason=reason)

    # --- along the market's price points ----------------------------------------------------

    def on_tick(self, tick: Tick) -> None:
        """Deal with one price point of a symbol that has orders or a position."""
        now_ms = self._state.at_tick(tick.ts_ms)
        last = self._state.rules(tick.symbol).price(tick.price)
        position = self._state.positions.get(tick.symbol)
        if position is not None and position.is_open:
            self._state.mark_at(tick.symbol, tick.price)
        for order in self._reached(tick, last):
            self._fill_waiting(order, last, now_ms)
        self._trigger_conditionals(tick, last, now_ms)
        if position is None:
            position = self._state.positions.get(tick.symbol)
        if position is not None and position.is_open:
            self._watch_position(position, tick, last, now_ms)

    def liquidate_account(self, now_ms: int) -> None:
        """Cross margin: while equity is below maintenance, close the position that loses most."""
        state = self._state
        if state.account.mode is not MarginMode.CROSS:
            return
        while marked := [state.marked(position) for position in state.open_positions()]:
            margin = state.account.state(marked, ZERO)
            if margin.equity > margin.maintenance:
                return
            worst = min(marked, key=lambda item: item.profit).position
            self._cancel_all(worst.symbol, now_ms)
            self._liquidate(worst, state.quote(worst.symbol).touch(_closing_side(worst)), now_ms)

    def _reached(self, tick: Tick, last: Decimal) -> list[Order]:
        """Waiting limit orders that the price has reached, best price first."""
        reached = [
            order
            for order in self._state.book.open_orders(tick.symbol)
            if order.price is not None
            and order.status in (Status.NEW, Status.PARTIALLY_FILLED)
            and order.created_ms <= tick.ts_ms
            and (last - order.price) * order.side.sign <= 0
        ]
        return sorted(reached, key=lambda order: (-(order.price or ZERO) * order.side.sign, order.created_ms))

    def _fill_waiting(self, order: Order, last: Decimal, now_ms: int) -> None:
        if not order.is_open or order.price is None:
            return
        quote = self._state.quote(order.symbol, last=last)
        holds = self._state.liquidity.capacity(order.price, quote, self._state.rules(order.symbol))
        self._settlement.fill(order, order.price, min(order.leaves_qty, holds), now_ms, is_maker=True)

    def _trigger_conditionals(self, tick: Tick, last: Decimal, now_ms: int) -> None:
        for order in self._state.book.open_orders(tick.symbol):
            if order.status is not Status.UNTRIGGERED or order.is_child or order.created_ms > tick.ts_ms:
                continue
            if self._is_triggered(order.spec, last):
                self._settlement.orders.trigger(order, now_ms)
                order.status = Status.NEW
                self.arrive(order, self._state.quote(order.symbol, last=last), now_ms)

    def _watch_position(self, position: Position, tick: Tick, last: Decimal, now_ms: int) -> None:
        if tick.ts_ms >= position.protected_ms:
            self._fire_protection(position, last, now_ms)
        if position.is_open and self._state.account.mode is MarginMode.ISOLATED:
            self._liquidate_isolated(position, now_ms)
        if position.is_open:
            self._fund(position, tick.ts_ms, now_ms)

    def _fire_protection(self, position: Position, last: Decimal, now_ms: int) -> None:
        children = self._settlement.protective.waiting(position.symbol)
        for kind in (STOP_LOSS, TAKE_PROFIT):
            child = children.get(kind)
            if child is None or not position.is_open or not self._is_triggered(child.spec, last):
                continue
            self._settlement.orders.trigger(child, now_ms)
            quote = self._state.quote(position.symbol, last=last)
            self._take(child, quote, now_ms, must_complete=True)

    def _is_triggered(self, spec: OrderSpec, last: Decimal) -> bool:
        if spec.trigger_price is None:
            return False
        now = last
        if spec.trigger_by is not TriggerBy.LAST:
            quote = self._state.quote(spec.symbol, last=last)
            now = quote.mark if spec.trigger_by is TriggerBy.MARK else quote.index
        return now >= spec.trigger_price if spec.trigger_direction == 1 else now <= spec.trigger_price

    # --- liquidation and funding ---------------------------------------------------------------

    def _liquidate_isolated(self, position: Position, now_ms: int) -> None:
        price = self._state.liquidation_price(position)
        if price is None or position.side is None:
            return
        if (self._state.mark(position.symbol) - price) * position.side.sign <= 0:
            self._cancel_all(position.symbol, now_ms)
            self._liquidate(position, self._state.bankruptcy_price(position), now_ms)

    def _liquidate(self, position: Position, price: Decimal, now_ms: int) -> None:
        state, side = self._state, _closing_side(position)
        rules = state.rules(position.symbol)
        price = max(rules.price_up(price), rules.tick_size)
        spec = OrderSpec(position.symbol, side, OrderType.MARKET, position.size, reduce_only=True)
        order = Order(state.new_id(), spec, now_ms, now_ms, price, Status.NEW, position.size)
        order.create_type = "CreateByLiq"
        data = {"price": format(price, "f"), "signed_qty": format(position.signed, "f")}
        state.log.add(Kind.LIQUIDATED, now_ms, position.symbol, **data, opened_by=position.opened_by)
        state.book.add(order)
        self._settlement.fill(order, price, position.size, now_ms, is_maker=False, exec_type="BustTrade")

    def _cancel_all(self, symbol: str, now_ms: int) -> None:
        for order in self._state.book.open_orders(symbol):
            if not order.is_child:
                self._settlement.orders.cancel(order, now_ms, cancel_type="CancelByPrepareLiq")

    def _fund(self, position: Position, ts_ms: int, now_ms: int) -> None:
        """Funding falls due at whole multiples of the interval since the epoch, as on Bybit (UTC)."""
        interval_ms = self._state.rules(position.symbol).funding_interval_min * 60_000
        slot = ts_ms // interval_ms
        if slot > position.funding_slot:
            position.funding_slot = slot
            rate = Decimal(repr(self._state.market.ticker(position.symbol).funding_rate))
            self._settlement.charge_funding(position, rate, self._state.mark(position.symbol), now_ms)


def _closing_side(position: Position) -> Side:
    return Side.SELL if position.signed > 0 else Side.BUY
