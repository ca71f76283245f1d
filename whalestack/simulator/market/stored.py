"""What every market of the simulator has: rows of its coins, a candle store, liquidations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whalestack.simulator.market.base import Candles, FloatArray, IntArray, Liquidation
from whalestack.simulator.market.instruments import Instruments
from whalestack.simulator.market.liquidations import LiquidationFeed
from whalestack.simulator.market.store import CandleStore


class StoredMarket:
    """The part of `whalestack.simulator.market.base.Market` that only looks back.

    Args:
        instruments: rows of the coins; their order is the order of all arrays.
        store: candles.
        start_ms: market time at which playing begins.
        seed: of the sizes of derived liquidations.
    """

    derived_data: tuple[str, ...] = ("open_interest", "funding_rate", "mark_price", "book", "liquidations")
    """What no recording tells and a stated rule makes up."""

    def __init__(self, instruments: Instruments, store: CandleStore, *, start_ms: int, seed: int) -> None:
        self._instruments = instruments
        self._symbols = tuple(instruments.rows)
        self._index = {symbol: number for number, symbol in enumerate(self._symbols)}
        self._start_ms = start_ms
        self._now_ms = start_ms
        self.store = store
        self._feed = LiquidationFeed(self._symbols, seed)
        self._ticks = np.array([float(row["priceFilter"]["tickSize"]) for row in instruments.rows.values()])

    @property
    def symbols(self) -> Sequence[str]:
        return self._symbols

    @property
    def derived_instruments(self) -> tuple[str, ...]:
        """Coins whose instrument row was not recorded."""
        return self._instruments.derived

    @property
    def start_ms(self) -> int:
        return self._start_ms

    @property
    def now_ms(self) -> int:
        return self._now_ms

    def instrument(self, symbol: str) -> dict[str, Any]:
        return self._instruments.rows[symbol]

    def coin(self, symbol: str) -> int:
        """The coin's place in the arrays. Raises KeyError if the market does not play it."""
        return self._index[symbol]

    def candles(
        self, symbol: str, interval_s: int, *, end_ms: int, limit: int, start_ms: int | None = None
    ) -> Candles:
        return self.store.candles(
            self._index[symbol], interval_s, end_ms=min(end_ms, self._now_ms), limit=limit, start_ms=start_ms
        )

    def open_interest_history(
        self, symbol: str, interval_s: int, *, end_ms: int, limit: int
    ) -> tuple[IntArray, FloatArray]:
        """Open interest at a moment is that of the candle that closed then."""
        interval_ms = interval_s * 1000
        end_ms = min(end_ms, self._now_ms) - interval_ms
        closed = self.store.candles(self._index[symbol], interval_s, end_ms=end_ms, limit=limit)
        return closed.start_ms + interval_ms, closed.open_interest

    def liquidations(self, after_seq: int = 0) -> list[Liquidation]:
        return self._feed.after(after_seq)
