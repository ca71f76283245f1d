"""Thirty days in every table that the questions touch, made on the server out of one day of maps.

All coins have a map of each range every two hours, and one coin (`PROBE`) every five minutes as in
operation: a twenty-fourth of the rows of 500 coins, whose indexes are one level less deep.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from storage_runs.maps import DAY_START, FETCHES_A_DAY
from storage_runs.servers import BenchDatabase
from storage_runs.ways import compress

DAYS = 30
PROBE = "C0USDT"
EVERY = 24
"""Fetches between two stored maps of a coin that is not the probe."""
LAST_SLOT = 264
LAST_AT = DAY_START + timedelta(days=DAYS - 1, minutes=5 * LAST_SLOT)
NOW = LAST_AT + timedelta(minutes=6)
SEEN_AT = LAST_AT + timedelta(minutes=5)
CLUSTERS_A_MAP = 6

POOL = """
create unlogged table pool as
select substr(symbol, 2, length(symbol) - 5)::int as coin, timeframe,
    (extract(epoch from fetched_at - :start) / 300)::int as slot, price, prices, "values", derived, source
from liquidation_snapshots
"""

FILL_DAY = """
insert into liquidation_snapshots
    (symbol, timeframe, fetched_at, map_time, price, prices, "values", derived, source, previous_seen_at)
select 'C' || k || 'USDT', timeframe, at, at, price, prices, "values", derived, source,
    at - interval '5 minutes'
from generate_series(0, :coins - 1) as k
join pool on pool.coin = k % :pool_coins and (pool.slot % :every = 0 or k = 0)
cross join lateral (select cast(:day as timestamptz) + pool.slot * interval '5 minutes' as at) as moment
where at <= :last
order by slot, k
"""

OTHERS = {
    "coins": """
        insert into coins (symbol, base_coin, coinglass_symbol, tick_size, qty_step, min_order_qty,
            max_order_qty, max_market_order_qty, min_notional_usd, min_leverage, max_leverage, leverage_step,
            funding_interval_min, status, updated_at)
        select 'C' || k || 'USDT', 'C' || k, 'C' || k, 0.01, 0.1, 0.1, 1000, 500, 5, 1, 25, 0.01, 480,
            'Trading', :now
        from generate_series(0, :coins - 1) as k
    """,
    "map_heads": """
        insert into map_heads (symbol, timeframe, fetched_at, snapshot_at, map_time, price, digest)
        select symbol, timeframe, :seen, fetched_at, :seen, price, '0123456789abcdef'
        from liquidation_snapshots where fetched_at = :last
    """,
    "liquidation_clusters": """
        insert into liquidation_clusters (symbol, timeframe, side, price_low, price_high, price_center,
            leverage, detected_price, distance_pct, detected_at, last_seen_at, horizon_at, hit_at, hit_target,
            decided_at)
        select head.symbol, head.timeframe, case n % 2 when 0 then 'short' else 'long' end,
            head.price * edge, head.price * (edge + 0.01), head.price * (edge + 0.005), 1e6 * (1 + n % 7),
            head.price, 5, :now - age, least(:now - age + interval '1 day', :seen),
            :now - age + interval '40 days', case when is_over then :now - age + interval '1 day' end,
            case when is_over then true end, case when is_over then :now - age + interval '1 day' end
        from map_heads as head
        cross join generate_series(0, :clusters * 17 - 1) as n
        cross join lateral (select 1 + (case n % 2 when 0 then 1 else -1 end) * 0.02 * (1 + n % 11) as edge,
            n >= :clusters as is_over,
            case when n >= :clusters then interval '1 day' + n * interval '6 hours'
                else interval '20 hours' end as age) as made
    """,
    "market_changes": """
        insert into market_changes (symbol, ts, price, price_change_5m_pct, price_rank_5m, oi_change_5m_pct,
            oi_rank_5m, volume_change_5m_pct, volume_rank_5m)
        select 'C' || k || 'USDT', at, 1, random() * 4 - 2, k, random() * 4 - 2, k, random() * 99, k
        from (
            select generate_series(:now - interval '30 days', :now - interval '4 hours', interval '1 hour')
            union all select generate_series(:now - interval '4 hours', :now, interval '1 minute')
        ) as moments(at)
        cross join generate_series(0, :coins - 1) as k
        on conflict do nothing
    """,
    "trades": """
        insert into trades (agent_name, symbol, side, entry_price, exit_price, qty, open_qty, pnl_pct,
            pnl_usd, entry_time, exit_time, status, mode, updated_at)
        select 'conservative', 'C' || n % :coins || 'USDT', 'LONG', 1, 1.1, 10, 0, 10, 1,
            :now - n * interval '2 minutes', :now - n * interval '2 minutes' + interval '1 hour', 'closed',
            'demo', :now
        from generate_series(1, 20000) as n
    """,
}


def fill(bench: BenchDatabase, *, coins: int, pool_coins: int) -> int:
    """Fill every table out of the day that stands in `liquidation_snapshots`; returns the rows of maps."""
    bench.run(POOL, start=DAY_START)
    bench.run("truncate liquidation_snapshots, map_heads, liquidation_clusters cascade")
    for day in range(DAYS):
        _fill_day(bench, DAY_START + timedelta(days=day), coins, pool_coins)
    bench.run("drop table pool")
    arguments: dict[str, object] = {
        "now": NOW,
        "seen": SEEN_AT,
        "last": LAST_AT,
        "coins": coins,
        "clusters": CLUSTERS_A_MAP,
    }
    for statement in OTHERS.values():
        bench.run(statement, **{name: each for name, each in arguments.items() if f":{name}" in statement})
    if bench.has_timescale:
        compress(bench, "liquidation_snapshots", but_last=2)
    for table in ("liquidation_snapshots", *OTHERS):
        bench.run(f"analyze {table}")
    return int(bench.scalar("select count(*) from liquidation_snapshots"))


def _fill_day(bench: BenchDatabase, day: datetime, coins: int, pool_coins: int) -> None:
    bench.run(FILL_DAY, day=day, last=LAST_AT, coins=coins, pool_coins=pool_coins, every=EVERY)


def full_size_rows(coins: int) -> int:
    """Rows of thirty days where every map changes at every fetch."""
    return coins * 9 * FETCHES_A_DAY * DAYS
