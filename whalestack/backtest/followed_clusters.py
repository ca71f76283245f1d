"""Clusters of a coin's maps, as what is decided by them reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whalestack.math.directions import ClusterSide
from whalestack.math.heatmap import Floats, Ints


class FollowedCluster(NamedTuple):
    """A cluster as plans and rankings read it; the fields of a row of `liquidation_clusters`.

    `leverage` and `value_usd` are both its value as last seen, USD: the table has the first name, what is
    read out of it for rankings the second.
    """

    id: int
    symbol: str
    timeframe: str
    side: ClusterSide
    price_low: float
    price_high: float
    price_center: float
    leverage: float
    distance_pct: float

    @property
    def value_usd(self) -> float:
        return self.leverage


class Judged(NamedTuple):
    """Clusters with a verdict: (K,) number of the range, side, verdict, adverse run in per cent."""

    ranges: Ints
    is_short: NDArray[np.bool_]
    is_hit: NDArray[np.bool_]
    adverse_pct: Floats


@dataclass(frozen=True, eq=False)
class Detections:
    """Clusters as they were first seen: (K,) number of the range, refresh, the coin's price, centre."""

    ranges: Ints
    refreshes: Ints
    prices: Floats
    centers: Floats


@dataclass(frozen=True)
class Followed:
    """A cluster and what came of it.

    Args:
        cluster: as it was detected, with its latest value.
        detected_price: of the coin at its detection.
        detected, horizon: number of its first refresh, and refreshes in which it must be hit.
        hit: None while it is undecided.
        adverse_pct: how far price ran the other way until the verdict.
    """

    cluster: FollowedCluster
    detected_price: float
    detected: int
    horizon: int
    hit: bool | None
    adverse_pct: float
