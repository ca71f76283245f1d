"""Who of a batch was taken: two parallel lists, under a retCode that is 0 in any case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whalestack.clients.bybit.codes import error_for_code
from whalestack.clients.bybit.errors import BybitOutcomeUnknown, BybitRateLimited, BybitRefused
from whalestack.clients.bybit.port import BatchResult
from whalestack.clients.bybit.transport import Reply
from whalestack.clients.bybit.types import NamedOrder, OrderAck

# Both batch calls take 20 orders, but each order counts against a limit of ten a second.
LARGEST_BATCH = 20
BATCHED_PER_SECOND = 10
QUOTA_RETURNS_REAL_S = 1.0


def read_batch(reply: Reply, requests: Sequence[NamedOrder], call: str) -> list[BatchResult]:
    """One result for each request, in order.

    Args:
        reply: of the whole batch.
        requests: as they were sent.
        call: its name, for the errors.

    A member whose entry is missing, or speaks of another order, is of unknown outcome: it
    is never taken for a refusal.
    """
    orders, codes = _list(reply.result), _list(reply.ext)
    if not len(orders) == len(codes) == len(requests):
        # Without the pairing by place no entry can be trusted.
        return [_unknown(_what(call, each), "the answer's lists do not match") for each in requests]
    return [
        _member(request, _what(call, request), order, verdict)
        for request, order, verdict in zip(requests, orders, codes, strict=True)
    ]


def _member(request: NamedOrder, what: str, order: object, verdict: object) -> BatchResult:
    if not isinstance(order, Mapping) or not isinstance(verdict, Mapping):
        return _unknown(what, "its entry is no object")
    echo, code = order.get("orderLinkId"), verdict.get("code")
    if echo not in (None, "", request.order_link_id):
        return _unknown(what, f"its entry is about {echo!r}")
    if not isinstance(code, int) or isinstance(code, bool):
        return _unknown(what, "its entry has no code")
    if code != 0:
        return _refused(what, code, str(verdict.get("msg", "")))
    if not order.get("orderId"):
        return _unknown(what, "its entry has no order")
    return OrderAck(request.order_link_id, str(order["orderId"]))


def _refused(what: str, code: int, text: str) -> BatchResult:
    error = error_for_code(code, text, what, has_effect=True)
    if isinstance(error, BybitRefused | BybitRateLimited | BybitOutcomeUnknown):
        return error
    # A key or a clock that is refused for one member was refused before it had an effect.
    return BybitRefused(str(error), code=code)


def _unknown(what: str, why: str) -> BybitOutcomeUnknown:
    return BybitOutcomeUnknown(f"{what}: {why}; the outcome is unknown")


def _what(call: str, request: NamedOrder) -> str:
    return f"Bybit {call} {request.symbol} {request.order_link_id}"


def _list(holder: Mapping[str, Any]) -> list[object]:
    found = holder.get("list")
    return found if isinstance(found, list) else []
