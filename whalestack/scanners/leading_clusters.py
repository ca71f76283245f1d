"""How large a coin's clusters are, in one figure that may be compared with its own past.

The size of a side is the mean, over the tradable ranges, of the largest cluster that
waits there. A coin's typical size is the same figure averaged over both sides and over
past refreshes, so that 100 % is ordinary for any coin. (Totals of a side would count one
position in every range; the mean of all clusters would fall with every small one.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from whalestack.db.cluster_store import StandingCluster
from whalestack.math.directions import ClusterSide, Direction, target_side
from whalestack.math.timeframes import TRADABLE_TIMEFRAMES


def side_size_usd(
    clusters: Iterable[StandingCluster], side: ClusterSide, timeframes: Collection[str]
) -> float:
    """The size of one side, USD.

    Args:
        clusters: of one coin.
        side: whose.
        timeframes: ranges of which the coin has a map; one without a cluster counts as 0.

    Returns:
        0 where no tradable range has a map.
    """
    largest = dict.fromkeys((each for each in TRADABLE_TIMEFRAMES if each in timeframes), 0.0)
    for cluster in clusters:
        if cluster.side == side and cluster.timeframe in largest:
            largest[cluster.timeframe] = max(largest[cluster.timeframe], cluster.value_usd)
    return sum(largest.values()) / len(largest) if largest else 0.0


def nearest_target(
    clusters: Iterable[StandingCluster], direction: Direction, price: float, *, least_usd: float = 0.0
) -> StandingCluster | None:
    """The nearest cluster that a trade of this direction runs toward.

    Args:
        clusters: of one coin, of ranges whose clusters may be targets.
        direction: LONG looks above the price, SHORT below.
        price: of the coin now.
        least_usd: smaller clusters are noise for this coin and no targets.

    Returns:
        None where nothing waits on that side.
    """
    side = target_side(direction)
    ahead = [
        (distance, cluster.price_center, cluster)
        for cluster in clusters
        if cluster.side == side
        and cluster.value_usd >= least_usd
        and (distance := _distance(cluster, price)) > 0
    ]
    return min(ahead, key=lambda each: each[:2])[2] if ahead else None


def _distance(cluster: StandingCluster, price: float) -> float:
    """From the price to the near edge; not above 0 once price stands in the band."""
    return cluster.price_low - price if cluster.side == "short" else price - cluster.price_high
