"""Bybit's public data: instruments, tickers, bars, open interest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from pybit.unified_trading import HTTP

from whalestack.clients.bybit import rows
from whalestack.clients.bybit.errors import BybitUnavailable
from whalestack.clients.bybit.paging import listed, pages
from whalestack.clients.bybit.paging import rows as paged_rows
from whalestack.clients.bybit.payloads import CATEGORY
from whalestack.clients.bybit.transport import BybitTransport
from whalestack.clients.bybit.types import Instrument, Kline, OpenInterestPoint, Ticker
from whalestack.clock import from_ms

log = structlog.get_logger()
T = TypeVar("T")

MAX_BARS = 1000
MAX_POINTS = 200
# Only "Trading" is listed unless asked; coins before their listing are wanted by name.
STATUSES = ("Trading", "PreLaunch")
PERPETUAL = "LinearPerpetual"
DAY_MS = 86_400_000
INTERVAL_MS = {"D": DAY_MS, "W": 7 * DAY_MS}


class BybitMarket:
    """The public half of the client; see `whalestack.clients.bybit.port.MarketPort`.

    Args:
        transport: makes the calls.
    """

    def __init__(self, transport: BybitTransport) -> None:
        self._transport = transport

    def server_time_ms(self) -> int:
        """The exchange's real wall clock, ms since the epoch: what signatures are judged by."""
        reply = self._transport.read(HTTP.get_server_time)
        try:
            return int(reply.result["timeNano"]) // 1_000_000
        except (KeyError, TypeError, ValueError) as error:
            raise BybitUnavailable("Bybit get_server_time: no time in the answer") from error

    def instruments(self) -> list[Instrument]:
        """All linear perpetuals that trade or are about to, every page, each once.

        A malformed row is left out and named in the log; the other coins are unharmed.
        """
        found: dict[str, Instrument] = {}
        for status in STATUSES:
            listing = paged_rows(
                self._transport, HTTP.get_instruments_info, category=CATEGORY, status=status, limit=1000
            )
            perpetuals = (row for row in listing if _is_perpetual(row))
            for one in _readable(rows.instrument, perpetuals, "instruments"):
                found.setdefault(one.symbol, one)
        return list(found.values())

    def tickers(self) -> list[Ticker]:
        """The state of every perpetual that has a price, in one call."""
        reply = self._transport.read(HTTP.get_tickers, category=CATEGORY)
        return _readable(rows.ticker, listed(reply, HTTP.get_tickers), "tickers")

    def ticker(self, symbol: str) -> Ticker:
        """The state of one perpetual.

        Raises:
            BybitRefused: Bybit does not know the symbol.
            BybitUnavailable: the answer is not about it.
        """
        reply = self._transport.read(HTTP.get_tickers, category=CATEGORY, symbol=symbol)
        for row in listed(reply, HTTP.get_tickers):
            one = must_read(rows.ticker, row, f"ticker {symbol}")
            if one.symbol == symbol:
                return one
        raise BybitUnavailable(f"Bybit ticker {symbol}: not in the answer")

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        limit: int = 200,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[Kline]:
        """The newest `limit` bars of the span, oldest first; more than 1,000 take several calls.

        Args:
            symbol: Bybit symbol.
            interval: Bybit's name: 1, 3, 5, 15, 30, 60, 120, 240, 360, 720, D, W, M.
            limit: bars at most.
            start_ms: first bar's start at the earliest, ms since the epoch.
            end_ms: last bar's start at the latest, ms since the epoch.
        """
        bars: dict[int, Kline] = {}
        while len(bars) < limit:
            asked = min(MAX_BARS, limit - len(bars))
            page = self._bars(symbol, interval, asked, start_ms, end_ms)
            fresh = [bar for bar in page if bar.start_ms not in bars]
            bars |= {bar.start_ms: bar for bar in fresh}
            if len(page) < asked or not fresh:
                break
            end_ms = min(bars) - 1
        return [bars[start] for start in sorted(bars)]

    def open_interest(
        self, symbol: str, interval: str = "5min", *, limit: int = 50
    ) -> list[OpenInterestPoint]:
        """The newest `limit` points, oldest first.

        Args:
            symbol: Bybit symbol.
            interval: 5min, 15min, 30min, 1h, 4h or 1d.
            limit: points at most; more than 200 take several calls.
        """
        points: dict[int, OpenInterestPoint] = {}
        for reply in pages(
            self._transport,
            HTTP.get_open_interest,
            category=CATEGORY,
            symbol=symbol,
            intervalTime=interval,
            limit=min(MAX_POINTS, limit),
        ):
            for row in listed(reply, HTTP.get_open_interest):
                point = must_read(rows.open_interest_point, row, f"open interest {symbol}")
                points[point.timestamp_ms] = point
            if len(points) >= limit:
                break
        return [points[moment] for moment in sorted(points)[-limit:]]

    def _bars(
        self, symbol: str, interval: str, limit: int, start_ms: int | None, end_ms: int | None
    ) -> list[Kline]:
        reply = self._transport.read(
            HTTP.get_kline,
            category=CATEGORY,
            symbol=symbol,
            interval=interval,
            limit=limit,
            start=start_ms,
            end=end_ms,
        )
        try:
            found = [rows.kline(symbol, interval, row) for row in listed(reply, HTTP.get_kline)]
        except rows.BadRow as error:
            raise BybitUnavailable(f"Bybit get_kline: {error}") from error
        return [with_closed(bar, reply.time_ms) for bar in found]


def with_closed(bar: Kline, now_ms: int) -> Kline:
    """The bar with `is_closed` told by the server's time of the answer, ms since the epoch."""
    is_closed = bar_end_ms(bar.start_ms, bar.interval) <= now_ms
    return Kline(
        bar.symbol,
        bar.interval,
        bar.start_ms,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.turnover_usd,
        is_closed,
    )


def bar_end_ms(start_ms: int, interval: str) -> int:
    """When a bar that starts at `start_ms` is over, ms since the epoch."""
    if interval == "M":
        start = from_ms(start_ms)
        month = start.year * 12 + start.month
        return round(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)
    return start_ms + (INTERVAL_MS.get(interval) or int(interval) * 60_000)


def must_read(parse: Callable[[rows.Row], T], row: object, what: str) -> T:
    """The row as a value.

    Raises:
        BybitUnavailable: it cannot be read; the call may be repeated.
    """
    try:
        return rows.read_row(parse, row)
    except rows.BadRow as error:
        raise BybitUnavailable(f"Bybit {what}: {error}") from error


def _readable(parse: Callable[[rows.Row], T], found: Iterable[object], what: str) -> list[T]:
    """Every row that can be read; the others are named in the log and counted there."""
    values: list[T] = []
    for row in found:
        try:
            values.append(rows.read_row(parse, row))
        except rows.BadRow as error:
            log.warning("bybit_bad_row", listing=what, error=str(error))
    return values


def _is_perpetual(row: object) -> bool:
    return not isinstance(row, dict) or row.get("contractType") == PERPETUAL
