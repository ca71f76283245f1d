"""How far the maps of two ways of making them lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from whalestack.backtest.coin_maps import FollowedCluster
from whalestack.backtest.rankings import MappedCoin

NEAR_PCT = 1.0
"""Of the price: two clusters nearer than this to one another are taken for the same."""


def clusters_shared_pct(one: Mapping[str, MappedCoin], other: Mapping[str, MappedCoin]) -> float | None:
    """Per cent of the clusters of `one`, over all coins and refreshes, that `other` has as well.

    The same range and side, and a centre within 1 % of it. None where `one` has no clusters.
    """
    found = [
        _is_among(cluster, other[symbol].maps.standing(refresh))
        for symbol, mapped in one.items()
        for refresh, cluster in _clusters(mapped)
    ]
    return 100.0 * sum(found) / len(found) if found else None


def _clusters(mapped: MappedCoin) -> Iterator[tuple[int, FollowedCluster]]:
    for refresh in range(mapped.maps.refreshes):
        for cluster in mapped.maps.standing(refresh):
            yield refresh, cluster


def _is_among(wanted: FollowedCluster, clusters: list[FollowedCluster]) -> bool:
    return any(
        each.timeframe == wanted.timeframe
        and each.side == wanted.side
        and abs(each.price_center / wanted.price_center - 1) * 100 <= NEAR_PCT
        for each in clusters
    )
