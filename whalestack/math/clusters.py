"""Clusters: neighbouring levels whose value stands out of their own map.

Nothing here is an absolute figure: multiply every price or every value of a map by a
constant and the same levels cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whalestack.math.directions import ClusterSide
from whalestack.math.heatmap import Floats, LevelMap

# A level stands out when it holds twice the median level of its map. A smooth map has
# no such level; there its highest tenth stands out, as long as it is a quarter above the
# median. A flat map has no clusters.
OUTSTANDING_RATIO = 2.0
OUTSTANDING_QUANTILE = 0.9
LEAST_RATIO = 1.25

# Levels this near to each other are one place to price: a stop run does not halt between.
MERGE_GAP_PCT = 0.25
MERGE_GAP_STEPS = 1.5


@dataclass(frozen=True)
class Cluster:
    """A band of price in which liquidations wait.

    Args:
        timeframe: the range of the map it stands in.
        side: whose: "short" above the price, "long" below it.
        price_low, price_high: its lowest and highest level.
        price_center: centre of mass of its values.
        value_usd: everything that waits between its edges.
        distance_pct: from the price to the near edge, in per cent of the price, above 0.
    """

    timeframe: str
    side: ClusterSide
    price_low: float
    price_high: float
    price_center: float
    value_usd: float
    distance_pct: float

    @property
    def near_edge(self) -> float:
        """The edge that price reaches first."""
        return self.price_low if self.side == "short" else self.price_high

    @property
    def far_edge(self) -> float:
        """The edge that price reaches last."""
        return self.price_high if self.side == "short" else self.price_low


def find_clusters(level_map: LevelMap, *, min_cluster_usd: float | None = None) -> tuple[Cluster, ...]:
    """The clusters of one map, nearest to the price first.

    Args:
        level_map: (L,) levels and values; empty levels may have been left out.
        min_cluster_usd: what is smaller is noise for this coin (`coin_thresholds`).

    Returns:
        Clusters that lie wholly above ("short") or below ("long") the price.
    """
    held = level_map.values > 0
    prices, values = level_map.prices[held], level_map.values[held]
    if prices.size == 0:
        return ()
    outstanding = values >= outstanding_value(values)
    gap = max(MERGE_GAP_PCT / 100 * level_map.price, MERGE_GAP_STEPS * level_step(level_map.prices))
    found = [
        cluster
        for side, on_side in (("short", prices > level_map.price), ("long", prices < level_map.price))
        for cluster in _merge(level_map, side, prices, values, outstanding & on_side, gap)  # type: ignore[arg-type]
        if min_cluster_usd is None or cluster.value_usd >= min_cluster_usd
    ]
    return tuple(sorted(found, key=lambda cluster: (cluster.distance_pct, cluster.price_center)))


def outstanding_value(values: Floats) -> float:
    """The USD from which a level stands out of the levels given.

    Args:
        values: (N,) the map's values above zero. One or two levels alone stand out:
            there is nothing around them.
    """
    if values.size <= 2:
        return float(values.min())
    median = float(np.median(values))
    high = _quantile(values, OUTSTANDING_QUANTILE)
    return max(LEAST_RATIO * median, min(OUTSTANDING_RATIO * median, high))


def level_step(prices: Floats) -> float:
    """The usual distance between neighbouring levels, in the unit of price, 0 for fewer than two.

    A low quantile, because levels that were left out for being empty only widen distances.
    """
    if prices.size < 2:
        return 0.0
    return _quantile(np.diff(prices), 0.25)


def _quantile(values: Floats, share: float) -> float:
    """As `numpy.quantile`, interpolated; a tenth of its time on a few hundred values."""
    ordered = np.sort(values)
    place = share * (ordered.size - 1)
    below = int(place)
    above = min(below + 1, ordered.size - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))


def _merge(
    level_map: LevelMap,
    side: ClusterSide,
    prices: Floats,
    values: Floats,
    chosen: NDArray[np.bool_],
    gap: float,
) -> list[Cluster]:
    """Bands of chosen levels that are at most `gap` apart, with all that waits inside each."""
    indices = np.flatnonzero(chosen)
    if indices.size == 0:
        return []
    breaks = np.flatnonzero(np.diff(prices[indices]) > gap) + 1
    return [
        _cluster(level_map, side, prices[band[0] : band[-1] + 1], values[band[0] : band[-1] + 1])
        for band in np.split(indices, breaks)
    ]


def _cluster(level_map: LevelMap, side: ClusterSide, prices: Floats, values: Floats) -> Cluster:
    total = float(values.sum())
    low, high = float(prices[0]), float(prices[-1])
    # Rounding may put the mean of equal prices a hair outside them.
    center = min(max(float(prices @ values) / total, low), high)
    near = low if side == "short" else high
    return Cluster(
        timeframe=level_map.timeframe,
        side=side,
        price_low=low,
        price_high=high,
        price_center=center,
        value_usd=total,
        distance_pct=abs(near - level_map.price) / level_map.price * 100,
    )
