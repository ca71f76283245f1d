"""A market that stands still until a test moves it: one coin or a few, a tight spread, wide limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from whalestack.clock import ManualClock
from whalestack.simulator.market.base import Candles, Liquidation, Tick, TickerState

START_MS = 1_760_875_200_000
MINUTE_MS = 60_000


def instrument_row(symbol: str, **changes: Any) -> dict[str, Any]:
    """A row of instruments-info: tick 0.01, step 0.1, 50 x, price limits 5 and 10 %."""
    row: dict[str, Any] = {
        "symbol": symbol,
        "symbolId": 7,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "symbolType": "",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "50.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.01", "maxPrice": "199999.98", "tickSize": "0.01"},
        "lotSizeFilter": {
            "maxOrderQty": "10000.0",
            "minOrderQty": "0.1",
            "qtyStep": "0.1",
            "postOnlyMaxOrderQty": "10000.0",
            "maxMktOrderQty": "5000.0",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "copyTrading": "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
    }
    return {**row, **changes}


class StillMarket:
    """Prices stay where they are put; every coin trades 1,440,000 USDT a day, 1,000 a minute.

    Args:
        clock: market time.
        symbols: coins, each at 100 USDT with a spread of 0.02.
    """

    def __init__(self, clock: ManualClock, symbols: Sequence[str] = ("AAAUSDT", "BBBUSDT")) -> None:
        self.clock = clock
        self.rows = {symbol: instrument_row(symbol) for symbol in symbols}
        self.states = {symbol: self._state(symbol, 100.0) for symbol in symbols}
        self.liquidated: list[Liquidation] = []
        self.start_ms = clock.now_ms()
        self.end_ms = None

    @property
    def symbols(self) -> Sequence[str]:
        return tuple(self.rows)

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    def instrument(self, symbol: str) -> dict[str, Any]:
        return self.rows[symbol]

    def advance(self, now_ms: int) -> list[Tick]:
        return []

    def push_price(
        self, symbol: str, price: float, *, turnover_usd: float = 0.0, open_interest: float | None = None
    ) -> Tick:
        """Move last, bid, ask, mark and index to a price, at which 1,000 USDT are traded if not said."""
        turnover_usd = turnover_usd or 1000.0
        self.states[symbol] = self._state(symbol, price)
        interest = 50_000.0 if open_interest is None else open_interest
        return Tick(self.clock.now_ms(), symbol, price, turnover_usd, turnover_usd / price, interest)

    def change(self, symbol: str, **values: float) -> None:
        """Change single fields of a ticker."""
        self.states[symbol] = replace(self.states[symbol], **values)

    def ticker(self, symbol: str) -> TickerState:
        return self.states[symbol]

    def candles(
        self, symbol: str, interval_s: int, *, end_ms: int, limit: int, start_ms: int | None = None
    ) -> Candles:
        step = interval_s * 1000
        last = min(end_ms, self.now_ms) // step * step
        count = limit if start_ms is None else min(limit, max((last - start_ms) // step + 1, 0))
        starts = last - step * np.arange(count - 1, -1, -1, dtype=np.int64)
        price = np.full(count, self.states[symbol].last)
        one = np.ones(count)
        return Candles(starts, price, price + 1, price - 1, price, one, one * 100, one * 50_000)

    def open_interest_history(
        self, symbol: str, interval_s: int, *, end_ms: int, limit: int
    ) -> tuple[Any, Any]:
        step = interval_s * 1000
        moments = end_ms // step * step - step * np.arange(limit - 1, -1, -1, dtype=np.int64)
        return moments, np.full(limit, 50_000.0)

    def liquidations(self, after_seq: int = 0) -> list[Liquidation]:
        return [event for event in self.liquidated if event.seq > after_seq]

    def _state(self, symbol: str, price: float) -> TickerState:
        return TickerState(
            symbol=symbol,
            ts_ms=self.clock.now_ms(),
            last=price,
            mark=price,
            index=price,
            bid=price - 0.01,
            ask=price + 0.01,
            bid_size=10.0,
            ask_size=12.0,
            open_interest=50_000.0,
            funding_rate=0.0001,
            next_funding_ms=START_MS + 8 * 3_600_000,
            funding_interval_h=8,
            volume_24h=14_400.0,
            turnover_24h=1_440_000.0,
            high_24h=101.0,
            low_24h=99.0,
            prev_24h=99.0,
            prev_1h=99.5,
        )
