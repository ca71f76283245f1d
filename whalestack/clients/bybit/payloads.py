"""Orders and stops as Bybit wants to be told. Numbers leave as plain decimal strings.

pybit casts only the outermost numbers, and writes a float inside a batch as ``1e-05``;
so every number is a string before pybit sees it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from whalestack.clients.bybit.codes import BAD_REQUEST
from whalestack.clients.bybit.errors import BybitRefused
from whalestack.clients.bybit.types import OrderRequest

CATEGORY = "linear"
SETTLE_COIN = "USDT"
ONE_WAY = 0
LINK_ID = re.compile(r"[0-9A-Za-z_-]{1,36}")


def order_fields(request: OrderRequest) -> dict[str, Any]:
    """The fields of one order, for `order/create` and, without the category, for a batch.

    Raises:
        BybitRefused: what Bybit would refuse, or what must never be sent: an order that
            opens a position without a stop. Nothing was sent.
    """
    _check(request)
    fields: dict[str, Any] = {
        "symbol": request.symbol,
        "side": str(request.side),
        "orderType": "Market" if request.price is None else "Limit",
        "qty": plain(request.qty),
        "timeInForce": "IOC" if request.price is None else request.time_in_force,
        "orderLinkId": request.order_link_id,
        "positionIdx": ONE_WAY,
        "reduceOnly": request.reduce_only,
    }
    if request.price is not None:
        fields["price"] = plain(request.price)
    return fields | stop_fields(request.stop_loss, request.take_profit)


def stop_fields(stop_loss: Decimal | None, take_profit: Decimal | None) -> dict[str, Any]:
    """Stop and target of a whole position; without either no field at all.

    The mode is always said, because what Bybit takes when it is left out is not documented.
    """
    fields: dict[str, Any] = {}
    if stop_loss is not None:
        fields |= {"stopLoss": plain(stop_loss), "slTriggerBy": "LastPrice"}
    if take_profit is not None:
        fields |= {"takeProfit": plain(take_profit), "tpTriggerBy": "LastPrice"}
    return fields | {"tpslMode": "Full"} if fields else fields


def moved_stop_fields(symbol: str, stop_loss: Decimal | None, take_profit: Decimal | None) -> dict[str, Any]:
    """The fields of `position/trading-stop`.

    Raises:
        BybitRefused: a price of zero or less, which Bybit would take as "remove it", or
            nothing to set. Nothing was sent.
    """
    what = f"stops of {symbol}"
    if stop_loss is None and take_profit is None:
        raise BybitRefused(f"{what}: neither a stop nor a target is given", code=BAD_REQUEST)
    _check_prices(what, stop_loss, take_profit)
    return {"symbol": symbol, "positionIdx": ONE_WAY} | stop_fields(stop_loss, take_profit)


def plain(number: Decimal) -> str:
    """A decimal without an exponent: ``0.00001``, never ``1E-5``."""
    return format(number, "f")


def _check(request: OrderRequest) -> None:
    what = f"order {request.order_link_id!r} of {request.symbol}"
    if not LINK_ID.fullmatch(request.order_link_id):
        raise BybitRefused(f"{what}: the id must be 1 to 36 letters, digits, '-' and '_'", code=BAD_REQUEST)
    _check_prices(what, request.qty, request.price, request.stop_loss, request.take_profit)
    if request.reduce_only and (request.stop_loss is not None or request.take_profit is not None):
        raise BybitRefused(f"{what}: a reduce-only order can carry no stop and no target", code=BAD_REQUEST)
    if not request.reduce_only and request.stop_loss is None:
        raise BybitRefused(f"{what}: it opens a position and carries no stop", code=BAD_REQUEST)


def _check_prices(what: str, *numbers: Decimal | None) -> None:
    given: Sequence[Decimal] = [number for number in numbers if number is not None]
    if not all(number.is_finite() and number > 0 for number in given):
        raise BybitRefused(f"{what}: a price or quantity is not above zero", code=BAD_REQUEST)
