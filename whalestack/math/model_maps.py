"""The model's map of one range at one time: what is known of the range's last candles, and nothing older.

A range's map is modelled on the candles that CoinGlass's chart of it shows
(`timeframes.GEOMETRY`): five minutes for 12h, a day for 1y. As many candles as the chart has
columns are taken, the last of them the open one, so nothing in the map is older than the
range; within it, 1/e of an untouched position is left after the range's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whalestack.math.heatmap import Floats, Ints, LevelMap
from whalestack.math.liquidation_model import ModelAssumptions
from whalestack.math.liquidation_pass import FastLiquidationModel
from whalestack.math.timeframes import GEOMETRY

LEAST_CANDLES = 12
"""Of fewer no map is made: a coin listed an hour ago has left no levels."""


HIGH, LOW, CLOSE, TURNOVER, INTEREST = range(5)
"""Rows of `RangeCandles.values`."""


@dataclass(frozen=True, eq=False)
class RangeCandles:
    """Candles of one coin and one length, oldest first; the last one may be open.

    Args:
        starts_ms: (C,) openings, market ms.
        values: (5, C) high, low, close, turnover in USD, and open interest in base coins at each
            one's end, NaN where unknown.
    """

    starts_ms: Ints
    values: Floats

    @property
    def size(self) -> int:
        """How many."""
        return int(self.starts_ms.size)

    def last(self, count: int) -> RangeCandles:
        """The last `count` of them."""
        return RangeCandles(self.starts_ms[-count:], self.values[:, -count:])

    def since(self, start_ms: int) -> RangeCandles:
        """Those that open at or after a moment."""
        begin = int(np.searchsorted(self.starts_ms, start_ms))
        return RangeCandles(self.starts_ms[begin:], self.values[:, begin:])

    def joined(self, later: RangeCandles) -> RangeCandles:
        """These, then those of `later` that open after the last of these."""
        newer = later.since(int(self.starts_ms[-1]) + 1) if self.size else later
        return RangeCandles(
            np.concatenate([self.starts_ms, newer.starts_ms]),
            np.concatenate([self.values, newer.values], axis=1),
        )

    def at_price(self, price: float) -> RangeCandles:
        """With the last candle reaching to a price seen since it was written."""
        values = self.values.copy()
        values[HIGH, -1] = max(values[HIGH, -1], price)
        values[LOW, -1] = min(values[LOW, -1], price)
        values[CLOSE, -1] = price
        return RangeCandles(self.starts_ms, values)

    def in_steps(self, step_ms: int) -> RangeCandles:
        """Longer candles put together from these."""
        if not self.size:
            return self
        starts, first, counts = np.unique(
            self.starts_ms // step_ms * step_ms, return_index=True, return_counts=True
        )
        last = first + counts - 1
        longer = np.stack(
            [
                np.maximum.reduceat(self.values[HIGH], first),
                np.minimum.reduceat(self.values[LOW], first),
                self.values[CLOSE, last],
                np.add.reduceat(self.values[TURNOVER], first),
                self.values[INTEREST, last],
            ]
        )
        return RangeCandles(starts, longer)


def model_map(
    candles: RangeCandles, timeframe: str, assumptions: ModelAssumptions, *, map_time_ms: int
) -> LevelMap:
    """What stands after the last candle.

    Args:
        candles: of the range's length, the open one last; older ones than the range shows are left out.
        timeframe: the range.
        assumptions: of the coin; `memory_bars` is that of the range.
        map_time_ms: market ms at which it is made.

    Raises:
        ValueError: there are too few candles, or one is none.
    """
    columns = GEOMETRY[timeframe].columns
    shown = candles.last(columns)
    if shown.size < LEAST_CANDLES:
        raise ValueError(f"{shown.size} candles are too few for a map, {LEAST_CANDLES} wanted")
    model = FastLiquidationModel(assumptions, memory_bars=[float(columns)])
    found = model.advance(*shown.values, column_at=[shown.size - 1])
    return found.level_map(0, 0, timeframe=timeframe, map_time_ms=map_time_ms)
