"""Whether the exchange takes a request: every rule in its order, nothing changed yet."""

from __future__ import annotations

from decimal import Decimal

from whalestack.simulator.exchange.account import order_margin
from whalestack.simulator.exchange.checks import (
    check_link_id,
    check_market_range,
    check_on_tick,
    check_price_limit,
    check_protection,
    check_spec,
    check_tradable,
    trigger_price_of,
)
from whalestack.simulator.exchange.liquidity import Quote
from whalestack.simulator.exchange.order import ZERO, Order, OrderSpec, Protection, Side, Status
from whalestack.simulator.exchange.position import Position
from whalestack.simulator.exchange.refusals import (
    BALANCE_TOO_LOW,
    LEVERAGE_NOT_MODIFIED,
    LEVERAGE_TOO_HIGH,
    MARGIN_TOO_LOW,
    NOT_MODIFIED,
    REDUCE_ONLY_EMPTY,
    RISK_LIMIT_EXCEEDED,
    TOO_MANY_ORDERS,
    TOO_MANY_STOP_ORDERS,
    Refused,
    bad_parameter,
)
from whalestack.simulator.exchange.state import ExchangeState
from whalestack.simulator.exchange.wire import RISK_LIMIT_USD

MAX_ACTIVE_ORDERS = 500
MAX_CONDITIONAL_ORDERS = 10


class Admission:
    """The rules over an `ExchangeState`."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state

    def order(self, spec: OrderSpec) -> Quote:
        """Check a new order.

        Returns:
            The market that it was checked against.

        Raises:
            Refused: by the first rule it breaks.
        """
        rules = self._state.rules(spec.symbol)
        check_tradable(rules)
        check_link_id(spec.link_id)
        self._state.book.reserve_check(spec.link_id)
        check_spec(spec, rules)
        quote = self._state.quote(spec.symbol)
        check_market_range(spec, rules, quote)
        base = spec.price or spec.trigger_price or quote.last
        check_protection(spec.protection, spec.side, rules, stop_base=base, target_base=base)
        self._check_reduce_only(spec)
        self._check_counts(spec)
        self._check_margin(spec, quote)
        return quote

    def amendment(self, order: Order, spec: OrderSpec) -> Quote:
        """Check what an open order shall become.

        Returns:
            The market that it was checked against.

        Raises:
            Refused: nothing would change, or the change is not allowed.
        """
        rules, quote = self._state.rules(order.symbol), self._state.quote(order.symbol)
        if (spec.price, spec.qty, spec.protection) == (order.price, order.qty, order.protection):
            raise bad_parameter("order not modified")
        check_spec(spec, rules)
        if spec.qty <= order.filled_qty:
            raise bad_parameter("Qty is not above what has filled")
        if spec.price is not None:
            check_on_tick(spec.price, rules, "price")
            check_price_limit(spec.side, spec.price, rules, quote)
        base = spec.price or quote.last
        check_protection(spec.protection, spec.side, rules, stop_base=base, target_base=base)
        return quote

    def leverage(self, symbol: str, leverage: Decimal) -> None:
        """Check a leverage for a symbol.

        Raises:
            Refused: 110043 when it is that already, 110013 above the coin's, 110044 without margin for it.
        """
        state, position = self._state, self._state.position(symbol)
        rules = state.rules(symbol)
        if leverage > rules.max_leverage:
            raise Refused(LEVERAGE_TOO_HIGH, "cannot set leverage gt maxLeverage by risk limit")
        if leverage < rules.min_leverage or leverage % rules.leverage_step:
            raise bad_parameter("leverage invalid")
        if leverage == state.leverage(symbol):
            raise Refused(LEVERAGE_NOT_MODIFIED, "leverage not modified")
        old = state.leverage(symbol)
        orders = order_margin(state.book.open_orders(symbol), state.positions, Decimal(1))
        value = state.marked(position).value if position.is_open else ZERO
        more = (value + orders) * (1 / leverage - 1 / old)
        if more > 0 and more > state.margin().available:
            raise Refused(MARGIN_TOO_LOW, "available margin is insufficient for this leverage")

    def stops(self, symbol: str, protection: Protection) -> Position:
        """Check what shall protect a position from now on.

        Returns:
            The position.

        Raises:
            Refused: 34040 when nothing would change, 10001 without a position or on the wrong side.
        """
        rules = self._state.rules(symbol)
        position = self._state.position(symbol)
        if position.side is None:
            raise bad_parameter("can not set tp/sl/ts for zero position")
        if protection == position.protection:
            raise Refused(NOT_MODIFIED, "not modified")
        quote = self._state.quote(symbol)
        changed = Protection(
            None if protection.stop_loss == position.protection.stop_loss else protection.stop_loss,
            None if protection.take_profit == position.protection.take_profit else protection.take_profit,
            protection.stop_by,
            protection.target_by,
        )
        bases = (trigger_price_of(by, quote) for by in (protection.stop_by, protection.target_by))
        stop_base, target_base = bases
        check_protection(changed, position.side, rules, stop_base=stop_base, target_base=target_base)
        return position

    def _check_reduce_only(self, spec: OrderSpec) -> None:
        position = self._state.position(spec.symbol)
        if spec.reduce_only and not position.closing_part(spec.side, spec.qty):
            raise Refused(REDUCE_ONLY_EMPTY, "current position is zero, cannot fix reduce-only order qty")

    def _check_counts(self, spec: OrderSpec) -> None:
        orders = [order for order in self._state.book.open_orders(spec.symbol) if not order.is_child]
        waiting = sum(order.status is Status.UNTRIGGERED for order in orders)
        if spec.trigger_price is not None and waiting >= MAX_CONDITIONAL_ORDERS:
            raise Refused(TOO_MANY_STOP_ORDERS, "The number of stop orders exceeds the maximum limit allowed")
        if spec.trigger_price is None and len(orders) - waiting >= MAX_ACTIVE_ORDERS:
            raise Refused(TOO_MANY_ORDERS, "Not allowed to have more than 500 active orders")

    def _check_margin(self, spec: OrderSpec, quote: Quote) -> None:
        position = self._state.position(spec.symbol)
        opens = spec.qty - position.closing_part(spec.side, spec.qty)
        if spec.reduce_only or not opens:
            return
        if (position.size + opens) * quote.mark > RISK_LIMIT_USD:
            raise Refused(RISK_LIMIT_EXCEEDED, "The order exceeds the position limit of the risk tier")
        touch = quote.touch(spec.side)
        price = touch if spec.price is None else (min if spec.side is Side.BUY else max)(spec.price, touch)
        needed = opens * price * (1 / self._state.leverage(spec.symbol) + self._state.fees.taker)
        if needed > self._state.margin().available:
            raise Refused(BALANCE_TOO_LOW, "ab not enough for new order")
