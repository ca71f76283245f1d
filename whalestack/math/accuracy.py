"""Are clusters hit more often than chance? One coin's clusters beside levels drawn at random.

**A hit** is what `whalestack.math.outcomes` says: a bar that opens at or after the look
reaches the cluster's centre within the range's horizon. Only windows that lie wholly in the
known bars, nine tenths of them there, are counted, hits and misses alike.

**Chance** is measured twice, by levels as far away as the cluster's centre:

- *random*: the same side at other moments of the same coin, drawn among the fifth of its
  moments whose volatility (Parkinson's, of the 24 hours before) is nearest to that at the look.
  It answers: does price reach any level so far away as often?
- *mirror*: the other side at the same moment. It answers: does price go there rather than
  away? And it is blind to none of the hour's volatility.

Neither looks at what price did after its moment, nor at where other clusters stand, and
nothing after the last bar given exists. The draws come from a seed and the coin's name: the
same bars give the same table, and another coin more or less changes no coin's draws.

**Votes.** Clusters of a coin, range and side that are seen within one horizon watch much the
same price: together they are one vote, split evenly among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from whalestack.math.heatmap import Floats, Ints
from whalestack.math.outcomes import LEAST_COVERAGE
from whalestack.math.timeframes import DAY_S

DRAWS = 16
DRAW_SEED = 20_250_101
NEAREST_SHARE = 0.2
"""Of the coin's moments: those that may be drawn for a cluster."""
VOLATILITY_MS = DAY_S * 1000
LEAST_VOLATILITY_BARS = 6

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BarGrid:
    """One coin's bars, one for each step of time; NaN where a bar is missing.

    Args:
        first_ms: opening of bar 0, market ms.
        bar_ms: length of a bar.
        highs, lows, closes: (N,).
    """

    first_ms: int
    bar_ms: int
    highs: Floats
    lows: Floats
    closes: Floats

    @classmethod
    def of(cls, starts_ms: Ints, highs: Floats, lows: Floats, closes: Floats, bar_ms: int) -> BarGrid:
        """Put bars in time order, with holes where some are missing, on their grid.

        Raises:
            ValueError: there is no bar, or one does not open on the grid of the first.
        """
        if starts_ms.size == 0 or ((starts_ms - starts_ms[0]) % bar_ms).any():
            raise ValueError(f"bars that do not open every {bar_ms} ms")
        places = (starts_ms - starts_ms[0]) // bar_ms
        columns = np.full((3, int(places[-1]) + 1), np.nan)
        columns[:, places] = highs, lows, closes
        return cls(int(starts_ms[0]), bar_ms, *columns)

    @property
    def end_ms(self) -> int:
        """End of the last bar, market ms."""
        return self.first_ms + self.highs.size * self.bar_ms

    def before(self, end_ms: int) -> BarGrid:
        """The bars that end by a moment."""
        count = max((end_ms - self.first_ms) // self.bar_ms, 0)
        return BarGrid(self.first_ms, self.bar_ms, self.highs[:count], self.lows[:count], self.closes[:count])

    @cached_property
    def volatility(self) -> Floats:
        """(N,) of the 24 hours (at least six bars) before each bar opens, as a share of price; NaN unknown.

        Parkinson's estimate, from highs over lows (Journal of Business 53:61, 1980).
        """
        width = max(VOLATILITY_MS // self.bar_ms, LEAST_VOLATILITY_BARS)
        squares = np.log(self.highs / self.lows) ** 2 / (4 * np.log(2))
        known = np.isfinite(squares)
        sums = _sums_before(np.where(known, squares, 0.0), width)
        counts = _sums_before(known.astype(np.float64), width)
        enough = counts >= max(LEAST_VOLATILITY_BARS, width // 4)
        means: Floats = np.divide(sums, counts, out=np.full(sums.size, np.nan), where=enough)
        return np.sqrt(means)

    def price_before(self, bars: Ints) -> Floats:
        """The last price known as each bar opens, NaN where the bar before is missing."""
        return np.where(bars > 0, self.closes[np.maximum(bars - 1, 0)], np.nan)


@dataclass(frozen=True, eq=False)
class Sightings:
    """Clusters of one coin and range, each as it was seen at one look.

    Args:
        symbol, timeframe: whose.
        seen_ms: (N,) moment of the look, market ms.
        prices: (N,) the coin's price then.
        centers: (N,) the clusters' centres, above the price for shorts, below it for longs.
    """

    symbol: str
    timeframe: str
    seen_ms: Ints
    prices: Floats
    centers: Floats


@dataclass(frozen=True, eq=False)
class Trials:
    """What became of one coin's sightings that could be judged, and of the levels beside them.

    Args:
        symbol, timeframe: whose.
        seen_ms: (N,).
        distances_pct: (N,) from the price to the centre, always above 0.
        hits: (N,) 1 or 0.
        random_hits: (N,) share of the random levels that were hit.
        mirror_hits: (N,) 1 or 0.
        weights: (N,) part of a vote.
        horizon_ms: within which a hit counts.
    """

    symbol: str
    timeframe: str
    seen_ms: Ints
    distances_pct: Floats
    hits: Floats
    random_hits: Floats
    mirror_hits: Floats
    weights: Floats
    horizon_ms: int


def judge_beside_chance(
    grid: BarGrid, sightings: Sightings, horizon_ms: int, *, draws: int = DRAWS, seed: int = DRAW_SEED
) -> Trials:
    """Judge one coin's sightings, and levels drawn at random, on the same bars.

    Args:
        grid: of the coin.
        sightings: of the coin; those that cannot be judged are left out.
        horizon_ms: within which a hit counts, at least a bar.
        draws: random levels for each sighting.
        seed: of the draws.
    """
    windows = _Windows(grid, max(horizon_ms // grid.bar_ms, 1))
    bars = -((grid.first_ms - sightings.seen_ms) // grid.bar_ms)  # rounded up: whole bars only
    ratios = sightings.centers / sightings.prices
    usable = windows.are_known(bars) & (ratios > 0) & (ratios != 1)
    pool = windows.moments()
    usable &= np.isfinite(grid.volatility[np.clip(bars, 0, grid.highs.size - 1)]) & (pool.size > 0)
    bars, ratios, prices = bars[usable], ratios[usable], sightings.prices[usable]
    seen = sightings.seen_ms[usable]
    chosen = _drawn(
        grid, pool, bars, draws, crc32(f"{sightings.symbol}|{sightings.timeframe}|{seed}".encode())
    )
    random_levels = grid.price_before(chosen) * ratios[:, None]
    return Trials(
        sightings.symbol,
        sightings.timeframe,
        seen,
        np.abs(ratios - 1) * 100,
        windows.hit(bars, prices * ratios, ratios > 1).astype(np.float64),
        windows.hit(chosen, random_levels, (ratios > 1)[:, None]).mean(axis=1) if bars.size else np.empty(0),
        windows.hit(bars, prices / ratios, ratios < 1).astype(np.float64),
        _votes(seen // horizon_ms, ratios > 1),
        horizon_ms,
    )


class _Windows:
    """The highest high and the lowest low of the W bars from each bar on."""

    def __init__(self, grid: BarGrid, width: int) -> None:
        self._grid = grid
        known = np.isfinite(grid.highs)
        self._highest = _largest_ahead(np.where(known, grid.highs, -np.inf), width)
        self._lowest = -_largest_ahead(np.where(known, -grid.lows, -np.inf), width)
        total = np.concatenate([[0], np.cumsum(known)])
        self._known = (total[width:] - total[:-width] if total.size > width else np.empty(0)) >= (
            LEAST_COVERAGE * width
        )

    def are_known(self, bars: Ints) -> Bools:
        """(N,) whether the window from each bar on lies in the data and is covered."""
        inside = (bars >= 0) & (bars < self._known.size)
        found = np.zeros(bars.shape, dtype=np.bool_)
        found[inside] = self._known[bars[inside]]
        return found

    def moments(self) -> Ints:
        """Bars at which a level could have been drawn: price and volatility known, window covered."""
        bars = np.arange(self._known.size)
        fine = np.isfinite(self._grid.volatility[bars]) & np.isfinite(self._grid.price_before(bars))
        return bars[fine & self._known]

    def hit(self, bars: Ints, levels: Floats, above: Bools) -> Bools:
        """Whether the window reaches each level: a high for one above, a low for one below."""
        return np.where(above, self._highest[bars] >= levels, self._lowest[bars] <= levels)


def _drawn(grid: BarGrid, pool: Ints, bars: Ints, draws: int, seed: int) -> Ints:
    """(N, draws) moments of the pool whose volatility is near to that at each bar."""
    if bars.size == 0:
        return np.empty((0, draws), dtype=np.int64)
    order = pool[np.argsort(grid.volatility[pool], kind="stable")]
    near = max(round(NEAREST_SHARE * order.size), min(draws, order.size))
    middle = np.searchsorted(grid.volatility[order], grid.volatility[bars])
    begin = np.clip(middle - near // 2, 0, order.size - near)
    picks = np.random.default_rng(seed).integers(0, near, (bars.size, draws))
    drawn: Ints = order[begin[:, None] + picks]
    return drawn


def _votes(blocks: Ints, above: Bools) -> Floats:
    """(N,) one over how many share the block and the side."""
    _, places, counts = np.unique(blocks * 2 + above, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[places], dtype=np.float64)


def _sums_before(values: Floats, width: int) -> Floats:
    """(N,) sum of the `width` values before each one, of fewer at the beginning."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(values.size)
    sums: Floats = total[ends] - total[np.maximum(ends - width, 0)]
    return sums


def _largest_ahead(values: Floats, width: int) -> Floats:
    """(N - width + 1,) largest of the `width` values from each one on, by doubling."""
    if values.size < width:
        return np.empty(0)
    largest, reach = values, 1
    while reach * 2 <= width:
        largest = np.maximum(largest[:-reach], largest[reach:])
        reach *= 2
    rest = width - reach
    return np.maximum(largest[: largest.size - rest], largest[rest:]) if rest else largest
