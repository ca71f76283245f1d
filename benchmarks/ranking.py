"""How long it takes to rank every coin from the database, and where the time goes.

    python benchmarks/ranking.py               # 600 coins, nine maps each
    python benchmarks/ranking.py --coins 100

The maps are the simulator's liquidation model's, varied for each coin, stored by `store_maps` with their
clusters, over several fetches; every coin has a record and a typical size. The ranking is the service that
the task calls. The plain way, for comparison: each coin of a sample by itself, with queries and a commit of
its own. The database is made for it, as in storage.py. `own_cpu_s` is this process's share of the median:
the rest is the server's, and other programs'. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import select
from storage_runs.maps import DAY_START, every_level_moves
from storage_runs.servers import BenchDatabase, bench_database

from whalestack.clock import ManualClock, to_ms
from whalestack.config import Settings
from whalestack.db import heatmap_store
from whalestack.db.cluster_store import standing_clusters
from whalestack.db.heatmap_rows import FetchedMap
from whalestack.db.heatmap_store import latest_maps, store_maps
from whalestack.db.models import CoinLiquidationPattern, CoinThreshold
from whalestack.db.ranking_store import insert_ranking
from whalestack.logs import configure_logging
from whalestack.math.clusters import find_clusters
from whalestack.math.directions import Direction
from whalestack.math.imbalance import aggregate_imbalance
from whalestack.math.timeframes import TIMEFRAMES
from whalestack.scanners import ranking
from whalestack.scanners.leading_clusters import nearest_target, side_size_usd
from whalestack.scanners.ranking import RankingScanner

TARGET_S = 1.0
RUNS = 7
STORED_FETCHES = 3
POOL_COINS = 3
PLAIN_SAMPLE = 50
BATCH = 40
MAX_AGE = timedelta(hours=1)
NOW = DAY_START + timedelta(minutes=15)

COINS = """
insert into coins (symbol, base_coin, coinglass_symbol, tick_size, qty_step, min_order_qty, max_order_qty,
    max_market_order_qty, min_notional_usd, min_leverage, max_leverage, leverage_step, funding_interval_min,
    status, updated_at)
select 'C' || k || 'USDT', 'C' || k, 'C' || k, 0.01, 0.1, 0.1, 1000, 500, 5, 1, 25, 0.01, 480, 'Trading', :now
from generate_series(0, :coins - 1) as k
"""
THRESHOLDS = """
insert into coin_thresholds
    (symbol, min_cluster_threshold, avg_cluster_size, cluster_observations, last_updated)
select symbol, 1e4, 1e5, 100, :now from coins
"""
RECORDS = """
insert into coin_liquidation_patterns (symbol, timeframe, avg_cluster_size, success_rate, hits, observations,
    updated_at)
select symbol, timeframe, 1e5, 0.6, 30, 50, :now from coins cross join unnest(:timeframes) as timeframe
"""


def main(argv: list[str] | None = None) -> int:
    """Measure, and print the line."""
    options = _parse(argv)
    configure_logging("ERROR")
    with bench_database(options.run_dir.resolve(), embedded=options.embedded) as bench:
        levels = fill(bench, options.coins)
        scanner = RankingScanner(
            db=bench.db, settings=Settings(_env_file=None), clock=ManualClock(to_ms(NOW))
        )
        scanner.rank()
        cpu = time.process_time()
        times, report = _times(scanner)
        cpu = (time.process_time() - cpu) / RUNS
        line: dict[str, Any] = {
            "benchmark": "ranking",
            "server": bench.server,
            "cores": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 1),
            "coins": options.coins,
            "maps": options.coins * len(TIMEFRAMES),
            "levels_a_map": round(levels),
            "ranked": len(report.top),
            "dropped": report.dropped,
            "median_s": round(median(times), 3),
            "slowest_s": round(max(times), 3),
            "own_cpu_s": round(cpu, 3),
            "share_pct": shares(scanner),
            "plain": plain(bench, min(PLAIN_SAMPLE, options.coins), options.coins),
        }
    line["plain"]["times_slower"] = round(line["plain"]["scaled_s"] / line["median_s"], 1)
    line |= {"target_s": TARGET_S, "met": line["median_s"] <= TARGET_S}
    print(json.dumps(line), flush=True)
    return 0


def _times(scanner: RankingScanner) -> tuple[list[float], ranking.RankingReport]:
    times = []
    for _ in range(RUNS):
        scanner._clock.advance(1)  # type: ignore[attr-defined]
        started = time.perf_counter()
        report = scanner.rank()
        times.append(time.perf_counter() - started)
    return times, report


def fill(bench: BenchDatabase, coins: int) -> float:
    """Coins, records, and some fetches of every map; returns the mean number of levels."""
    bench.run(COINS, coins=coins, now=NOW)
    bench.run(THRESHOLDS, now=NOW)
    bench.run(RECORDS, now=NOW, timeframes=list(TIMEFRAMES))
    pool = every_level_moves(POOL_COINS, fetches=STORED_FETCHES)
    levels = 0.0
    for number in range(STORED_FETCHES):
        here = [each.fetched for each in pool if each.number == number]
        maps = list(_for_every_coin(here, coins))
        levels = sum(each.level_map.prices.size for each in maps)
        for place in range(0, len(maps), BATCH):
            with bench.db.begin() as work:
                store_maps(work.session, maps[place : place + BATCH])
    for table in ("coins", "map_heads", "liquidation_snapshots", "liquidation_clusters"):
        bench.run(f"analyze {table}")
    return levels / (coins * len(TIMEFRAMES))


def _for_every_coin(pool: Sequence[FetchedMap], coins: int) -> Iterator[FetchedMap]:
    """The pool's maps at other prices, with other values, for each coin."""
    ranges = len(TIMEFRAMES)
    for coin in range(coins):
        random = np.random.default_rng(coin)  # the same at each fetch: it is the same coin
        unit = 10.0 ** random.uniform(-4, 4)
        first = coin % POOL_COINS * ranges
        for each in pool[first : first + ranges]:
            old = each.level_map
            values = old.values * np.exp(random.normal(0, 0.3, old.values.size))
            level_map = replace(old, price=old.price * unit, prices=old.prices * unit, values=values)
            yield replace(each, symbol=f"C{coin}USDT", level_map=level_map, clusters=find_clusters(level_map))


def shares(scanner: RankingScanner) -> dict[str, float]:
    """Per cent of the time by stage, over a few runs with stopwatches."""
    spent: dict[str, float] = defaultdict(float)
    stages = (
        ("decode", heatmap_store, ("unpack_all", "LevelMap")),
        (
            "query",
            ranking,
            ("latest_maps", "standing_clusters", "records", "typical_sizes", "rankable_coins"),
        ),
        ("grid", ranking, ("aggregate_imbalance",)),
        ("rank", ranking, ("rank", "nearest_target", "side_size_usd")),
        ("write", ranking, ("insert_ranking", "learn_cluster_sizes", "_row")),
    )
    with _stopwatches(stages, spent):
        started = time.perf_counter()
        for _ in range(3):
            scanner._clock.advance(1)  # type: ignore[attr-defined]
            scanner.rank()
        total = time.perf_counter() - started
    spent["query"] -= spent["decode"]  # it happens inside of the query's function
    spent["everything_else"] = total - sum(spent.values())
    return {name: round(100 * seconds / total, 1) for name, seconds in spent.items()}


@contextmanager
def _stopwatches(stages: Sequence[tuple[str, Any, Sequence[str]]], spent: dict[str, float]) -> Iterator[None]:
    originals = [(module, name, getattr(module, name)) for _, module, names in stages for name in names]
    for stage, module, names in stages:
        for name in names:
            setattr(module, name, _timed(getattr(module, name), stage, spent))
    try:
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def _timed(function: Callable[..., Any], stage: str, spent: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[stage] += time.perf_counter() - started

    return timed


def plain(bench: BenchDatabase, sample: int, coins: int) -> dict[str, Any]:
    """One coin after the other, each with its queries and its commit."""
    started = time.perf_counter()
    for coin in range(sample):
        _rank_one(bench, f"C{coin}USDT", NOW + timedelta(minutes=1))
    seconds = time.perf_counter() - started
    return {"coins": sample, "s": round(seconds, 3), "scaled_s": round(seconds / sample * coins, 3)}


def _rank_one(bench: BenchDatabase, symbol: str, now: Any) -> None:
    with bench.db.begin() as work:
        maps = latest_maps(work.session, since=NOW - MAX_AGE, symbol=symbol)
        clusters = standing_clusters(work.session, maps)
        patterns = work.session.scalars(
            select(CoinLiquidationPattern).where(CoinLiquidationPattern.symbol == symbol)
        ).all()
        typical = work.session.get(CoinThreshold, symbol)
        found = aggregate_imbalance([each.level_map for each in maps], neutral_band_pct=2.0)
        side: Direction = "LONG" if found.short_usd >= found.long_usd else "SHORT"
        target = nearest_target(clusters, side, maps[0].level_map.price)
        size = side_size_usd(clusters, "short", TIMEFRAMES) / (typical.avg_cluster_size if typical else 1.0)
        success = sum(each.hits for each in patterns) / sum(each.observations for each in patterns)
        row = {
            "symbol": symbol,
            "created_at": now,
            "imbalance_ratio": found.imbalance_ratio,
            "direction": side,
            "score": found.imbalance_ratio * 50 + min(size * 100, 200) * 0.3 + success * 20,
            "target_price": target.price_center if target else None,
        }
        insert_ranking(work.session, [row])


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coins", type=int, default=600)
    parser.add_argument("--embedded", action="store_true", help="plain PostgreSQL, embedded")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/ranking"), help="for the embedded server")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
