"""The market as the simulator's exchange asks for it, at whatever moment the clock shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whalestack.backtest.prepared import PreparedMarket
from whalestack.backtest.series import CoinSeries
from whalestack.clock import ManualClock
from whalestack.simulator.market.base import Candles, IntArray, Liquidation, Tick, TickerState
from whalestack.simulator.market.played import next_funding_ms, spread


class ClockedMarket:
    """Tickers and price points of the prepared coins; `whalestack.simulator.market.base.Market`.

    It keeps nothing but the ticker asked for last: every figure is that of the clock's moment.

    Args:
        prepared: the coins.
        clock: whose moment is shown.
    """

    def __init__(self, prepared: PreparedMarket, clock: ManualClock) -> None:
        self._prepared = prepared
        self._clock = clock
        self._kept: dict[str, tuple[int, TickerState]] = {}

    def series(self, symbol: str) -> CoinSeries:
        """The candles of a coin. Raises KeyError for an unknown one."""
        return self._prepared.coins[symbol].series

    def tick(self, symbol: str, number: int) -> Tick:
        """A price point as the exchange takes it."""
        series = self.series(symbol)
        return Tick(series.moment(number), symbol, series.price(number), 0.0, 0.0, 0.0)

    def ticker(self, symbol: str) -> TickerState:
        """The coin's ticker at the clock's moment."""
        now_ms = self._clock.now_ms()
        kept = self._kept.get(symbol)
        if kept is None or kept[0] != now_ms:
            kept = (now_ms, self._ticker(symbol, now_ms))
            self._kept[symbol] = kept
        return kept[1]

    def _ticker(self, symbol: str, now_ms: int) -> TickerState:
        series = self.series(symbol)
        number, tick = series.number_at(now_ms), series.tick
        last, mark, funding = series.price(number), series.mark(number), series.funding_rate(now_ms)
        turnover = series.turnover_24h(now_ms)
        bid, ask = spread(last, tick)
        interval_h = int(self._prepared.instruments[symbol]["fundingInterval"]) // 60
        return TickerState(
            symbol=symbol,
            ts_ms=now_ms,
            last=last,
            mark=round(round(mark / tick) * tick, 10),
            index=round(round(mark * (1.0 - 0.1 * funding) / tick) * tick, 10),
            bid=bid,
            ask=ask,
            bid_size=0.0,
            ask_size=0.0,
            open_interest=series.open_interest(number),
            funding_rate=funding,
            next_funding_ms=next_funding_ms(now_ms, interval_h),
            funding_interval_h=interval_h,
            volume_24h=turnover / last,
            turnover_24h=turnover,
            high_24h=last,
            low_24h=last,
            prev_24h=last,
            prev_1h=last,
        )

    def instrument(self, symbol: str) -> dict[str, Any]:
        return self._prepared.instruments[symbol]

    @property
    def symbols(self) -> Sequence[str]:
        return tuple(self._prepared.coins)

    @property
    def start_ms(self) -> int:
        return self._prepared.start_ms

    @property
    def end_ms(self) -> int | None:
        return self._prepared.end_ms

    @property
    def now_ms(self) -> int:
        return self._clock.now_ms()

    # --- what an exchange never asks ----------------------------------------------------------

    def advance(self, now_ms: int) -> list[Tick]:
        raise NotImplementedError("the backtest hands price points over itself")

    def push_price(
        self, symbol: str, price: float, *, turnover_usd: float = 0.0, open_interest: float | None = None
    ) -> Tick:
        raise NotImplementedError("the past cannot be changed")

    def candles(
        self, symbol: str, interval_s: int, *, end_ms: int, limit: int, start_ms: int | None = None
    ) -> Candles:
        raise NotImplementedError("an exchange asks for tickers only")

    def open_interest_history(
        self, symbol: str, interval_s: int, *, end_ms: int, limit: int
    ) -> tuple[IntArray, Any]:
        raise NotImplementedError("an exchange asks for tickers only")

    def liquidations(self, after_seq: int = 0) -> list[Liquidation]:
        return []
