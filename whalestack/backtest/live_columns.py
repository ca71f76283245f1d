"""Maps as the running system's model source makes them: each range anew, from candles of its own length.

Slow (a model for each range at each refresh), and the very function of `HEATMAP_SOURCE=model`: for
comparing a backtest with the running system.
"""

from __future__ import annotations

import numpy as np

from whalestack.backtest.cluster_kernel import Columns
from whalestack.math.heatmap import Floats, Ints, LevelMap
from whalestack.math.liquidation_model import ModelAssumptions
from whalestack.math.model_maps import LEAST_CANDLES, RangeCandles, model_map
from whalestack.math.timeframes import GEOMETRY


class LiveColumns:
    """The maps of one coin.

    Args:
        timeframes: which ranges.
        starts_ms: (N,) openings of the candles that the coin has.
        values: (5, N) high, low, close, turnover, open interest.
        assumptions: of the coin.
    """

    def __init__(
        self, timeframes: tuple[str, ...], starts_ms: Ints, values: Floats, assumptions: ModelAssumptions
    ) -> None:
        self._timeframes = timeframes
        self._candles = RangeCandles(starts_ms, values)
        self._assumptions = assumptions

    def at(self, closed: int, map_time_ms: int) -> Columns:
        """One column for every range, after so many candles have closed; an empty one of too few candles."""
        known = RangeCandles(self._candles.starts_ms[:closed], self._candles.values[:, :closed])
        maps = [self._map(known, timeframe, map_time_ms) for timeframe in self._timeframes]
        made = next((each for each in maps if each is not None), None)
        close = float(known.values[2, -1])
        # Without any map the levels only have to be there.
        levels = made.prices if made is not None else np.linspace(close * 0.99, close * 1.01, 16)
        values = np.stack([np.zeros(levels.size) if each is None else each.values for each in maps])
        return Columns(
            values[None].astype(np.float64),
            np.zeros(1, dtype=np.int64),
            levels.astype(np.float64),
            np.array([close]),
        )

    def _map(self, known: RangeCandles, timeframe: str, map_time_ms: int) -> LevelMap | None:
        geometry = GEOMETRY[timeframe]
        step_ms = geometry.column_s * 1000
        last_ms = int(known.starts_ms[-1]) // step_ms * step_ms
        shown = known.since(last_ms - (geometry.columns - 1) * step_ms).in_steps(step_ms)
        if shown.size < LEAST_CANDLES:
            return None
        return model_map(shown, timeframe, self._assumptions, map_time_ms=map_time_ms)
