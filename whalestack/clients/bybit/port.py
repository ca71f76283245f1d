"""What the agents need of an exchange. `BybitClient` is the real one; tests may bring a fake."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from whalestack.clients.bybit.errors import BybitOutcomeUnknown, BybitRateLimited, BybitRefused
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
    Ticker,
    Wallet,
)

BatchResult = OrderAck | BybitRefused | BybitRateLimited | BybitOutcomeUnknown


class MarketPort(Protocol):
    """Public data. Every call raises `BybitUnavailable` or `BybitRateLimited` when it may be repeated."""

    def server_time_ms(self) -> int: ...

    def instruments(self) -> list[Instrument]:
        """All linear perpetuals, every page."""

    def tickers(self) -> list[Ticker]: ...

    def ticker(self, symbol: str) -> Ticker: ...

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        limit: int = 200,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[Kline]:
        """Bars, oldest first; the last one may still be open (`is_closed` False)."""

    def open_interest(
        self, symbol: str, interval: str = "5min", *, limit: int = 50
    ) -> list[OpenInterestPoint]:
        """Points, oldest first."""


class TradingPort(Protocol):
    """Private calls. Reads raise as `MarketPort`; calls with an effect raise also
    `BybitRefused` (nothing happened) and `BybitOutcomeUnknown` (ask)."""

    def place(self, request: OrderRequest) -> OrderAck: ...

    def place_batch(self, requests: Sequence[OrderRequest]) -> list[BatchResult]:
        """Up to 20 orders; one result each, in order.

        Raises:
            BybitOutcomeUnknown: the whole batch was sent and no readable answer came.
        """

    def cancel(self, symbol: str, order_link_id: str) -> None: ...

    def cancel_batch(self, orders: Sequence[NamedOrder]) -> list[BatchResult]:
        """Cancel up to 20 orders; one result each, in order. One that is filled or cancelled already
        is an `OrderNotFound` in its place.

        Raises:
            BybitOutcomeUnknown: the whole batch was sent and no readable answer came.
        """

    def cancel_all(self, symbol: str | None = None) -> int:
        """Cancel every open order of the symbol, or of all; returns how many were named."""

    def open_orders(self, symbol: str | None = None) -> list[OrderState]:
        """All open orders, every page."""

    def find_order(self, symbol: str, order_link_id: str) -> OrderState | None:
        """The order wherever it is: open, recently closed, or in the history; None if nowhere."""

    def executions(
        self, symbol: str | None = None, *, order_link_id: str | None = None, since_ms: int | None = None
    ) -> list[Execution]:
        """Fills, oldest first, every page."""

    def positions(self) -> list[Position]:
        """Every open position, every page."""

    def position(self, symbol: str) -> Position | None: ...

    def set_stops(self, symbol: str, *, stop_loss: Decimal | None, take_profit: Decimal | None) -> None:
        """Set or move them in place; None leaves one as it is. "Not modified" (34040) is success."""

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Set it; "not modified" (110043) is success."""

    def closed_pnl(self, symbol: str, *, since_ms: int | None = None) -> list[ClosedPnl]: ...

    def wallet(self) -> Wallet: ...

    def fee_rates(self, symbol: str) -> FeeRates: ...

    def all_fee_rates(self) -> dict[str, FeeRates]: ...

    def key_info(self) -> KeyInfo:
        """What the API key may do."""


class ExchangePort(MarketPort, TradingPort, Protocol):
    """Both."""
