"""Reads the parameters of a request: what is missing or mistyped is refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from whalestack.simulator.exchange.order import OrderSpec, OrderType, Protection, Side, TimeInForce, TriggerBy
from whalestack.simulator.exchange.refusals import bad_parameter

Params = Mapping[str, Any]
Choice = TypeVar("Choice", bound=StrEnum)
Item = TypeVar("Item")

DAY_MS = 86_400_000
LONGEST_WINDOW_MS = 7 * DAY_MS


def text_of(params: Params, name: str, default: str | None = None) -> str:
    """A text parameter.

    Raises:
        Refused: missing without a default, or not text.
    """
    value = params.get(name)
    if value is None or value == "":
        if default is None:
            raise bad_parameter(f"params error: {name} is required")
        return default
    if not isinstance(value, str):
        raise bad_parameter(f"params error: {name} must be a string")
    return value


def number_of(params: Params, name: str) -> Decimal | None:
    """A decimal string, None when it is not given. JSON numbers are refused, as Bybit wants strings."""
    value = text_of(params, name, "")
    if not value:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise bad_parameter(f"params error: {name} invalid") from None
    if not number.is_finite() or number < 0:
        raise bad_parameter(f"params error: {name} invalid")
    return number


def whole_of(params: Params, name: str, default: int, low: int, high: int) -> int:
    """A whole number between two bounds, from text or JSON; beyond the upper bound it is refused."""
    value = params.get(name)
    if value is None or value == "":
        return default
    try:
        number = int(str(value))
    except ValueError:
        raise bad_parameter(f"params error: {name} invalid") from None
    if not low <= number <= high:
        raise bad_parameter(f"params error: {name} must be between {low} and {high}")
    return number


def flag_of(params: Params, name: str) -> bool:
    """A JSON boolean, False when it is not given."""
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise bad_parameter(f"params error: {name} must be a boolean")
    return value


def choice_of(params: Params, name: str, kind: type[Choice], default: Choice | None = None) -> Choice:
    """One of a closed list of words."""
    value = text_of(params, name, None if default is None else default.value)
    try:
        return kind(value)
    except ValueError:
        raise bad_parameter(f"params error: {name} invalid") from None


def check_linear(params: Params) -> None:
    """Only linear perpetuals are played here."""
    if text_of(params, "category") != "linear":
        raise bad_parameter("params error: category invalid")


def check_one_way(params: Params) -> None:
    """The account is in one-way mode: positionIdx is 0."""
    if whole_of(params, "positionIdx", 0, 0, 2) != 0:
        raise bad_parameter("position idx not match position mode")


def needs_scope(params: Params) -> str | None:
    """The symbol asked for, None for all of a settle or base coin; one of them is required for linear.

    Raises:
        Refused: none of the three is given.
    """
    symbol = text_of(params, "symbol", "")
    if symbol:
        return symbol
    if not (params.get("settleCoin") or params.get("baseCoin")):
        raise bad_parameter("params error: symbol, settleCoin or baseCoin is required")
    return None


def time_window(params: Params, now_ms: int) -> tuple[int, int]:
    """startTime and endTime in market ms: seven days at most, the last seven when none is given.

    Raises:
        Refused: the window is longer, or its end lies before its start.
    """
    start, end = (whole_of(params, name, -1, 0, 10**14) for name in ("startTime", "endTime"))
    if start < 0 and end < 0:
        return now_ms - LONGEST_WINDOW_MS, now_ms
    start = end - LONGEST_WINDOW_MS if start < 0 else start
    end = start + LONGEST_WINDOW_MS if end < 0 else end
    if not 0 <= end - start <= LONGEST_WINDOW_MS:
        raise bad_parameter("params error: The time range between startTime and endTime is over 7 days")
    return start, end


def page_of(
    items: Sequence[Item], params: Params, key: Callable[[Item], str], *, limit: int, largest: int
) -> tuple[list[Item], str]:
    """One page of a list, and the cursor of the next.

    The cursor names the last item of the page, already percent-encoded, as Bybit's is: a client has
    to send it back exactly as it got it.

    Args:
        items: all items, newest first.
        params: `limit` and `cursor` are read from here.
        key: what names an item.
        limit: page length when none is given.
        largest: longest page.
    """
    length = whole_of(params, "limit", limit, 1, largest)
    after = unquote(text_of(params, "cursor", "")).removeprefix("page_token=").removesuffix("&")
    start = 0
    if after:
        keys = [key(item) for item in items]
        start = keys.index(after) + 1 if after in keys else len(items)
    page = list(items[start : start + length])
    more = start + length < len(items)
    return page, quote(f"page_token={key(page[-1])}&", safe="") if page and more else ""


def order_spec(params: Params) -> OrderSpec:
    """An order as create and create-batch send it.

    Raises:
        Refused: by the name of the parameter.
    """
    check_one_way(params)
    order_type = choice_of(params, "orderType", OrderType)
    is_market = order_type is OrderType.MARKET
    qty, price = number_of(params, "qty"), number_of(params, "price")
    if qty is None:
        raise bad_parameter("params error: qty is required")
    reduce_only, close_on_trigger = flag_of(params, "reduceOnly"), flag_of(params, "closeOnTrigger")
    tif = TimeInForce.IOC if is_market else choice_of(params, "timeInForce", TimeInForce, TimeInForce.GTC)
    return OrderSpec(
        symbol=text_of(params, "symbol"),
        side=choice_of(params, "side", Side),
        order_type=order_type,
        qty=qty,
        price=None if is_market else price,
        time_in_force=tif,
        link_id=text_of(params, "orderLinkId", ""),
        reduce_only=reduce_only or close_on_trigger,
        close_on_trigger=close_on_trigger,
        protection=protection_of(params, Protection()),
        trigger_price=number_of(params, "triggerPrice") or None,
        trigger_direction=whole_of(params, "triggerDirection", 0, 0, 2),
        trigger_by=choice_of(params, "triggerBy", TriggerBy, TriggerBy.LAST),
    )


def protection_of(params: Params, held: Protection) -> Protection:
    """Stop and target of an order or of trading-stop: not given keeps what is held, "0" removes it.

    Raises:
        Refused: anything but Full mode with market orders, which is all that is played here.
    """
    if text_of(params, "tpslMode", "Full") != "Full":
        raise bad_parameter("params error: the simulator knows tpslMode Full only")
    for name in ("tpOrderType", "slOrderType"):
        if text_of(params, name, "Market") != "Market":
            raise bad_parameter(f"{name} only support Market when tpSlMode is Full")
    if number_of(params, "trailingStop"):
        raise bad_parameter("params error: the simulator knows no trailingStop")
    stop, target = number_of(params, "stopLoss"), number_of(params, "takeProfit")
    return Protection(
        stop_loss=held.stop_loss if stop is None else stop or None,
        take_profit=held.take_profit if target is None else target or None,
        stop_by=choice_of(params, "slTriggerBy", TriggerBy, held.stop_by),
        target_by=choice_of(params, "tpTriggerBy", TriggerBy, held.target_by),
    )
