"""Open interest where none was recorded: derived from turnover and movement, and said to be.

The rule, per candle of a coin:

1. A burst opens positions. With r = turnover rate over its mean of the past hour (an
   exponential mean, twelve candles) and m = the candle's move in per cent, scaled to
   five minutes by the square root of time, open interest rises by
   `1.2 * min(r - 1, 5) * min(m, 4)` per cent, at most 8 %, when r > 1.
2. A burst against the move of the past hour closes positions instead: when the candle
   takes back more than half of that move, open interest falls by half as much.
3. Quiet fades it: its distance from the coin's base halves every eight hours.

The base is 0.4 of the coin's mean daily turnover before the play begins, a common size
for perps. The rule looks at nothing later than the candle itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whalestack.simulator.market.base import FloatArray, IntArray
from whalestack.simulator.market.store import CLOSE, OPEN, TURNOVER, Backdrop

BASE_SHARE_OF_DAILY_TURNOVER = 0.4
_GAIN_PCT = 1.2
_MOST_BURST = 5.0
_MOST_MOVE_PCT = 4.0
_MOST_RISE_PCT = 8.0
_CANDLES_OF_MEMORY = 12.0
_HALF_LIFE_MS = 8 * 3_600_000
_BOUND = 1.2
_DAY_MS = 86_400_000


@dataclass(frozen=True, eq=False)
class DerivedInterest:
    """What the rule makes of candles.

    Attributes:
        interest: at each candle's close, base units, both sides, shape (n, B); NaN where
            the coin has no candle.
        base: each coin's base, shape (n,).
        state: the rule after the last candle, to go on from.
    """

    interest: FloatArray
    base: FloatArray
    state: OpenInterestState


def derive_open_interest(back: Backdrop, begin_ms: int) -> DerivedInterest:
    """Open interest at each candle's close.

    Args:
        back: candles, bars shape (7, n, B); the row of open interest is not looked at.
        begin_ms: only candles closed by then set the coin's base.
    """
    base = base_interest(back.until(begin_ms))
    state = OpenInterestState(len(base))
    interest = base[:, None] * np.exp(_log_distance(back, state))
    return DerivedInterest(np.where(np.isnan(back.bars[CLOSE]), np.nan, interest), base, state)


def base_interest(past: Backdrop) -> FloatArray:
    """0.4 of the mean daily turnover of the past, in coins at the last price; shape (n,)."""
    days = np.where(np.isnan(past.bars[TURNOVER]), 0.0, past.length_ms[None, :] / _DAY_MS).sum(axis=1)
    daily_usd = np.nansum(past.bars[TURNOVER], axis=1) / np.maximum(days, 1e-9)
    last = last_known(past.bars[CLOSE])
    return np.asarray(np.maximum(daily_usd, 1000.0) * BASE_SHARE_OF_DAILY_TURNOVER / last)


def last_known(rows: FloatArray) -> FloatArray:
    """The last value of each row that is not NaN, 1 where there is none; (n, B) -> (n,)."""
    known = ~np.isnan(rows)
    last = rows.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    return np.asarray(np.where(known.any(axis=1), rows[np.arange(rows.shape[0]), last], 1.0))


def _log_distance(back: Backdrop, state: OpenInterestState) -> FloatArray:
    """Logarithm of open interest over the coin's base, shape (n, B)."""
    rate = np.nan_to_num(back.bars[TURNOVER] / back.length_ms[None, :])
    move_pct = np.nan_to_num((back.bars[CLOSE] / back.bars[OPEN] - 1.0) * 100.0)
    move_pct /= np.sqrt(back.length_ms / 300_000.0)[None, :]
    fade = fade_over(back.length_ms)
    out: FloatArray = np.empty(rate.shape)
    for candle in range(rate.shape[1]):
        out[:, candle] = state.step(rate[:, candle], move_pct[:, candle], float(fade[candle]))
    return out


def fade_over(length_ms: IntArray) -> FloatArray:
    """The factor by which the distance from the base shrinks in a time, shape as given."""
    return np.asarray(np.exp2(-length_ms / _HALF_LIFE_MS))


class OpenInterestState:
    """The rule, one candle of all coins at a time; see the module's text.

    Args:
        coins: how many.
    """

    def __init__(self, coins: int) -> None:
        self.distance = np.zeros(coins)
        self._usual_rate = np.zeros(coins)
        self._drift_pct = np.zeros(coins)

    def step(self, rate: FloatArray, move_pct: FloatArray, fade: float) -> FloatArray:
        """Take one candle.

        Args:
            rate: turnover per time, any unit, shape (n,).
            move_pct: signed move, per cent at five minutes' scale, shape (n,).
            fade: the factor by which the distance shrinks over the candle.

        Returns:
            The logarithm of open interest over its base, shape (n,).
        """
        fresh = self._usual_rate <= 0
        self._usual_rate = np.where(fresh, rate, self._usual_rate)
        with np.errstate(divide="ignore", invalid="ignore"):
            burst = np.where(self._usual_rate > 0, rate / self._usual_rate - 1.0, 0.0)
        size = np.minimum(np.abs(move_pct), _MOST_MOVE_PCT)
        rise_pct = np.minimum(_GAIN_PCT * np.clip(burst, 0.0, _MOST_BURST) * size, _MOST_RISE_PCT)
        against = move_pct * self._drift_pct < -0.5 * self._drift_pct**2
        change = np.log1p(np.where(against & (self._drift_pct != 0), -0.5, 1.0) * rise_pct / 100.0)
        self.distance = np.clip(self.distance * fade + change, -_BOUND, _BOUND)
        self._usual_rate += (rate - self._usual_rate) / _CANDLES_OF_MEMORY
        self._drift_pct = self._drift_pct * (1.0 - 1.0 / _CANDLES_OF_MEMORY) + move_pct
        return self.distance
