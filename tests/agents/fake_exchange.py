"""An exchange in memory for the agents' tests: it fills, stops, refuses, and dies where it is told to.

It keeps its own account of what must never happen: `accepted` counts every order that was
taken, and `naked` every moment in which a position stood without a stop.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from whalestack.clients.bybit.errors import (
    BybitOutcomeUnknown,
    BybitRefused,
    DuplicateOrder,
    OrderNotFound,
)
from whalestack.clients.bybit.port import BatchResult
from whalestack.clients.bybit.types import (
    ClosedPnl,
    Execution,
    FeeRates,
    Instrument,
    KeyInfo,
    Kline,
    NamedOrder,
    OpenInterestPoint,
    OrderAck,
    OrderRequest,
    OrderState,
    Position,
    Side,
    Ticker,
    Wallet,
)
from whalestack.clock import ManualClock, to_ms

ZERO = Decimal(0)
SAFE_KEY = KeyInfo(is_read_only=False, may_trade=True, may_withdraw=False, is_bound_to_address=True)
TAKER, MAKER = Decimal("0.00055"), Decimal("0.0002")


class WorkerKilled(BaseException):
    """Stands for kill -9: no handler of the code under test may catch it."""


@dataclass
class Fault:
    """What happens at a call: `error` is raised before the effect, or after it."""

    error: BaseException
    after: bool = False


@dataclass
class _Order:
    state: OrderState
    request: OrderRequest

    @property
    def left(self) -> Decimal:
        return self.state.qty - self.state.filled_qty

    @property
    def is_open(self) -> bool:
        return self.state.status in ("New", "PartiallyFilled")


@dataclass
class _Held:
    side: Side
    size: Decimal
    avg_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    leverage: Decimal = Decimal(1)
    created_at: Any = None
    entry_fees: Decimal = ZERO


@dataclass
class FakeExchange:
    """Implements `whalestack.clients.bybit.port.ExchangePort` in memory.

    Limit orders fill when `set_price` crosses them, at their own price; stops and targets fill
    at theirs. `auto_fill` False leaves filling to `fill`.
    """

    clock: ManualClock
    equity_usd: Decimal = Decimal(10_000)
    auto_fill: bool = True
    prices: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, _Order] = field(default_factory=dict)
    held: dict[str, _Held] = field(default_factory=dict)
    fills: list[Execution] = field(default_factory=list)
    closed: list[ClosedPnl] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    calls: list[str] = field(default_factory=list)
    stop_moves: list[tuple[str, Decimal | None]] = field(default_factory=list)
    naked: list[str] = field(default_factory=list)
    leverages: dict[str, Decimal] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    hooks: dict[str, Callable[[], None]] = field(default_factory=dict)
    skew_ms: int = 0
    hidden: set[str] = field(default_factory=set)
    batches: list[list[str]] = field(default_factory=list)
    member_faults: dict[str, deque[BatchResult]] = field(default_factory=dict)
    cancel_batches: list[list[str]] = field(default_factory=list)
    cancel_faults: dict[str, deque[BatchResult]] = field(default_factory=dict)
    key: KeyInfo = SAFE_KEY
    _numbers: int = 0

    # --- faults ---------------------------------------------------------------------

    def fail(self, method: str, error: BaseException, *, after: bool = False, times: int = 1) -> None:
        """Raise `error` at the next calls of `method`, before or after they took effect."""
        self.faults[method].extend(Fault(error, after) for _ in range(times))

    def lose_answer(self, method: str = "place", *, arrived: bool) -> None:
        """The next call gets no answer; `arrived` says whether it had its effect."""
        self.fail(method, BybitOutcomeUnknown(f"{method}: read timed out"), after=arrived)

    def _call(self, method: str, effect: Callable[[], Any]) -> Any:
        self.calls.append(method)
        if method in self.hooks:
            self.hooks[method]()
        fault = self.faults[method].popleft() if self.faults[method] else None
        if fault is not None and not fault.after:
            raise fault.error
        result = effect()
        if fault is not None:
            raise fault.error
        return result

    # --- the market -------------------------------------------------------------------

    def set_price(self, symbol: str, price: Decimal | str) -> None:
        """Move the last price: limits, stops and targets that it reaches fill."""
        self.prices[symbol] = Decimal(price)
        if self.auto_fill:
            for order in list(self.orders.values()):
                if order.request.symbol == symbol and order.is_open and self._is_marketable(order.request):
                    self.fill(order.request.order_link_id)
        self._trigger_stops(symbol)

    def fill(self, order_link_id: str, qty: Decimal | None = None, price: Decimal | None = None) -> Execution:
        """Fill an order, all that is left or `qty` of it."""
        order = self.orders[order_link_id]
        request = order.request
        amount = min(qty or order.left, order.left)
        at = price or request.price or self.prices[request.symbol]
        state = order.state
        filled = state.filled_qty + amount
        order.state = replace(
            state,
            filled_qty=filled,
            avg_fill_price=at,
            status="Filled" if filled == state.qty else "PartiallyFilled",
            updated_at=self.clock.now(),
        )
        return self._execute(order.state, amount, at, stop_order_type="", is_maker=request.price is not None)

    def open_by_hand(
        self, symbol: str, side: Side, size: Decimal, price: Decimal, stop_loss: Decimal | None = None
    ) -> None:
        """A person opens a position beside us."""
        self.prices.setdefault(symbol, price)
        self.held[symbol] = _Held(side, size, price, stop_loss, None, created_at=self.clock.now())
        self._watch(symbol)

    def close_by_hand(
        self, symbol: str, price: Decimal, *, qty: Decimal | None = None, leave_trace: bool = True
    ) -> None:
        """A person closes a position or a part; without a trace no fill and no profit is told of it later."""
        held = self.held[symbol]
        self._close(symbol, qty or held.size, price, "", "Trade", leave_trace=leave_trace)

    def liquidate(self, symbol: str, price: Decimal) -> None:
        """The exchange closes the position by force."""
        self._close(symbol, self.held[symbol].size, price, "", "BustTrade")

    def charge_funding(self, symbol: str, usd: Decimal) -> Execution:
        """A funding payment: positive is paid by us."""
        held = self.held[symbol]
        return self._record(symbol, held.side, held.avg_price, held.size, usd, exec_type="Funding")

    # --- public data --------------------------------------------------------------------

    def server_time_ms(self) -> int:
        return int(self._call("server_time_ms", lambda: to_ms(self.clock.now()) + self.skew_ms))

    def instruments(self) -> list[Instrument]:
        return []

    def tickers(self) -> list[Ticker]:
        return [self.ticker(symbol) for symbol in self.prices]

    def ticker(self, symbol: str) -> Ticker:
        def effect() -> Ticker:
            price = self.prices[symbol]
            return Ticker(
                symbol, price, price, price, price, price, ZERO, Decimal(10**8), ZERO, ZERO, ZERO, None
            )

        return self._call("ticker", effect)  # type: ignore[no-any-return]

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        limit: int = 200,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[Kline]:
        return []

    def open_interest(
        self, symbol: str, interval: str = "5min", *, limit: int = 50
    ) -> list[OpenInterestPoint]:
        return []

    # --- private calls ------------------------------------------------------------------

    def place(self, request: OrderRequest) -> OrderAck:
        return self._call("place", lambda: self._take(request))  # type: ignore[no-any-return]

    def place_batch(self, requests: Sequence[OrderRequest]) -> list[BatchResult]:
        self.batches.append([request.order_link_id for request in requests])

        def effect() -> list[BatchResult]:
            return [self._take_member(request) for request in requests]

        return self._call("place_batch", effect)  # type: ignore[no-any-return]

    def _take_member(self, request: OrderRequest) -> BatchResult:
        fault = self.member_faults.get(request.order_link_id.rpartition("_")[2])
        if fault is not None:
            result = fault.popleft() if fault else None
            if result is not None:
                return result
        try:
            return self._take(request)
        except BybitRefused as refusal:
            return refusal

    def cancel(self, symbol: str, order_link_id: str) -> None:
        def effect() -> None:
            order = self.orders.get(order_link_id)
            if order is None or not order.is_open:
                raise OrderNotFound("no such open order", code=110001)
            order.state = replace(order.state, status="Cancelled", updated_at=self.clock.now())

        self._call("cancel", effect)

    def cancel_batch(self, orders: Sequence[NamedOrder]) -> list[BatchResult]:
        self.cancel_batches.append([order.order_link_id for order in orders])
        return self._call("cancel_batch", lambda: [self._cancel_member(order) for order in orders])  # type: ignore[no-any-return]

    def _cancel_member(self, named: NamedOrder) -> BatchResult:
        fault = self.cancel_faults.get(named.order_link_id.rpartition("_")[2])
        if fault and (result := fault.popleft()) is not None:
            return result
        order = self.orders.get(named.order_link_id)
        if order is None or not order.is_open:
            return OrderNotFound("no such open order", code=110001)
        order.state = replace(order.state, status="Cancelled", updated_at=self.clock.now())
        return OrderAck(named.order_link_id, order.state.exchange_order_id)

    def cancel_all(self, symbol: str | None = None) -> int:
        open_ones = [each for each in self.orders.values() if each.is_open]
        for order in open_ones:
            order.state = replace(order.state, status="Cancelled", updated_at=self.clock.now())
        return len(open_ones)

    def open_orders(self, symbol: str | None = None) -> list[OrderState]:
        def effect() -> list[OrderState]:
            return [
                each.state
                for each in self.orders.values()
                if each.is_open
                and symbol in (None, each.request.symbol)
                and each.state.order_link_id not in self.hidden
            ]

        return self._call("open_orders", effect)  # type: ignore[no-any-return]

    def find_order(self, symbol: str, order_link_id: str) -> OrderState | None:
        def effect() -> OrderState | None:
            order = self.orders.get(order_link_id)
            return None if order is None or order_link_id in self.hidden else order.state

        return self._call("find_order", effect)  # type: ignore[no-any-return]

    def executions(
        self, symbol: str | None = None, *, order_link_id: str | None = None, since_ms: int | None = None
    ) -> list[Execution]:
        def effect() -> list[Execution]:
            return [
                each
                for each in self.fills
                if symbol in (None, each.symbol)
                and order_link_id in (None, each.order_link_id)
                and to_ms(each.executed_at) >= (since_ms or 0)
            ]

        return self._call("executions", effect)  # type: ignore[no-any-return]

    def positions(self) -> list[Position]:
        return self._call("positions", lambda: [self._position(each) for each in self.held])  # type: ignore[no-any-return]

    def position(self, symbol: str) -> Position | None:
        return self._call("position", lambda: self._position(symbol) if symbol in self.held else None)  # type: ignore[no-any-return]

    def set_stops(self, symbol: str, *, stop_loss: Decimal | None, take_profit: Decimal | None) -> None:
        def effect() -> None:
            held = self.held.get(symbol)
            if held is None:
                raise BybitRefused("can not set tp/sl/ts for zero position", code=10001)
            self._check_stop(held.side, stop_loss, self.prices[symbol])
            held.stop_loss = stop_loss if stop_loss is not None else held.stop_loss
            held.take_profit = take_profit if take_profit is not None else held.take_profit
            self.stop_moves.append((symbol, stop_loss))

        self._call("set_stops", effect)

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        self._call("set_leverage", lambda: self.leverages.__setitem__(symbol, leverage))

    def closed_pnl(self, symbol: str, *, since_ms: int | None = None) -> list[ClosedPnl]:
        def effect() -> list[ClosedPnl]:
            return [
                each
                for each in self.closed
                if each.symbol == symbol and to_ms(each.created_at) >= (since_ms or 0)
            ]

        return self._call("closed_pnl", effect)  # type: ignore[no-any-return]

    def wallet(self) -> Wallet:
        return self._call("wallet", lambda: Wallet(self.equity_usd, self.equity_usd, self.equity_usd))  # type: ignore[no-any-return]

    def fee_rates(self, symbol: str) -> FeeRates:
        return self._call("fee_rates", lambda: FeeRates(TAKER, MAKER))  # type: ignore[no-any-return]

    def all_fee_rates(self) -> dict[str, FeeRates]:
        """It tells those of one coin only."""
        return self._call("all_fee_rates", dict)  # type: ignore[no-any-return]

    def key_info(self) -> KeyInfo:
        return self._call("key_info", lambda: self.key)  # type: ignore[no-any-return]

    # --- inside ---------------------------------------------------------------------------

    def _take(self, request: OrderRequest) -> OrderAck:
        if request.order_link_id in self.orders:
            raise DuplicateOrder("OrderLinkedID is duplicate", code=110072)
        if not request.reduce_only and request.stop_loss is None:
            raise AssertionError("an order that opens was sent without a stop")
        if request.reduce_only and request.symbol not in self.held:
            raise BybitRefused("current position is zero", code=110017)
        self.accepted[request.order_link_id] += 1
        self._numbers += 1
        now = self.clock.now()
        state = OrderState(
            symbol=request.symbol,
            exchange_order_id=f"ex-{self._numbers}",
            order_link_id=request.order_link_id,
            side=request.side,
            order_type="Market" if request.price is None else "Limit",
            status="New",
            price=request.price or ZERO,
            qty=request.qty,
            filled_qty=ZERO,
            avg_fill_price=None,
            reduce_only=request.reduce_only,
            stop_order_type="",
            stop_loss=request.stop_loss,
            take_profit=request.take_profit,
            reject_reason="",
            created_at=now,
            updated_at=now,
        )
        self.orders[request.order_link_id] = _Order(state, request)
        if self.auto_fill and self._is_marketable(request):
            self.fill(request.order_link_id, price=self.prices[request.symbol])
        return OrderAck(request.order_link_id, state.exchange_order_id)

    def _is_marketable(self, request: OrderRequest) -> bool:
        price = self.prices.get(request.symbol)
        if price is None:
            return False
        if request.price is None:
            return True
        return price <= request.price if request.side is Side.BUY else price >= request.price

    def _trigger_stops(self, symbol: str) -> None:
        held, price = self.held.get(symbol), self.prices[symbol]
        if held is None:
            return
        down = held.side is Side.BUY
        if held.stop_loss is not None and (price <= held.stop_loss if down else price >= held.stop_loss):
            self._close(symbol, held.size, held.stop_loss, "StopLoss", "Trade")
        elif held.take_profit is not None and (
            price >= held.take_profit if down else price <= held.take_profit
        ):
            self._close(symbol, held.size, held.take_profit, "TakeProfit", "Trade")

    def _execute(
        self, order: OrderState, qty: Decimal, price: Decimal, *, stop_order_type: str, is_maker: bool
    ) -> Execution:
        fee = qty * price * (MAKER if is_maker else TAKER)
        held = self.held.get(order.symbol)
        closed = ZERO
        if order.reduce_only and held is not None:
            closed = min(qty, held.size)
            self._reduce(order.symbol, closed, price)
        else:
            self._add(order, qty, price)
        return self._record(
            order.symbol,
            order.side,
            price,
            qty,
            fee,
            order=order,
            stop_order_type=stop_order_type,
            closed=closed,
            leaves=order.qty - order.filled_qty,
            is_maker=is_maker,
        )

    def _add(self, order: OrderState, qty: Decimal, price: Decimal) -> None:
        held = self.held.get(order.symbol)
        if held is None:
            self.held[order.symbol] = _Held(
                order.side, qty, price, order.stop_loss, order.take_profit, created_at=self.clock.now()
            )
        else:
            held.avg_price = (held.avg_price * held.size + price * qty) / (held.size + qty)
            held.size += qty
            held.stop_loss = order.stop_loss or held.stop_loss
        self._watch(order.symbol)

    def _close(
        self,
        symbol: str,
        qty: Decimal,
        price: Decimal,
        stop_type: str,
        exec_type: str,
        *,
        leave_trace: bool = True,
    ) -> None:
        held = self.held[symbol]
        side, entry = held.side.opposite, held.avg_price
        self._reduce(symbol, qty, price)
        if not leave_trace:
            return
        fee = qty * price * TAKER
        fill = self._record(
            symbol,
            side,
            price,
            qty,
            fee,
            stop_order_type=stop_type,
            closed=qty,
            exec_type=exec_type,
        )
        gain = (price - entry) * qty * (1 if side is Side.SELL else -1)
        self.closed.append(
            ClosedPnl(
                symbol, fill.exchange_order_id, side, qty, entry, price, gain - fee, self.clock.now(), fee
            )
        )

    def _reduce(self, symbol: str, qty: Decimal, price: Decimal) -> None:
        held = self.held[symbol]
        held.size -= qty
        if held.size <= 0:
            del self.held[symbol]

    def _record(
        self,
        symbol: str,
        side: Side,
        price: Decimal,
        qty: Decimal,
        fee: Decimal,
        *,
        order: OrderState | None = None,
        stop_order_type: str = "",
        closed: Decimal = ZERO,
        leaves: Decimal = ZERO,
        exec_type: str = "Trade",
        is_maker: bool = False,
    ) -> Execution:
        self._numbers += 1
        execution = Execution(
            exec_id=f"fill-{self._numbers}",
            symbol=symbol,
            exchange_order_id=order.exchange_order_id if order else f"sys-{self._numbers}",
            order_link_id=order.order_link_id if order else "",
            side=side,
            price=price,
            qty=qty,
            fee_usd=fee,
            is_maker=is_maker,
            exec_type=exec_type,
            stop_order_type=stop_order_type,
            closed_qty=closed,
            leaves_qty=leaves,
            executed_at=self.clock.now(),
        )
        self.fills.append(execution)
        return execution

    def _position(self, symbol: str) -> Position:
        held = self.held[symbol]
        return Position(
            symbol=symbol,
            side=held.side,
            size=held.size,
            avg_price=held.avg_price,
            mark_price=self.prices[symbol],
            leverage=self.leverages.get(symbol, held.leverage),
            liquidation_price=None,
            stop_loss=held.stop_loss,
            take_profit=held.take_profit,
            unrealised_pnl_usd=ZERO,
            created_at=held.created_at,
            updated_at=self.clock.now(),
        )

    def _check_stop(self, side: Side, stop_loss: Decimal | None, price: Decimal) -> None:
        if stop_loss is None:
            return
        if stop_loss >= price if side is Side.BUY else stop_loss <= price:
            raise BybitRefused(f"StopLoss:{stop_loss} set for {side} position is beyond {price}", code=10001)

    def _watch(self, symbol: str) -> None:
        held = self.held.get(symbol)
        if held is not None and held.stop_loss is None:
            self.naked.append(symbol)
