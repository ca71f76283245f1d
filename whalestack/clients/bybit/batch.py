"""Who of a batch was taken: two parallel lists, under a retCode that is 0 in any case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whalestack.clients.bybit.codes import error_for_code
from whalestack.clients.bybit.errors import BybitOutcomeUnknown, BybitRateLimited, BybitRefused
from whalestack.clients.bybit.port import BatchResult
from whalestack.clients.bybit.transport import Reply
from whalestack.clients.bybit.types import OrderAck, OrderRequest


def read_batch(reply: Reply, requests: Sequence[OrderRequest]) -> list[BatchResult]:
    """One result for each request, in order.

    A member whose entry is missing, or speaks of another order, is of unknown outcome: it
    is never taken for a refusal.
    """
    orders, codes = _list(reply.result), _list(reply.ext)
    if not len(orders) == len(codes) == len(requests):
        # Without the pairing by place no entry can be trusted.
        return [_unknown(request, "the answer's lists do not match") for request in requests]
    return [_member(*three) for three in zip(requests, orders, codes, strict=True)]


def _member(request: OrderRequest, order: object, verdict: object) -> BatchResult:
    if not isinstance(order, Mapping) or not isinstance(verdict, Mapping):
        return _unknown(request, "its entry is no object")
    echo, code = order.get("orderLinkId"), verdict.get("code")
    if echo not in (None, "", request.order_link_id):
        return _unknown(request, f"its entry is about {echo!r}")
    if not isinstance(code, int) or isinstance(code, bool):
        return _unknown(request, "its entry has no code")
    if code != 0:
        return _refused(request, code, str(verdict.get("msg", "")))
    if not order.get("orderId"):
        return _unknown(request, "its entry has no order")
    return OrderAck(request.order_link_id, str(order["orderId"]))


def _refused(request: OrderRequest, code: int, text: str) -> BatchResult:
    error = error_for_code(code, text, _what(request), has_effect=True)
    if isinstance(error, BybitRefused | BybitRateLimited | BybitOutcomeUnknown):
        return error
    # A key or a clock that is refused for one member was refused before it had an effect.
    return BybitRefused(str(error), code=code)


def _unknown(request: OrderRequest, why: str) -> BybitOutcomeUnknown:
    return BybitOutcomeUnknown(f"{_what(request)}: {why}; the outcome is unknown")


def _what(request: OrderRequest) -> str:
    return f"Bybit place_batch_order {request.symbol} {request.order_link_id}"


def _list(holder: Mapping[str, Any]) -> list[object]:
    found = holder.get("list")
    return found if isinstance(found, list) else []
