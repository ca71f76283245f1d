"""Bybit's public data by hand: quiet hours, and failures on request."""

from __future__ import annotations

from whalestack.clients.bybit.errors import BybitUnavailable
from whalestack.clients.bybit.types import Instrument, Kline, OpenInterestPoint, Ticker
from whalestack.clock import Clock

LENGTH_MS = {"1": 60_000, "60": 3_600_000}


class FakeMarket:
    """Every coin at 100 with 1,000 coins of open interest and 50 USD a minute.

    Args:
        clock: market time; history ends now.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.failing: set[str] = set()
        self.asked: list[tuple[str, str, int]] = []

    def server_time_ms(self) -> int:
        return self._clock.now_ms()

    def instruments(self) -> list[Instrument]:
        raise NotImplementedError

    def tickers(self) -> list[Ticker]:
        raise NotImplementedError

    def ticker(self, symbol: str) -> Ticker:
        raise NotImplementedError

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        limit: int = 200,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[Kline]:
        self._ask(symbol, interval, limit)
        length_ms, now_ms = LENGTH_MS[interval], self._clock.now_ms()
        newest = now_ms // length_ms * length_ms
        return [
            Kline(symbol, interval, start, 100.0, 101.0, 99.0, 100.0, 0.5, 50.0, start + length_ms <= now_ms)
            for start in range(newest - (limit - 1) * length_ms, newest + 1, length_ms)
        ]

    def open_interest(
        self, symbol: str, interval: str = "5min", *, limit: int = 50
    ) -> list[OpenInterestPoint]:
        self._ask(symbol, interval, limit)
        newest = self._clock.now_ms() // 300_000 * 300_000
        return [OpenInterestPoint(newest - back * 300_000, 1000.0) for back in reversed(range(limit))]

    def _ask(self, symbol: str, what: str, limit: int) -> None:
        self.asked.append((symbol, what, limit))
        if symbol in self.failing:
            raise BybitUnavailable(f"no data of {symbol}")
