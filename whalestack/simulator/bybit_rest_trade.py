"""Orders of the simulated Bybit: create, amend, cancel, batches, and the lists of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from whalestack.simulator.bybit_rest_params import (
    Params,
    check_linear,
    needs_scope,
    number_of,
    order_spec,
    page_of,
    protection_of,
    text_of,
    time_window,
    whole_of,
)
from whalestack.simulator.exchange.engine import Exchange
from whalestack.simulator.exchange.order import Execution, Order, Status
from whalestack.simulator.exchange.refusals import TOO_MANY_VISITS, Refused, bad_parameter
from whalestack.simulator.exchange.wire import execution_row, order_row

Row = dict[str, Any]

LARGEST_BATCH = 20
UNFILLED_KEPT_MS = 86_400_000


class TradeApi:
    """Answers of the order and execution endpoints."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._state = exchange.state

    def create(self, params: Params) -> Row:
        """POST /v5/order/create. The answer says only that the order was taken over."""
        check_linear(params)
        return _ids(self._place(params))

    def amend(self, params: Params) -> Row:
        """POST /v5/order/amend: price, quantity, stop and target of an open order."""
        check_linear(params)
        order_id, link_id = _either_id(params)
        order = self._state.book.find(order_id=order_id, link_id=link_id)
        names_stops = any(params.get(name) for name in ("stopLoss", "takeProfit"))
        return _ids(
            self._exchange.amend(
                text_of(params, "symbol"),
                order_id=order_id,
                link_id=link_id,
                price=number_of(params, "price"),
                qty=number_of(params, "qty"),
                protection=protection_of(params, order.protection) if order and names_stops else None,
            )
        )

    def cancel(self, params: Params) -> Row:
        """POST /v5/order/cancel."""
        check_linear(params)
        order_id, link_id = _either_id(params)
        return _ids(self._exchange.cancel(text_of(params, "symbol"), order_id=order_id, link_id=link_id))

    def cancel_all(self, params: Params) -> Row:
        """POST /v5/order/cancel-all: with no orderFilter also the stops and targets of positions."""
        check_linear(params)
        order_filter = text_of(params, "orderFilter", "")
        if order_filter not in ("", "Order", "StopOrder", "OpenOrder"):
            raise bad_parameter("params error: orderFilter invalid")
        symbol = needs_scope(params)
        if symbol is not None:
            self._state.rules(symbol)
        only = "Order" if order_filter == "OpenOrder" else order_filter
        cancelled = self._exchange.cancel_all(symbol, order_filter=only)
        return {"list": [_ids(order) for order in cancelled], "success": "1"}

    def create_batch(self, params: Params, allowed: int) -> tuple[Row, Row]:
        """POST /v5/order/create-batch: members succeed or fail alone, in two parallel lists.

        Args:
            params: `request` holds the orders.
            allowed: how many of them the rate limit lets through; the rest fail with 10006.

        Returns:
            result and retExtInfo.
        """
        check_linear(params)
        rows, codes = [], []
        for number, member in enumerate(members_of(params)):
            row = {"category": "linear", "symbol": member.get("symbol", ""), "orderId": ""}
            row |= {"orderLinkId": member.get("orderLinkId", ""), "createAt": ""}
            try:
                _check_allowed(number, allowed)
                order = self._place(member)
                row |= {"orderId": order.order_id, "createAt": str(order.created_ms)}
                codes.append({"code": 0, "msg": "OK"})
            except Refused as refused:
                codes.append({"code": refused.code, "msg": refused.text})
            rows.append(row)
        return {"list": rows}, {"list": codes}

    def cancel_batch(self, params: Params, allowed: int) -> tuple[Row, Row]:
        """POST /v5/order/cancel-batch; arguments and answer as `create_batch`."""
        check_linear(params)
        rows, codes = [], []
        for number, member in enumerate(members_of(params)):
            row = {"category": "linear", "symbol": member.get("symbol", ""), "orderId": ""}
            row |= {"orderLinkId": member.get("orderLinkId", "")}
            try:
                _check_allowed(number, allowed)
                row |= self.cancel({**member, "category": "linear"})
                codes.append({"code": 0, "msg": "OK"})
            except Refused as refused:
                codes.append({"code": refused.code, "msg": refused.text})
            rows.append(row)
        return {"list": rows}, {"list": codes}

    def realtime(self, params: Params) -> Row:
        """GET /v5/order/realtime: open orders; with openOnly=1 the last 500 closed ones.

        Asked by an id, an order is found in both, whatever openOnly says.
        """
        check_linear(params)
        symbol = needs_scope(params)
        book = self._state.book
        closed, by_id = book.recently_closed(), bool(params.get("orderId") or params.get("orderLinkId"))
        if by_id:
            orders = [*book.open_orders(symbol), *closed]
        elif whole_of(params, "openOnly", 0, 0, 2):
            orders = closed
        else:
            orders = book.open_orders(symbol)
        return self._page(orders, params, symbol)

    def history(self, params: Params) -> Row:
        """GET /v5/order/history: closed orders; those that never filled are kept for 24 hours."""
        check_linear(params)
        now_ms = self._state.now_ms()
        start, end = time_window(params, now_ms)
        orders = [
            order
            for order in self._state.book.closed_orders()
            if start <= order.created_ms <= end
            and (order.filled_qty or now_ms - order.updated_ms <= UNFILLED_KEPT_MS)
        ]
        status = text_of(params, "orderStatus", "")
        chosen = [order for order in orders if status in ("", order.status.value)]
        return self._page(chosen, params, text_of(params, "symbol", "") or None)

    def executions(self, params: Params) -> Row:
        """GET /v5/execution/list, newest first."""
        check_linear(params)
        start, end = time_window(params, self._state.now_ms())
        found = []
        for execution in reversed(self._state.executions):
            if execution.executed_ms < start:
                break
            if execution.executed_ms <= end and _is_asked_for(execution, params):
                found.append(execution)
        page, cursor = page_of(found, params, lambda execution: execution.exec_id, limit=50, largest=100)
        return {
            "category": "linear",
            "list": [execution_row(execution) for execution in page],
            "nextPageCursor": cursor,
        }

    def _place(self, params: Params) -> Order:
        """Place an order; one that can't even be read is recorded as refused, like those the rules refuse."""
        try:
            spec = order_spec(params)
        except Refused as refused:
            symbol, link_id = str(params.get("symbol", "")), str(params.get("orderLinkId", ""))
            self._exchange.log.order_refused(symbol, link_id, refused, self._state.now_ms())
            raise
        return self._exchange.place(spec)

    def _page(self, orders: Iterable[Order], params: Params, symbol: str | None) -> Row:
        order_id, link_id = text_of(params, "orderId", ""), text_of(params, "orderLinkId", "")
        which = text_of(params, "orderFilter", "")
        chosen = [
            order
            for order in orders
            if symbol in (None, order.symbol)
            and order_id in ("", order.order_id)
            and (order_id or link_id in ("", order.link_id))
            and (not which or (order.status is Status.UNTRIGGERED) == (which == "StopOrder"))
        ]
        chosen.sort(key=lambda order: order.created_ms, reverse=True)
        page, cursor = page_of(chosen, params, lambda order: order.order_id, limit=20, largest=50)
        rows = [order_row(order) for order in page]
        return {"category": "linear", "list": rows, "nextPageCursor": cursor}


def members_of(params: Params) -> list[Row]:
    """The members of a batch.

    Raises:
        Refused: none, more than 20, or not objects.
    """
    members = params.get("request")
    if not isinstance(members, list) or not members:
        raise bad_parameter("params error: request is required")
    if len(members) > LARGEST_BATCH:
        raise bad_parameter(f"params error: at most {LARGEST_BATCH} orders in a request")
    if not all(isinstance(member, dict) for member in members):
        raise bad_parameter("params error: request invalid")
    return members


def _check_allowed(number: int, allowed: int) -> None:
    if number >= allowed:
        raise Refused(TOO_MANY_VISITS, "Too many visits!")


def _either_id(params: Params) -> tuple[str, str]:
    order_id, link_id = text_of(params, "orderId", ""), text_of(params, "orderLinkId", "")
    if not (order_id or link_id):
        raise bad_parameter("params error: orderId or orderLinkId is required")
    return order_id, link_id


def _ids(order: Order) -> Row:
    return {"orderId": order.order_id, "orderLinkId": order.link_id}


def _is_asked_for(execution: Execution, params: Params) -> bool:
    wanted = {
        "symbol": execution.symbol,
        "orderId": execution.order.order_id,
        "orderLinkId": execution.order.link_id,
        "execType": execution.exec_type,
        "side": execution.side.value,
    }
    return all(text_of(params, name, "") in ("", value) for name, value in wanted.items())
