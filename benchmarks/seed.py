"""What the plain way costs beside ours: one request after the other, one INSERT for each level.

    python benchmarks/seed.py --coins 40

On one system and the same coins: two rounds as `refresh.py` measures them, then the plain way. The plain
way is what a first version does: `requests.get` for each map, `.json()`, the cells of the last column
picked out in a loop, one INSERT statement for each level and one commit for each map. Both are scaled
to 500 coins x 8 ranges. The second pair of figures has a CoinGlass that takes 100 ms to answer, as one
across the internet does: the plain way waits for each answer, ours for sixteen at once. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import requests
from refresh_runs.costs import Costs
from refresh_runs.rounds import await_quiet, measure_round, roots
from refresh_runs.system import RefreshSystem, running_system
from sqlalchemy.engine import make_url

from whalestack.logs import configure_logging
from whalestack.math.timeframes import SERVED_TIMEFRAMES

FULL_MAPS = 4000
ROUND_WITHIN_S = 300.0
HEATMAPS = "GET /api/futures/liquidation/*"


def main(argv: list[str] | None = None) -> int:
    """Measure both ways, and print the line."""
    options = _parse(argv)
    configure_logging("ERROR")
    line: dict[str, Any] = {
        "benchmark": "seed",
        "cores": os.cpu_count(),
        "load_before": [round(each, 2) for each in os.getloadavg()],
    }
    with running_system(options.run_dir, coins=options.coins) as system:
        coins = [
            str(row[0])
            for row in system.query(
                "select coinglass_symbol from coins where skipped_reason is null order by 1"
            )
        ]
        line |= {"coins": len(coins), "maps": len(coins) * len(SERVED_TIMEFRAMES)}
        line["on_loopback"] = compare(system, coins, options.plain_within_s)
        _answer_after(system, options.latency_ms)
        line[f"answers_after_{options.latency_ms:g}_ms"] = compare(system, coins, options.plain_within_s)
    shutil.rmtree(options.run_dir / "postgres", ignore_errors=True)
    print(json.dumps(line), flush=True)
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coins", type=int, default=40, help="of the sample, eight maps each")
    parser.add_argument("--latency-ms", type=float, default=100.0, help="of the second pair of figures")
    parser.add_argument("--plain-within-s", type=float, default=60.0, help="the plain way stops then")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/seed"), help="for data and logs")
    return parser.parse_args(argv)


def compare(system: RefreshSystem, coins: Sequence[str], plain_within_s: float) -> dict[str, Any]:
    """Both ways on the same coins; ours after a first round that finds every cluster new."""
    with Costs(roots(system), watched="worker-heatmap") as costs:
        for _ in range(2):
            ours = measure_round(system, costs, ROUND_WITHIN_S)
            await_quiet(system)
    plain = plain_way(system, coins, plain_within_s)
    own_cpu_s = sum(
        seconds for part, seconds in ours["cpu_s"].items() if part in ("worker-heatmap", "postgres")
    )
    ours_ms = {
        "seconds_per_map": round(ours["seconds"] / ours["maps_due"], 5),
        "cpu_s_per_map": round(own_cpu_s / ours["maps_due"], 5),
        "elsewhere_share_pct": ours["cpu_share_pct"]["elsewhere"],
    }
    return {
        "ours": ours_ms | {"scaled_to_500x8_s": round(FULL_MAPS * ours_ms["seconds_per_map"], 1)},
        "plain": plain | {"scaled_to_500x8_s": round(FULL_MAPS * plain["seconds_per_map"], 1)},
        "ratio_of_time": round(plain["seconds_per_map"] / ours_ms["seconds_per_map"], 1),
        "ratio_of_cpu": round(plain["cpu_s_per_map"] / ours_ms["cpu_s_per_map"], 1),
    }


def plain_way(system: RefreshSystem, coins: Sequence[str], within_s: float) -> dict[str, Any]:
    """Coin by coin, range by range, level by level. CPU is this process's and PostgreSQL's."""
    connection = psycopg2.connect(make_url(system.settings.database_url.get_secret_value()).set(
        drivername="postgresql").render_as_string(hide_password=False))  # fmt: skip
    _make_table(connection)
    costs = Costs({"postgres": roots(system)["postgres"]}, watched="postgres")
    mark, began_s, maps, levels = costs.mark(), time.perf_counter(), 0, 0
    for coin in coins:
        for timeframe in SERVED_TIMEFRAMES:
            levels += _store_plainly(connection, coin, timeframe, _fetch_plainly(system, coin, timeframe))
            maps += 1
        if time.perf_counter() - began_s > within_s:
            break
    elapsed_s, cpu = time.perf_counter() - began_s, costs.since(mark)
    connection.close()
    return {
        "maps": maps,
        "inserts": levels,
        "seconds": round(elapsed_s, 2),
        "seconds_per_map": round(elapsed_s / maps, 5),
        "cpu_s_per_map": round((cpu["harness"] + cpu["postgres"]) / maps, 5),
    }


def _make_table(connection: Any) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "create table if not exists plain_levels (id bigserial primary key, symbol text, timeframe text,"
            " price double precision, leverage double precision, fetched_at timestamptz)"
        )
        cursor.execute("create index if not exists plain_levels_latest on plain_levels (symbol, fetched_at)")


def _fetch_plainly(system: RefreshSystem, coin: str, timeframe: str) -> list[tuple[float, float]]:
    settings = system.settings
    reply = requests.get(
        f"{settings.coinglass_url}/api/futures/liquidation/aggregated-heatmap/{settings.coinglass_model}",
        params={"symbol": coin, "range": timeframe},
        headers={"CG-API-KEY": settings.coinglass_api_key.get_secret_value()},
        timeout=30,
    )
    data = reply.json()["data"]
    last = max(column for column, _, _ in data["liquidation_leverage_data"])
    return [
        (data["y_axis"][level], value)
        for column, level, value in data["liquidation_leverage_data"]
        if column == last
    ]


def _store_plainly(connection: Any, coin: str, timeframe: str, levels: Sequence[tuple[float, float]]) -> int:
    now = datetime.now(UTC)
    with connection.cursor() as cursor:
        for price, leverage in levels:
            cursor.execute(
                "insert into plain_levels (symbol, timeframe, price, leverage, fetched_at)"
                " values (%s, %s, %s, %s, %s)",
                (coin, timeframe, price, leverage, now),
            )
    connection.commit()
    return len(levels)


def _answer_after(system: RefreshSystem, latency_ms: float) -> None:
    rule = {"endpoint": HEATMAPS, "kind": "latency", "delay_ms": latency_ms}
    requests.post(f"{system.settings.simulator_url}/sim/faults", json=rule, timeout=10).raise_for_status()


if __name__ == "__main__":
    sys.exit(main())
