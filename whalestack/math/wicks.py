"""How far a coin's candles reach beyond their bodies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whalestack.math.heatmap import Floats
from whalestack.math.quantiles import quantile as quantile_of


@dataclass(frozen=True)
class WickStatistics:
    """Quantiles of a coin's wicks.

    Args:
        wick_up_pct: how far highs run over the body, per cent of the body's top.
        wick_down_pct: how far lows run under the body, per cent of the body's bottom.
        observations: candles they come from.
    """

    wick_up_pct: float
    wick_down_pct: float
    observations: int


def wicks_up_pct(opens: Floats, highs: Floats, closes: Floats) -> Floats:
    """(N,) how far each high runs over its body, per cent of the body's top, at least 0."""
    tops = np.maximum(opens, closes)
    return np.maximum((highs - tops) / tops * 100.0, 0.0)


def wicks_down_pct(opens: Floats, lows: Floats, closes: Floats) -> Floats:
    """(N,) how far each low runs under its body, per cent of the body's bottom, at least 0."""
    bottoms = np.minimum(opens, closes)
    return np.maximum((bottoms - lows) / bottoms * 100.0, 0.0)


def wick_statistics(
    opens: Floats, highs: Floats, lows: Floats, closes: Floats, *, quantile: float = 0.9
) -> WickStatistics | None:
    """The quantiles of a coin's wicks, None where no candle is usable.

    Args:
        opens, highs, lows, closes: (N,) candles of one interval, any order. Candles with a
            price that is not above zero, or with a high below the low, are left out.
        quantile: 0 to 1.
    """
    usable = (np.minimum(np.minimum(opens, lows), closes) > 0) & (highs >= lows) & np.isfinite(highs)
    if not usable.any():
        return None
    opens, highs, lows, closes = opens[usable], highs[usable], lows[usable], closes[usable]
    return WickStatistics(
        wick_up_pct=quantile_of(wicks_up_pct(opens, highs, closes), quantile),
        wick_down_pct=quantile_of(wicks_down_pct(opens, lows, closes), quantile),
        observations=int(usable.sum()),
    )
