"""One coin's candles made ready: on whole ticks, walked into minutes, and asked for single moments.

All figures of a moment are functions of that moment alone: the last price, the mark price, turnover and
funding are read out of the candles when they are asked for, so skipping what lies between two moments
cannot change them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp

import numpy as np

from whalestack.backtest import walk_kernel as kernel
from whalestack.backtest.repair import CLOSE, HIGH, LOW, OPEN, TURNOVER
from whalestack.math.accuracy_bars import HOUR_MS
from whalestack.math.heatmap import Floats, Ints
from whalestack.simulator.market.walk import walk_points

MINUTE_MS = 60_000
POINT_MS = 5_000
"""Distance of the walked price points, as in the simulator's recorded market."""
MARK_MEMORY_S = 15.0
_DAY_MINUTES, _FUNDING_MINUTES = 1440, 480
_BASE_FUNDING, _FUNDING_SHARE, _MOST_FUNDING = 0.0001, 0.01, 0.002


@dataclass(frozen=True, eq=False)
class Minutes:
    """(M,) minutes of a coin: opens, highs, lows, closes, turnover in USD, open interest at their ends."""

    opens: Floats
    highs: Floats
    lows: Floats
    closes: Floats
    turnover: Floats
    interest: Floats


class CoinSeries:
    """A coin's played candles.

    Args:
        symbol: of the coin.
        start_ms: opening of the first candle.
        bar_ms: length of a candle, one or five minutes.
        bars: (6, N) open, high, low, close, volume (base), turnover (USD).
        interest: (N,) open interest at each close, base coins.
        tick: tick size.
        turnover_before: USD of a day before the first candle, for moments that have no full day behind them.
        funding: recorded moments and rates, None to derive them.
    """

    def __init__(
        self,
        symbol: str,
        *,
        start_ms: int,
        bar_ms: int,
        bars: Floats,
        interest: Floats,
        tick: float,
        turnover_before: float,
        funding: tuple[Ints, Floats] | None = None,
    ) -> None:
        self.symbol, self.start_ms, self.bar_ms, self.tick = symbol, start_ms, bar_ms, tick
        self.bars, self.interest = bars, interest
        self.points = bar_ms // POINT_MS
        self._turnover_before = turnover_before
        self._funding = funding
        self._kept = exp(-POINT_MS / 1000.0 / MARK_MEMORY_S)
        top, bottom = _rounded(bars[HIGH], tick), _rounded(bars[LOW], tick)
        opens, highs, lows, closes = (np.ascontiguousarray(bars[each]) for each in (OPEN, HIGH, LOW, CLOSE))
        self.walk = kernel.Walk(opens, highs, lows, closes, top, bottom, tick, self.points)
        self.minutes = self._walked_minutes()
        summed = np.concatenate([[0.0], np.cumsum(self.minutes.turnover)])
        turnover = np.ascontiguousarray(bars[TURNOVER])
        self.flow = kernel.Flow(turnover, interest, self.minutes.turnover, summed, bar_ms)

    @property
    def end_ms(self) -> int:
        """When the last candle closes."""
        return self.start_ms + int(self.bars.shape[1]) * self.bar_ms

    @property
    def total_points(self) -> int:
        """How many price points there are."""
        return int(self.bars.shape[1]) * self.points

    def closed_by(self, at_ms: int) -> int:
        """How many candles have closed by a moment."""
        return int(min(max((at_ms - self.start_ms) // self.bar_ms, 0), self.bars.shape[1]))

    def moment(self, number: int) -> int:
        """Market ms of a point."""
        return self.start_ms + number * POINT_MS

    def number_at(self, at_ms: int) -> int:
        """The latest point at or before a moment; below 0 before the first."""
        return int(min((at_ms - self.start_ms) // POINT_MS, self.total_points - 1))

    def first_from(self, at_ms: int) -> int:
        """The first point at or after a moment."""
        return int(max(-(-(at_ms - self.start_ms) // POINT_MS), 0))

    def price(self, number: int) -> float:
        """The price of a point, on a whole tick."""
        return kernel.point_price(self.walk, number // self.points, number % self.points)

    def mark(self, number: int) -> float:
        """The mark price at a point, not rounded."""
        return kernel.mark_after(self.walk, number // self.points, number % self.points, self._kept)

    def open_interest(self, number: int) -> float:
        """Open interest at a point, base coins."""
        return kernel.interest_at(self.walk, self.flow, number // self.points, number % self.points)

    def next_reached(self, start: int, end: int, at_or_below: float, at_or_above: float) -> int:
        """The first point in [start, end) that reaches either price; `end` where none does."""
        end = min(end, self.total_points)
        return kernel.next_reached(self.walk, start, end, at_or_below, at_or_above)

    # --- what a ticker tells ---------------------------------------------------------------

    def minute_at(self, at_ms: int) -> int:
        """Number of the minute that holds a moment."""
        return (at_ms - self.start_ms) // MINUTE_MS

    def _last_minute(self, at_ms: int) -> int:
        """The same, but never beyond the last."""
        return int(min(self.minute_at(at_ms), self.minutes.opens.size - 1))

    def turnover_24h(self, at_ms: int) -> float:
        """USD traded in the 1,440 whole minutes before the moment's own.

        Where fewer are there, what a day before the first candle traded stands in for the rest.
        """
        minute = self._last_minute(at_ms)
        first = max(minute - _DAY_MINUTES, 0)
        missing = 1.0 - min(minute, _DAY_MINUTES) / _DAY_MINUTES
        summed = self.flow.summed
        return float(summed[minute] - summed[first]) + missing * self._turnover_before

    def funding_rate(self, at_ms: int) -> float:
        """The rate of one interval, a fraction: the recorded one that fell due last, or derived.

        Derived as the simulator does: 0.01 % and a hundredth of the eight hours' change, within 0.2 %.
        """
        if self._funding is not None:
            place = int(np.searchsorted(self._funding[0], at_ms + MINUTE_MS, side="right")) - 1
            return float(self._funding[1][place]) if place >= 0 else _BASE_FUNDING
        minute = self._last_minute(at_ms)
        now, then = self.minutes.opens[minute], self.minutes.opens[max(minute - _FUNDING_MINUTES, 0)]
        rate = _BASE_FUNDING + (now / then - 1.0) * _FUNDING_SHARE
        # As numpy rounds to eight places; of a single value that takes a tenth of its time.
        return float(np.rint(min(max(rate, -_MOST_FUNDING), _MOST_FUNDING) * 1e8) / 1e8)

    # --- making it ready ---------------------------------------------------------------------

    def _walked_minutes(self) -> Minutes:
        bars = self.bars
        if self.bar_ms == MINUTE_MS:
            opens, highs, lows, closes = (
                _rounded(bars[each], self.tick) for each in (OPEN, HIGH, LOW, CLOSE)
            )
            return Minutes(opens, highs, lows, closes, np.ascontiguousarray(bars[TURNOVER]), self.interest)
        raw, shares = walk_points(bars[OPEN], bars[HIGH], bars[LOW], bars[CLOSE], self.points)
        each = MINUTE_MS // POINT_MS
        walked = _rounded(raw, self.tick).reshape(-1, each)
        of_minutes = shares.reshape(shares.shape[0], -1, each).sum(axis=2)
        before = np.concatenate([self.interest[:1], self.interest[:-1]])
        grown = before[:, None] + (self.interest - before)[:, None] * np.cumsum(of_minutes, axis=1)
        return Minutes(
            walked[:, 0].copy(),
            walked.max(axis=1),
            walked.min(axis=1),
            walked[:, -1].copy(),
            (bars[TURNOVER][:, None] * of_minutes).ravel(),
            grown.ravel(),
        )

    @cached_property
    def hours(self) -> tuple[Ints, Floats]:
        """Opening moments (H,) of the hours and their open, high, low, close (4, H), of whole candles."""
        starts = self.start_ms + self.bar_ms * np.arange(self.bars.shape[1], dtype=np.int64)
        hour = starts // HOUR_MS
        heads = np.flatnonzero(np.concatenate([[True], np.diff(hour) > 0]))
        tails = np.concatenate([heads[1:], [len(hour)]]) - 1
        bars = self.bars
        high, low = np.maximum.reduceat(bars[HIGH], heads), np.minimum.reduceat(bars[LOW], heads)
        return hour[heads] * HOUR_MS, np.stack([bars[OPEN][heads], high, low, bars[CLOSE][tails]])

    def ended_hours(self, since_ms: int, at_ms: int) -> tuple[Ints, Floats]:
        """Of `hours`, those that open from one moment on and have ended by another."""
        starts, hours = self.hours
        part = slice(*np.searchsorted(starts, (since_ms, at_ms - HOUR_MS + 1)).tolist())
        return starts[part], hours[:, part]


def _rounded(prices: Floats, tick: float) -> Floats:
    """To whole ticks, as the simulator's market."""
    return np.asarray(np.round(np.maximum(np.rint(prices / tick), 1.0) * tick, 10))
