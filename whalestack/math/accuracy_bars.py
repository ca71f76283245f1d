"""Which bars hit rates are judged on: one rule for the running system and for the backtest.

Horizons of days are judged on five-minute bars, longer ones on hours: these reach back far enough
for separate stretches of months, and an hour is little of them. The part of a bar that was running
at the look is not seen, which can cost a cluster a hit and never gives it one.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from whalestack.math.accuracy import BarGrid, Sightings, Trials, judge_beside_chance
from whalestack.math.heatmap import Floats, Ints
from whalestack.math.timeframes import DAY_S, horizon_s

EVERY_S = DAY_S
"""From one table to the next, market seconds; the first is made so long after the start."""
FIVES_UP_TO_S = 3 * DAY_S
FIVES_LOOKBACK = timedelta(days=60)
BEFORE = timedelta(seconds=DAY_S)
"""Volatility at the first look is told by the day before it."""
FIVE_MS = 300_000
HOUR_MS = 3_600_000
LEAST_MINUTES = 3
"""A bar of which most minutes are missing says little of how far price went in it."""


def is_on_fives(timeframe: str) -> bool:
    """Whether a range is judged on five-minute bars, else on hours."""
    return horizon_s(timeframe) <= FIVES_UP_TO_S


def judge_range(grid: BarGrid, sightings: Sightings) -> Trials:
    """Judge one coin's clusters of one range on the bars that suit it, within the range's own horizon."""
    return judge_beside_chance(grid, sightings, horizon_s(sightings.timeframe) * 1000)


def fives_of(starts_ms: Ints, highs: Floats, lows: Floats, closes: Floats) -> BarGrid | None:
    """Five-minute bars put together from minutes, as `db.accuracy_store` does it in the database.

    Args:
        starts_ms: (M,) opening of each minute, ascending, market ms.
        highs, lows, closes: (M,).

    Returns:
        None where no bar has enough minutes.
    """
    bars, heads, counts = np.unique(starts_ms // FIVE_MS, return_index=True, return_counts=True)
    keep = counts >= LEAST_MINUTES
    if not keep.any():
        return None
    return BarGrid.of(
        bars[keep] * FIVE_MS,
        np.maximum.reduceat(highs, heads)[keep],
        np.minimum.reduceat(lows, heads)[keep],
        closes[heads + counts - 1][keep],
        FIVE_MS,
    )
