"""How large a coin's clusters are, and which one a trade would run toward."""

from __future__ import annotations

from whalestack.db.cluster_store import StandingCluster
from whalestack.math.timeframes import TIMEFRAMES
from whalestack.scanners.leading_clusters import nearest_target, side_size_usd


def cluster(
    side: str, low: float, usd: float, *, timeframe: str = "7d", width: float = 1.0
) -> StandingCluster:
    return StandingCluster(1, "EVAAUSDT", timeframe, side, low, low + width, low + width / 2, usd)


def test_the_size_of_a_side_is_the_mean_of_its_leading_clusters() -> None:
    """7d leads with 300 of 300 and 100, 30d with 900, 90d has a map and nothing: (300+900+0)/3 = 400."""
    found = [
        cluster("short", 103, 100.0),
        cluster("short", 106, 300.0),
        cluster("short", 106, 900.0, timeframe="30d"),
        cluster("long", 90, 5000.0),
        cluster("short", 103, 8000.0, timeframe="12h"),
    ]
    assert 400.0 == side_size_usd(found, "short", {"12h", "7d", "30d", "90d"})


def test_without_a_tradable_map_there_is_no_size() -> None:
    """Short ranges alone."""
    assert 0.0 == side_size_usd([cluster("short", 103, 100.0, timeframe="12h")], "short", {"12h"})
    assert 0.0 == side_size_usd([], "long", TIMEFRAMES)


def test_the_nearest_cluster_ahead_is_the_target() -> None:
    """A LONG looks at shorts above, a SHORT at longs below; a band that price stands in is behind it."""
    near, far = cluster("short", 103, 1.0), cluster("short", 106, 9.0)
    below, inside = cluster("long", 95, 1.0), cluster("short", 99.5, 1.0)
    found = [far, near, below, inside]
    assert near == nearest_target(found, "LONG", 100.0)
    assert below == nearest_target(found, "SHORT", 100.0)
    assert nearest_target([below], "LONG", 100.0) is None


def test_noise_is_no_target() -> None:
    """The nearest of those that are large enough for this coin."""
    near, far = cluster("short", 103, 1.0), cluster("short", 106, 9.0)
    assert far == nearest_target([near, far], "LONG", 100.0, least_usd=5.0)
    assert nearest_target([near, far], "LONG", 100.0, least_usd=10.0) is None
