"""Following clusters from map to map, and what size is usual for a coin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from whalestack.db.heatmap_rows import FetchedMap, StoredMap, columns, driver_rows
from whalestack.math.clusters import level_step
from whalestack.math.timeframes import horizon_s

# Of a coin's typical leading cluster: what is smaller than this is noise and no target. Price is
# drawn to large clusters, and every map has a small one within a per cent of any price.
NOISE_SHARE = 0.25
# A refresh weighs at least 1/N in the typical size: about a week of refreshes are remembered.
TYPICAL_SIZE_MEMORY = 2016


class StandingCluster(NamedTuple):
    """A cluster that stands in the latest map of its coin and range.

    A tuple, because a ranking reads tens of thousands of them and a frozen dataclass
    takes eight times as long to make.

    Args:
        id: of its row.
        value_usd: as last seen; the band is the one it was detected with.
    """

    id: int
    symbol: str
    timeframe: str
    side: str
    price_low: float
    price_high: float
    price_center: float
    value_usd: float


# A cluster is the one that was seen before when its centre still lies in the band that
# was detected (a level step of slack: the grid moves with the map). The band is not moved
# after it: it is what the outcome is judged by. Two clusters in one band are parts of it.
_STORE_CLUSTERS = text(
    """
    with incoming as (
        select * from unnest(
            cast(:symbols as text[]), cast(:timeframes as text[]), cast(:sides as text[]),
            cast(:lows as float8[]), cast(:highs as float8[]), cast(:centers as float8[]),
            cast(:usd as float8[]), cast(:distances as float8[]), cast(:prices as float8[]),
            cast(:slacks as float8[]), cast(:seen_at as timestamptz[]), cast(:horizons as timestamptz[])
        ) with ordinality as rows(symbol, timeframe, side, low, high, center, usd, distance, price,
            slack, seen_at, horizon_at, place)
    ), known as (
        select distinct on (incoming.place) incoming.place, standing.id, incoming.usd, incoming.seen_at
        from incoming join liquidation_clusters as standing
            on standing.symbol = incoming.symbol and standing.timeframe = incoming.timeframe
            and standing.side = incoming.side and standing.hit_target is null
            and incoming.center between standing.price_low - incoming.slack
                and standing.price_high + incoming.slack
        order by incoming.place, abs(standing.price_center - incoming.center), standing.id
    ), seen as (
        update liquidation_clusters as standing
        set leverage = total.usd, last_seen_at = greatest(standing.last_seen_at, total.seen_at)
        from (select id, sum(usd) as usd, max(seen_at) as seen_at from known group by id) as total
        where standing.id = total.id
    ), added as (
        insert into liquidation_clusters (symbol, timeframe, side, price_low, price_high, price_center,
            leverage, detected_price, distance_pct, detected_at, last_seen_at, horizon_at)
        select symbol, timeframe, side, low, high, center, usd, price, distance, seen_at, seen_at, horizon_at
        from incoming where not exists (select 1 from known where known.place = incoming.place)
        returning id
    )
    select (select count(*) from added) as added, (select count(*) from incoming) as total
    """
)

_LEARN_SIZES = text(
    """
    insert into coin_thresholds
        (symbol, min_cluster_threshold, avg_cluster_size, cluster_observations, last_updated)
    select symbol, size * :noise, size, 1, :now
    from unnest(cast(:symbols as text[]), cast(:sizes as float8[])) as incoming(symbol, size)
    order by symbol
    on conflict (symbol) do update set
        (avg_cluster_size, min_cluster_threshold, cluster_observations) = (
            select learned.size, learned.size * :noise, coin_thresholds.cluster_observations + 1
            from (
                select case when coin_thresholds.cluster_observations = 0 then excluded.avg_cluster_size
                    else coin_thresholds.avg_cluster_size
                        + (excluded.avg_cluster_size - coin_thresholds.avg_cluster_size)
                        / (least(coin_thresholds.cluster_observations, :memory) + 1) end as size
            ) as learned
        )
    """
)

_STANDING_CLUSTERS = text(
    """
    select id, symbol, timeframe, side, price_low, price_high, price_center, leverage
    from liquidation_clusters
    join unnest(cast(:symbols as text[]), cast(:timeframes as text[]), cast(:fetched_at as timestamptz[]))
        as latest(symbol, timeframe, fetched_at) using (symbol, timeframe)
    where hit_target is null and last_seen_at >= latest.fetched_at
    """
)

_CLUSTER_COLUMNS = (
    "symbols",
    "timeframes",
    "sides",
    "lows",
    "highs",
    "centers",
    "usd",
    "distances",
    "prices",
    "slacks",
    "seen_at",
    "horizons",
)


def store_clusters(session: Session, maps: Sequence[FetchedMap]) -> tuple[int, int]:
    """Insert clusters that are new, update those seen before; returns how many were new and how many seen."""
    rows = [row for each in maps for row in _cluster_rows(each)]
    if not rows:
        return 0, 0
    counts = session.execute(_STORE_CLUSTERS, columns(_CLUSTER_COLUMNS, rows)).one()
    return counts.added, counts.total - counts.added


def _cluster_rows(each: FetchedMap) -> list[tuple[object, ...]]:
    slack = level_step(each.level_map.prices)
    horizon_at = each.fetched_at + timedelta(seconds=horizon_s(each.level_map.timeframe))
    return [
        (
            each.symbol,
            cluster.timeframe,
            cluster.side,
            cluster.price_low,
            cluster.price_high,
            cluster.price_center,
            cluster.value_usd,
            cluster.distance_pct,
            each.level_map.price,
            slack,
            each.fetched_at,
            horizon_at,
        )
        for cluster in each.clusters
    ]


def learn_cluster_sizes(session: Session, sizes_usd: Mapping[str, float], now: datetime) -> None:
    """Move each coin's typical cluster size toward what this refresh saw.

    Args:
        sizes_usd: by symbol, the size of its leading clusters now, USD, above 0.
        now: market time, for coins that had no row.
    """
    if sizes_usd:
        session.execute(
            _LEARN_SIZES,
            {
                "symbols": list(sizes_usd),
                "sizes": list(sizes_usd.values()),
                "noise": NOISE_SHARE,
                "memory": TYPICAL_SIZE_MEMORY,
                "now": now,
            },
        )


def standing_clusters(session: Session, maps: Sequence[StoredMap]) -> list[StandingCluster]:
    """The undecided clusters that stand in these maps.

    Args:
        maps: as `latest_maps` returned them; a cluster not seen in its latest map is gone.
    """
    if not maps:
        return []
    wanted = {
        "symbols": [each.symbol for each in maps],
        "timeframes": [each.level_map.timeframe for each in maps],
        "fetched_at": [each.fetched_at for each in maps],
    }
    return [StandingCluster._make(row) for row in driver_rows(session, _STANDING_CLUSTERS, wanted)]
