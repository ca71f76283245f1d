"""What a ticker says of the past day, for all coins at once, renewed every market minute."""

from __future__ import annotations

import numpy as np

from whalestack.simulator.market.base import FloatArray
from whalestack.simulator.market.store import CLOSE, HIGH, LOW, MINUTE_MS, OPEN, TURNOVER, VOLUME, CandleStore

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_BASE_FUNDING = 0.0001
_MOST_FUNDING = 0.002


class DayStatistics:
    """Arrays over the coins, shape (n,): high, low, volume, turnover, prices ago, funding.

    `funding` is a fraction for one interval. It is not in the candles; it is derived: 0.01 %
    and more for a coin that has risen over eight hours, less for one that has fallen,
    0.05 % for each 5 % of movement, within 0.2 %.
    """

    def __init__(self, store: CandleStore) -> None:
        self._store = store
        coins = store.backdrop.bars.shape[1]
        self.high = np.zeros(coins)
        self.low = np.full(coins, np.inf)
        self.volume = np.zeros(coins)
        self.turnover = np.zeros(coins)
        self.price_24h_ago = np.zeros(coins)
        self.price_1h_ago = np.zeros(coins)
        self.funding = np.full(coins, _BASE_FUNDING)

    def refresh(self, now_ms: int) -> None:
        """Take the 24 hours before `now_ms`."""
        minutes, back = self._store.minutes, self._store.backdrop
        since_ms = now_ms - _DAY_MS
        low = int(np.searchsorted(back.start_ms, since_ms))
        first = max(0, min(minutes.count - 1, (since_ms - minutes.begin_ms) // MINUTE_MS))
        day = (back.bars[:, :, low:], minutes.bars[:, :, first:])
        self.high = np.maximum(np.fmax.reduce(day[0][HIGH], axis=1, initial=0.0), day[1][HIGH].max(axis=1))
        self.low = np.minimum(np.fmin.reduce(day[0][LOW], axis=1, initial=np.inf), day[1][LOW].min(axis=1))
        self.volume = np.nansum(day[0][VOLUME], axis=1) + day[1][VOLUME].sum(axis=1)
        self.turnover = np.nansum(day[0][TURNOVER], axis=1) + day[1][TURNOVER].sum(axis=1)
        self.price_24h_ago = self._price_at(since_ms)
        self.price_1h_ago = self._price_at(now_ms - _HOUR_MS)
        change_8h = minutes.bars[CLOSE, :, -1] / self._price_at(now_ms - 8 * _HOUR_MS) - 1.0
        self.funding = np.round(np.clip(_BASE_FUNDING + change_8h * 0.01, -_MOST_FUNDING, _MOST_FUNDING), 8)

    def _price_at(self, at_ms: int) -> FloatArray:
        """The opening price of the candle that holds a moment; a younger coin's first price."""
        minutes, back = self._store.minutes, self._store.backdrop
        number = (at_ms - minutes.begin_ms) // MINUTE_MS
        first = np.array(minutes.bars[OPEN, :, 0])
        if number >= 0 or not len(back.start_ms):
            return np.array(minutes.bars[OPEN, :, max(number, 0)])
        row = max(0, int(np.searchsorted(back.start_ms, at_ms, side="right")) - 1)
        price = back.bars[OPEN, :, row]
        return np.where(np.isnan(price), first, price)
