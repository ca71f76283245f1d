"""What the past of each coin's clusters and candles says, and the rows that keep it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from whalestack.db.models import CoinLiquidationPattern
from whalestack.math.wicks import WickStatistics, wick_statistics


@dataclass(frozen=True)
class ClusterRecord:
    """One coin's clusters of one range, counted.

    Args:
        symbol, timeframe: whose.
        avg_cluster_usd: mean size of all its clusters.
        observations: clusters whose whole horizon has passed and that were judged.
        hits: of these, those reached before price ran against the way by the farthest stop.
        avg_time_to_target_s: mean time to the hits, None without any.
        wick_up_pct, wick_down_pct: quantile of the adverse runs before hits below and above
            the price; None without any.
        runs_up, runs_down: how many runs each quantile rests on.
        speed_pct_per_h: median of distance over time to the target, of the hits; None without any.
        beyond_pct, came_back_pct: medians after hits, see `math.outcomes`; None without any.
    """

    symbol: str
    timeframe: str
    avg_cluster_usd: float
    observations: int
    hits: int
    avg_time_to_target_s: float | None
    wick_up_pct: float | None
    wick_down_pct: float | None
    runs_up: int
    runs_down: int
    speed_pct_per_h: float | None = None
    beyond_pct: float | None = None
    came_back_pct: float | None = None


# Only clusters whose whole horizon has passed count. Counting hits as they come, while the
# clusters that will be missed are still waiting, would show nearly every cluster as hit.
_RECORDS = text(
    """
    with judged as (
        select *, horizon_at <= :now and hit_target is not null as is_judged
        from liquidation_clusters
        where symbol = any(cast(:symbols as text[])) and detected_at >= :since
    ), counted as (
        select *, is_judged and hit_target and adverse_wick_pct <= :stop_max_pct as is_success from judged
    )
    select symbol, timeframe, avg(leverage) as avg_cluster_usd,
        count(*) filter (where is_judged) as observations,
        count(*) filter (where is_success) as hits,
        avg(extract(epoch from hit_at - detected_at)) filter (where is_success) as avg_time_to_target_s,
        percentile_cont(:quantile) within group (order by adverse_wick_pct)
            filter (where is_judged and hit_target and side = 'long') as wick_up_pct,
        percentile_cont(:quantile) within group (order by adverse_wick_pct)
            filter (where is_judged and hit_target and side = 'short') as wick_down_pct,
        count(*) filter (where is_judged and hit_target and side = 'long') as runs_up,
        count(*) filter (where is_judged and hit_target and side = 'short') as runs_down,
        percentile_cont(0.5) within group (
            order by abs(price_center / detected_price - 1) * 100
                / (extract(epoch from hit_at - detected_at) / 3600)::float8
        ) filter (where is_success and hit_at > detected_at) as speed_pct_per_h,
        percentile_cont(0.5) within group (order by beyond_pct)
            filter (where is_judged and hit_target) as beyond_pct,
        percentile_cont(0.5) within group (order by came_back_pct)
            filter (where is_judged and hit_target) as came_back_pct
    from counted
    group by symbol, timeframe
    order by symbol, timeframe
    """
)


def cluster_records(
    session: Session,
    symbols: Sequence[str],
    *,
    now: datetime,
    since: datetime,
    stop_max_pct: float,
    quantile: float,
) -> list[ClusterRecord]:
    """The record of each coin on each range that it has clusters of.

    Args:
        session: open.
        symbols: coins.
        now: market time.
        since: clusters detected before are left out.
        stop_max_pct: a hit after a longer adverse run would have stopped a trade out before.
        quantile: of the adverse runs, 0 to 1.
    """
    rows = session.execute(
        _RECORDS,
        {
            "symbols": list(symbols),
            "now": now,
            "since": since,
            "stop_max_pct": stop_max_pct,
            "quantile": quantile,
        },
    )
    return [
        ClusterRecord(
            symbol=row.symbol,
            timeframe=row.timeframe,
            avg_cluster_usd=row.avg_cluster_usd,
            observations=row.observations,
            hits=row.hits,
            avg_time_to_target_s=None
            if row.avg_time_to_target_s is None
            else float(row.avg_time_to_target_s),
            wick_up_pct=row.wick_up_pct,
            wick_down_pct=row.wick_down_pct,
            runs_up=row.runs_up,
            runs_down=row.runs_down,
            speed_pct_per_h=row.speed_pct_per_h,
            beyond_pct=row.beyond_pct,
            came_back_pct=row.came_back_pct,
        )
        for row in rows
    ]


_DUE = text(
    """
    select coins.symbol
    from coins left join coin_liquidation_patterns as pattern using (symbol)
    where coins.skipped_reason is null
        and exists (select 1 from liquidation_clusters as cluster where cluster.symbol = coins.symbol)
    group by coins.symbol
    having max(pattern.updated_at) is null or max(pattern.updated_at) < :before
    order by max(pattern.updated_at) nulls first, coins.symbol
    limit :most
    """
)


def coins_due(session: Session, *, before: datetime, most: int) -> tuple[str, ...]:
    """Followed coins with clusters whose record is missing or was written before a time, oldest first."""
    return tuple(session.scalars(_DUE, {"before": before, "most": most}))


_MARKET = text(
    """
    select timeframe, sum(hits) as hits, sum(observations) as observations
    from coin_liquidation_patterns group by timeframe
    """
)


def market_record(session: Session) -> dict[str, tuple[int, int]]:
    """(hits, observations) of all coins together on each range."""
    return {row.timeframe: (int(row.hits), int(row.observations)) for row in session.execute(_MARKET)}


# An hour that has just begun has had no time for a wick: it counts when it is over.
_HOURS = text(
    """
    select symbol, (array_agg(open order by start_at))[1] as open, max(high) as high, min(low) as low,
        (array_agg(close order by start_at desc))[1] as close
    from candles
    where symbol = any(cast(:symbols as text[])) and start_at >= :since
        and start_at < date_bin('1 hour', :now, timestamptz 'epoch')
        and interval = any(array['1', '60'])
    group by symbol, date_bin('1 hour', start_at, timestamptz 'epoch')
    """
)


def hourly_wicks(
    session: Session, symbols: Sequence[str], *, since: datetime, now: datetime, quantile: float
) -> dict[str, WickStatistics]:
    """Quantiles of each coin's hourly wicks, from hourly bars or put together from minutes; whole hours only.

    Args:
        session: open.
        symbols: coins.
        since, now: market times.
        quantile: 0 to 1.
    """
    bars: dict[str, list[tuple[float, ...]]] = {}
    for row in session.execute(_HOURS, {"symbols": list(symbols), "since": since, "now": now}):
        bars.setdefault(row.symbol, []).append((row.open, row.high, row.low, row.close))
    statistics = {
        symbol: wick_statistics(*np.array(rows, dtype=np.float64).T, quantile=quantile)
        for symbol, rows in bars.items()
    }
    return {symbol: found for symbol, found in statistics.items() if found is not None}


def upsert_patterns(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or update; what the trades of a coin came to (`trades`, `trade_wins`) stays as it is."""
    if not rows:
        return
    statement = insert(CoinLiquidationPattern).values(list(rows))
    changed = {name: statement.excluded[name] for name in rows[0] if name not in ("symbol", "timeframe")}
    session.execute(statement.on_conflict_do_update(index_elements=["symbol", "timeframe"], set_=changed))
