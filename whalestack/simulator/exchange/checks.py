"""What an order must satisfy before it is taken: each check refuses with Bybit's code."""

from __future__ import annotations

import re
from decimal import Decimal

from whalestack.simulator.exchange.instrument import InstrumentRules
from whalestack.simulator.exchange.liquidity import Quote
from whalestack.simulator.exchange.order import OrderSpec, OrderType, Protection, Side, TriggerBy
from whalestack.simulator.exchange.refusals import (
    NOT_LIVE,
    NOTIONAL_TOO_LOW,
    PRICE_OUT_OF_RANGE,
    TRIGGER_NOT_ABOVE,
    TRIGGER_NOT_BELOW,
    Refused,
    bad_parameter,
    scaled,
)

MAX_LINK_ID = 36
_LINK_ID = re.compile(r"[0-9A-Za-z_-]*")


def check_link_id(link_id: str) -> None:
    """At most 36 of 0-9A-Za-z_-: the documented limit, although 45 has been seen to pass."""
    if len(link_id) > MAX_LINK_ID:
        raise bad_parameter(f"order link id is longer than {MAX_LINK_ID}")
    if not _LINK_ID.fullmatch(link_id):
        raise bad_parameter("OrderLinkedID contains characters that are not allowed")


def check_tradable(rules: InstrumentRules) -> None:
    """Only a live contract takes orders."""
    if rules.status != "Trading":
        raise Refused(NOT_LIVE, "This contract is not live")


def check_spec(spec: OrderSpec, rules: InstrumentRules) -> None:
    """The order by itself: quantity, price grid, and what may not be combined."""
    check_qty(spec, rules)
    if spec.order_type is OrderType.LIMIT:
        if spec.price is None:
            raise bad_parameter("params error: price is required for a limit order")
        check_on_tick(spec.price, rules, "price")
    if spec.reduce_only and not spec.protection.is_empty:
        raise bad_parameter("take profit and stop loss cannot be set on a reduce-only order")
    if spec.trigger_price is not None:
        check_on_tick(spec.trigger_price, rules, "triggerPrice")
        if spec.trigger_direction not in (1, 2):
            raise bad_parameter("TriggerDirection invalid")


def check_qty(spec: OrderSpec, rules: InstrumentRules) -> None:
    """Minimum, maximum and step of the quantity."""
    is_market = spec.order_type is OrderType.MARKET
    largest = rules.max_market_qty if is_market else rules.max_qty
    said = f"order_qty:{scaled(spec.qty)}"
    if spec.qty > largest:
        text = f"too large, {said} > max_qty:{scaled(largest)}"
        raise bad_parameter(f"The number of contracts exceeds maximum limit allowed: {text}")
    if spec.qty < rules.min_qty:
        text = f"too small, {said} < min_qty:{scaled(rules.min_qty)}"
        raise bad_parameter(f"The number of contracts exceeds minimum limit allowed: {text}")
    if spec.qty % rules.qty_step:
        raise bad_parameter("Qty invalid")


def check_on_tick(price: Decimal, rules: InstrumentRules, name: str) -> None:
    """A price lies on the tick grid and within the instrument's own range."""
    if not rules.min_price <= price <= rules.max_price or price % rules.tick_size:
        raise bad_parameter(f"params error: {name} invalid")


def check_market_range(spec: OrderSpec, rules: InstrumentRules, quote: Quote) -> None:
    """The order against the market: price limits, smallest value, side of its trigger."""
    price = spec.price or quote.last
    if spec.price is not None and spec.trigger_price is None:
        check_price_limit(spec.side, spec.price, rules, quote)
    if not spec.reduce_only and spec.qty * price < rules.min_notional_usd:
        least = format(rules.min_notional_usd, "f")
        raise Refused(NOTIONAL_TOO_LOW, f"Order does not meet minimum order value {least}USDT")
    _check_trigger_side(spec, quote)


def check_price_limit(side: Side, price: Decimal, rules: InstrumentRules, quote: Quote) -> None:
    """A buy may not be too far above the market, nor a sell too far below it."""
    if side is Side.BUY and price > rules.highest_buy(quote.mark, quote.index):
        raise Refused(PRICE_OUT_OF_RANGE, "Order price exceeds the allowable range.")
    if side is Side.SELL and price < rules.lowest_sell(quote.mark, quote.index):
        raise Refused(PRICE_OUT_OF_RANGE, "Order price exceeds the allowable range.")


def check_protection(
    protection: Protection,
    position_side: Side,
    rules: InstrumentRules,
    *,
    stop_base: Decimal,
    target_base: Decimal,
) -> None:
    """Stop and target lie on their sides of the price they are measured against.

    Args:
        protection: what is to be set; what is None is not checked.
        position_side: Buy when it protects a long.
        rules: the instrument.
        stop_base: price in USDT that a long's stop must be below.
        target_base: price in USDT that a long's target must be above.
    """
    sign, name = position_side.sign, position_side.value
    stop, target = protection.stop_loss, protection.take_profit
    if stop is not None:
        check_on_tick(stop, rules, "StopLoss")
        if (stop - stop_base) * sign >= 0:
            word = "lower" if sign > 0 else "higher"
            bases = f"base_price:{scaled(stop_base)}??{protection.stop_by.value}"
            raise bad_parameter(f"StopLoss:{scaled(stop)} set for {name} position should {word} than {bases}")
    if target is not None:
        check_on_tick(target, rules, "TakeProfit")
        if (target - target_base) * sign <= 0:
            word = "higher" if sign > 0 else "lower"
            bases = f"base_price:{scaled(target_base)}??{protection.target_by.value}"
            raise bad_parameter(
                f"TakeProfit:{scaled(target)} set for {name} position should be {word} than {bases}"
            )


def trigger_price_of(by: TriggerBy, quote: Quote) -> Decimal:
    """The market price in USDT that a trigger looks at."""
    return {TriggerBy.LAST: quote.last, TriggerBy.MARK: quote.mark, TriggerBy.INDEX: quote.index}[by]


def _check_trigger_side(spec: OrderSpec, quote: Quote) -> None:
    if spec.trigger_price is None:
        return
    now = trigger_price_of(spec.trigger_by, quote)
    if spec.trigger_direction == 1 and spec.trigger_price <= now:
        raise Refused(TRIGGER_NOT_ABOVE, "expect Rising, but trigger_price is not above the current price")
    if spec.trigger_direction == 2 and spec.trigger_price >= now:
        raise Refused(TRIGGER_NOT_BELOW, "expect Falling, but trigger_price is not below the current price")
