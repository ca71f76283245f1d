"""Bybit's private side: orders, positions, stops, fills, the account."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from pybit.unified_trading import HTTP

from whalestack.clients.bybit import rows
from whalestack.clients.bybit.batch import LARGEST_BATCH, read_batch
from whalestack.clients.bybit.codes import BAD_REQUEST, LEVERAGE_NOT_MODIFIED, STOPS_NOT_MODIFIED
from whalestack.clients.bybit.errors import BybitOutcomeUnknown, BybitRefused, BybitUnavailable, OrderNotFound
from whalestack.clients.bybit.market import must_read
from whalestack.clients.bybit.paging import listed, weeks
from whalestack.clients.bybit.paging import rows as paged_rows
from whalestack.clients.bybit.payloads import (
    CATEGORY,
    SETTLE_COIN,
    moved_stop_fields,
    order_fields,
    plain,
)
from whalestack.clients.bybit.port import BatchResult
from whalestack.clients.bybit.transport import BybitTransport, PybitMethod
from whalestack.clients.bybit.types import (
    ClosedPnl,
    Execution,
    FeeRates,
    KeyInfo,
    NamedOrder,
    OrderAck,
    OrderRequest,
    OrderState,
    Position,
    Wallet,
)
from whalestack.clock import Clock

T = TypeVar("T")


class BybitTrading:
    """The private half of the client; see `whalestack.clients.bybit.port.TradingPort`.

    Args:
        transport: makes the calls, with keys.
        clock: market time, which bounds how far histories are asked for.
    """

    def __init__(self, transport: BybitTransport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock

    def place(self, request: OrderRequest) -> OrderAck:
        """Send one order, once. The acknowledgement says that Bybit has it, not that it fills."""
        reply = self._transport.act(HTTP.place_order, category=CATEGORY, **order_fields(request))
        order_id = reply.result.get("orderId")
        echo = reply.result.get("orderLinkId")
        if not order_id or (echo and echo != request.order_link_id):
            raise BybitOutcomeUnknown(
                f"Bybit place_order {request.symbol} {request.order_link_id}: the answer is about {echo!r}"
            )
        return OrderAck(request.order_link_id, str(order_id))

    def place_batch(self, requests: Sequence[OrderRequest]) -> list[BatchResult]:
        """Send up to 20 orders in one call, once; one result each, in their order.

        An order that must not be sent is refused here and the others go; Bybit as well may
        take some and refuse others, while the whole call counts as a success.
        """
        _check_size(len(requests))
        results: dict[int, BatchResult] = {}
        payload: dict[int, dict[str, Any]] = {}
        for place, request in enumerate(requests):
            try:
                payload[place] = order_fields(request)
            except BybitRefused as refusal:
                results[place] = refusal
        if payload:
            reply = self._transport.act(
                HTTP.place_batch_order, category=CATEGORY, request=list(payload.values())
            )
            answers = read_batch(reply, [requests[place] for place in payload], "place_batch_order")
            results |= dict(zip(payload, answers, strict=True))
        return [results[place] for place in range(len(requests))]

    def cancel(self, symbol: str, order_link_id: str) -> None:
        """Cancel one order. `OrderNotFound` says that it is filled or cancelled already."""
        self._transport.act(HTTP.cancel_order, category=CATEGORY, symbol=symbol, orderLinkId=order_link_id)

    def cancel_batch(self, orders: Sequence[NamedOrder]) -> list[BatchResult]:
        """Cancel up to 20 orders in one call; one result each, in their order.

        `OrderNotFound` in the place of one says that it is filled or cancelled already, and the
        others are cancelled all the same.
        """
        _check_size(len(orders))
        named = [{"symbol": each.symbol, "orderLinkId": each.order_link_id} for each in orders]
        reply = self._transport.act(HTTP.cancel_batch_order, category=CATEGORY, request=named)
        return read_batch(reply, orders, "cancel_batch_order")

    def cancel_all(self, symbol: str | None = None) -> int:
        """Cancel every open order of the symbol, or of all; returns how many were named.

        Only active orders: without the filter Bybit cancels the stops of open positions too.
        At most 500 a call, picked by Bybit; call again while it names any.
        """
        reply = self._transport.act(
            HTTP.cancel_all_orders, category=CATEGORY, orderFilter="Order", **_scope(symbol)
        )
        named = reply.result.get("list")
        if not isinstance(named, list):
            raise BybitOutcomeUnknown("Bybit cancel_all_orders: the answer has no list")
        return len(named)

    def open_orders(self, symbol: str | None = None) -> list[OrderState]:
        """All open orders, stops and targets of positions among them, each once."""
        found = self._rows(rows.order_state, HTTP.get_open_orders, openOnly=0, limit=50, **_scope(symbol))
        return list({order.exchange_order_id: order for order in found}.values())

    def find_order(self, symbol: str, order_link_id: str) -> OrderState | None:
        """The order wherever it is: open, recently closed, or in the history; None if nowhere.

        Asked in the order in which an order moves, so that it cannot slip between two
        questions. None means that all three were answered and none knew it; the history may
        lag behind, so a young order that is nowhere may still appear.
        """
        places: list[tuple[PybitMethod, dict[str, Any]]] = [
            (HTTP.get_open_orders, {"openOnly": 0}),
            (HTTP.get_open_orders, {"openOnly": 1}),
            (HTTP.get_order_history, {}),
        ]
        for method, where in places:
            order = self._look(method, symbol, order_link_id, where)
            if order is not None:
                return order
        return None

    def executions(
        self, symbol: str | None = None, *, order_link_id: str | None = None, since_ms: int | None = None
    ) -> list[Execution]:
        """Fills, funding and forced closes, oldest first, every page, each once.

        Args:
            symbol: one coin, None for all.
            order_link_id: of one order.
            since_ms: market ms; None means the last week.
        """
        found: dict[str, Execution] = {}
        for span in weeks(since_ms, self._clock.now_ms()):
            for one in self._rows(
                rows.execution,
                HTTP.get_executions,
                limit=100,
                orderLinkId=order_link_id,
                **_scope(symbol),
                **span,
            ):
                if order_link_id is None or one.order_link_id == order_link_id:
                    found[one.exec_id] = one
        # They come newest first: turned round and sorted stably, equal times keep their order.
        oldest_first = list(found.values())[::-1]
        return sorted(oldest_first, key=lambda one: one.executed_at)

    def positions(self) -> list[Position]:
        """Every open position settled in USDT, every page."""
        found = self._rows(rows.position, HTTP.get_positions, limit=200, settleCoin=SETTLE_COIN)
        return [one for one in found if one is not None]

    def position(self, symbol: str) -> Position | None:
        """The open position of one coin, None if there is none."""
        found = self._rows(rows.position, HTTP.get_positions, symbol=symbol)
        return next((one for one in found if one is not None and one.symbol == symbol), None)

    def set_stops(self, symbol: str, *, stop_loss: Decimal | None, take_profit: Decimal | None) -> None:
        """Set or move them in place; None leaves one as it is. "Not modified" is success."""
        fields = moved_stop_fields(symbol, stop_loss, take_profit)
        self._set(HTTP.set_trading_stop, STOPS_NOT_MODIFIED, **fields)

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Set it for both sides; "not modified" is success."""
        both = plain(leverage)
        self._set(
            HTTP.set_leverage, LEVERAGE_NOT_MODIFIED, symbol=symbol, buyLeverage=both, sellLeverage=both
        )

    def closed_pnl(self, symbol: str, *, since_ms: int | None = None) -> list[ClosedPnl]:
        """What each closing order made, oldest first; `since_ms` None means the last week."""
        found: dict[str, ClosedPnl] = {}
        for span in weeks(since_ms, self._clock.now_ms()):
            for one in self._rows(rows.closed_pnl, HTTP.get_closed_pnl, limit=100, symbol=symbol, **span):
                found[one.exchange_order_id] = one
        return sorted(found.values(), key=lambda one: one.created_at)

    def wallet(self) -> Wallet:
        """The unified account in USD."""
        reply = self._transport.read(HTTP.get_wallet_balance, accountType="UNIFIED")
        for row in listed(reply, HTTP.get_wallet_balance):
            return must_read(rows.wallet, row, "wallet")
        raise BybitUnavailable("Bybit get_wallet_balance: no account in the answer")

    def fee_rates(self, symbol: str) -> FeeRates:
        """What a trade of this coin costs."""
        reply = self._transport.read(HTTP.get_fee_rates, category=CATEGORY, symbol=symbol)
        for row in listed(reply, HTTP.get_fee_rates):
            if isinstance(row, Mapping) and row.get("symbol") == symbol:
                return must_read(rows.fee_rates, row, f"fee rates {symbol}")
        raise BybitUnavailable(f"Bybit get_fee_rates {symbol}: not in the answer")

    def all_fee_rates(self) -> dict[str, FeeRates]:
        """What trades cost, by symbol, as far as one answer tells it."""
        reply = self._transport.read(HTTP.get_fee_rates, category=CATEGORY)
        told = (row for row in listed(reply, HTTP.get_fee_rates) if isinstance(row, Mapping))
        return {
            str(row["symbol"]): must_read(rows.fee_rates, row, "fee rates")
            for row in told
            if row.get("symbol")
        }

    def key_info(self) -> KeyInfo:
        """What our API key may do."""
        result = self._transport.read(HTTP.get_api_key_information).result
        permissions = result.get("permissions")
        if not isinstance(permissions, Mapping) or "readOnly" not in result:
            raise BybitUnavailable("Bybit get_api_key_information: no permissions in the answer")
        addresses = result.get("ips") or []
        return KeyInfo(
            is_read_only=result["readOnly"] != 0,
            may_trade="Order" in (permissions.get("ContractTrade") or []),
            may_withdraw="Withdraw" in (permissions.get("Wallet") or []),
            is_bound_to_address=bool(addresses) and "*" not in addresses,
        )

    def _look(
        self, method: PybitMethod, symbol: str, order_link_id: str, where: dict[str, Any]
    ) -> OrderState | None:
        try:
            reply = self._transport.read(
                method, category=CATEGORY, symbol=symbol, orderLinkId=order_link_id, **where
            )
        except OrderNotFound:
            return None
        for row in listed(reply, method):
            order = must_read(rows.order_state, row, f"order {order_link_id}")
            # Whatever the filter did, another order's state must not be taken for ours.
            if order.order_link_id == order_link_id and order.symbol == symbol:
                return order
        return None

    def _rows(self, parse: Callable[[rows.Row], T], method: PybitMethod, **params: Any) -> Iterator[T]:
        """Every row of every page; one that cannot be read fails the call, because a list of
        orders or positions that silently lacks one is worse than none."""
        for row in paged_rows(self._transport, method, category=CATEGORY, **params):
            yield must_read(parse, row, method.__name__)

    def _set(self, method: PybitMethod, not_modified: int, **params: Any) -> None:
        try:
            self._transport.act(method, category=CATEGORY, **params)
        except BybitRefused as refusal:
            if refusal.code != not_modified:
                raise


def _check_size(count: int) -> None:
    if count > LARGEST_BATCH:
        raise BybitRefused(f"a batch of {count} orders: {LARGEST_BATCH} at most", code=BAD_REQUEST)


def _scope(symbol: str | None) -> dict[str, str]:
    return {"settleCoin": SETTLE_COIN} if symbol is None else {"symbol": symbol}
