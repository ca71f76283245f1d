"""Maps as the running system's model source makes them: each range anew, from candles of its own length.

Slow (a model for each range at each refresh), and the very function of `HEATMAP_SOURCE=model`: for
comparing a backtest with the running system. As there, open interest of the time before the system was
started is what Bybit tells of it (`scanners.model_candles`): the last 200 points of an interval near the
candles' length; of earlier candles it is not known.
"""

from __future__ import annotations

import numpy as np

from whalestack.backtest.cluster_book import Columns
from whalestack.clients.bybit.lengths import INTEREST_POINTS, LENGTHS, POINTS_MS
from whalestack.math.heatmap import Floats, Ints, LevelMap
from whalestack.math.liquidation_model import ModelAssumptions
from whalestack.math.model_maps import CLOSE, INTEREST, LEAST_CANDLES, RangeCandles, model_map
from whalestack.math.timeframes import GEOMETRY


class LiveColumns:
    """The maps of one coin.

    Args:
        timeframes: which ranges.
        starts_ms: (N,) openings of the candles that the coin has.
        values: (5, N) high, low, close, turnover, open interest.
        assumptions: of the coin.
        asked_ms: when the system was started and asked for the past.
    """

    def __init__(
        self,
        timeframes: tuple[str, ...],
        starts_ms: Ints,
        values: Floats,
        assumptions: ModelAssumptions,
        asked_ms: int,
    ) -> None:
        self._asked_ms = asked_ms
        self._timeframes = timeframes
        self._candles = RangeCandles(starts_ms, values)
        self._assumptions = assumptions

    def at(self, closed: int, map_time_ms: int) -> Columns:
        """One column for every range, after so many candles have closed; an empty one of too few candles."""
        maps = self.maps(closed, map_time_ms)
        made = next(iter(maps.values()), None)
        close = float(self._candles.values[CLOSE, closed - 1])
        # Without any map the levels only have to be there.
        levels = made.prices if made is not None else np.linspace(close * 0.99, close * 1.01, 16)
        values = np.stack(
            [maps[each].values if each in maps else np.zeros(levels.size) for each in self._timeframes]
        )
        return Columns(
            values[None].astype(np.float64),
            np.zeros(1, dtype=np.int64),
            levels.astype(np.float64),
            np.array([close]),
        )

    def maps(self, closed: int, map_time_ms: int) -> dict[str, LevelMap]:
        """The map of every range that has enough candles, after so many candles have closed."""
        known = RangeCandles(self._candles.starts_ms[:closed], self._candles.values[:, :closed])
        shown = {each: candles_of_range(known, each, self._asked_ms) for each in self._timeframes}
        return {
            each: model_map(candles, each, self._assumptions, map_time_ms=map_time_ms)
            for each, candles in shown.items()
            if candles.size >= LEAST_CANDLES
        }


def candles_of_range(known: RangeCandles, timeframe: str, asked_ms: int) -> RangeCandles:
    """The candles that a range's chart shows, of its own length, the open one last.

    Args:
        known: the played candles so far.
        timeframe: the range.
        asked_ms: see `LiveColumns`.
    """
    geometry = GEOMETRY[timeframe]
    step_ms = geometry.column_s * 1000
    last_ms = int(known.starts_ms[-1]) // step_ms * step_ms
    shown = known.since(last_ms - (geometry.columns - 1) * step_ms).in_steps(step_ms)
    values = shown.values.copy()
    values[INTEREST] = _interest(known, shown, step_ms, asked_ms)
    return RangeCandles(shown.starts_ms, values)


def _interest(known: RangeCandles, shown: RangeCandles, step_ms: int, asked_ms: int) -> Floats:
    """Open interest at each candle's end: of those that had closed when Bybit was asked, as it told."""
    bar_ms = int(known.starts_ms[1] - known.starts_ms[0])
    point_ms = POINTS_MS[LENGTHS[step_ms // 1000][1]]
    ends_ms = shown.starts_ms + step_ms
    # The candle that ends just then counts as open, and in the first round nothing else is known of it.
    is_first_round = int(known.starts_ms[-1]) + bar_ms <= asked_ms
    told = (ends_ms < asked_ms) | is_first_round
    points_ms = np.minimum(ends_ms, asked_ms - 1) // point_ms * point_ms
    oldest_ms = (asked_ms - 1) // point_ms * point_ms - (INTEREST_POINTS - 1) * point_ms
    places = np.searchsorted(known.starts_ms, points_ms - bar_ms)
    is_known = (points_ms >= oldest_ms) & (points_ms - bar_ms >= known.starts_ms[0])
    as_told = np.where(is_known, known.values[INTEREST, np.minimum(places, known.size - 1)], np.nan)
    interest: Floats = np.where(told, as_told, shown.values[INTEREST])
    return interest
