"""Shorts above against longs below, over all ranges, each position counted once.

The ranges overlap: a position opened yesterday stands in the 24h, the 7d and the 1y map.
So the maps are laid on one grid of price and each cell takes the **largest** value that
any range has there, never the sum. If every range counts a position at most once, a
range's value in a cell is at most what really waits there, and so is the largest of
them: no position counts twice. A range whose positions all stand in a longer one adds
nothing, and the aggregate of a single map is that map.

Ranges round prices to levels of their own. The cells are a few times as wide as the
widest level distance, so that rounding seldom carries a position into another cell
(which could count part of it twice), and a cell border lies on the price, so that sides
never mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whalestack.math.clusters import level_step
from whalestack.math.directions import RankedDirection
from whalestack.math.heatmap import Floats, LevelMap

CELL_STEPS = 3.0
LEAST_CELL_PCT = 0.25


@dataclass(frozen=True)
class Imbalance:
    """Who would be liquidated where.

    Args:
        long_usd: longs that wait below the price.
        short_usd: shorts that wait above it.
        imbalance_ratio: the larger side's share, 0.5 to 1.
        direction: LONG when more waits above, SHORT when more waits below, NEUTRAL within the band.
    """

    long_usd: float
    short_usd: float
    imbalance_ratio: float
    direction: RankedDirection

    @property
    def dominant_usd(self) -> float:
        """The larger side, USD."""
        return max(self.long_usd, self.short_usd)


def aggregate_imbalance(maps: Sequence[LevelMap], *, neutral_band_pct: float) -> Imbalance:
    """The imbalance over all ranges of one coin.

    Args:
        maps: of one coin, any ranges; the newest one's price divides above from below.
        neutral_band_pct: how many per cent over 50 the larger side needs to be ranked.

    Returns:
        NEUTRAL with a ratio of 0.5 where nothing stands.
    """
    if not maps:
        return imbalance_of(0.0, 0.0, neutral_band_pct=neutral_band_pct)
    price = max(maps, key=lambda each: each.map_time_ms).price
    # Logarithmic cells keep their width in per cent far from the price.
    width = max(LEAST_CELL_PCT / 100, *(CELL_STEPS * level_step(each.prices) / price for each in maps))
    short_usd = _largest_per_cell([_side(each, price, above=True) for each in maps], price, width)
    long_usd = _largest_per_cell([_side(each, price, above=False) for each in maps], price, width)
    return imbalance_of(long_usd, short_usd, neutral_band_pct=neutral_band_pct)


def imbalance_of(long_usd: float, short_usd: float, *, neutral_band_pct: float) -> Imbalance:
    """The imbalance of two totals in USD."""
    total = long_usd + short_usd
    if total <= 0:
        return Imbalance(long_usd, short_usd, 0.5, "NEUTRAL")
    ratio = max(long_usd, short_usd) / total
    if ratio * 100 - 50 < neutral_band_pct or long_usd == short_usd:
        return Imbalance(long_usd, short_usd, ratio, "NEUTRAL")
    return Imbalance(long_usd, short_usd, ratio, "LONG" if short_usd > long_usd else "SHORT")


def _side(level_map: LevelMap, price: float, *, above: bool) -> tuple[Floats, Floats]:
    """Levels and values on one side. A level at the price itself is nobody's."""
    mask = level_map.prices > price if above else (level_map.prices < price) & (level_map.prices > 0)
    return level_map.prices[mask], level_map.values[mask]


def _largest_per_cell(sides: list[tuple[Floats, Floats]], price: float, width: float) -> float:
    """Sum over cells of the largest value any map has in the cell, USD."""
    cells = [np.floor(np.abs(np.log(prices / price)) / width).astype(np.int64) for prices, _ in sides]
    count = max((int(each.max()) + 1 for each in cells if each.size), default=0)
    largest = np.zeros(count, dtype=np.float64)
    for each, (_, values) in zip(cells, sides, strict=True):
        np.maximum(largest, np.bincount(each, weights=values, minlength=count), out=largest)
    return float(largest.sum())
