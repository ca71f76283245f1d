"""How long a full refresh of the market takes, and what it costs.

    python benchmarks/refresh.py                              # 500 coins, unlimited and at 1,200 a minute
    python benchmarks/refresh.py --unlimited --sizes 100,250,500,1000,2000
    python benchmarks/refresh.py --unlimited --coins 50       # a quick look

A real system: PostgreSQL and Redis, the simulator with maps of 17,000 cells that are sent as gzip,
and Celery workers as `whalestack up` runs them. Unlimited, only the workers of a round run: two rounds,
the first into an empty database, the second as every five minutes. At the limit everything runs (streams,
beat, every worker), rounds are the schedule's own, and re-fetches compete for the calls. CPU is read
from /proc for each part; `elsewhere` is what other programs on the machine used meanwhile, and should
be near nothing. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

from refresh_runs.competition import Competition
from refresh_runs.costs import Costs
from refresh_runs.rounds import await_quiet, await_round, last_round, measure_round, roots, told
from refresh_runs.system import RefreshSystem, running_system, start_beat
from refresh_runs.units import unit_costs

from whalestack.logs import configure_logging

LIMIT_PER_MIN = 1200
UNLIMITED_TARGET_S = 60.0
MEMORY_TARGET_MB = 1500.0
OVER_LIMIT_TARGET_PCT = 5.0
UNLIMITED_WITHIN_S = 900.0
# Without it the simulated market moves so much that its own re-fetches take a third of the calls: then
# the round is measured no more, but the market.
CALM = dict.fromkeys(
    (
        "MOVER_1M_PCT",
        "MOVER_5M_PCT",
        "TRIGGER_PRICE_CHANGE_PCT",
        "TRIGGER_OI_CHANGE_PCT",
        "TRIGGER_VOLUME_RATIO",
    ),
    "1000",
)


def main(argv: list[str] | None = None) -> int:
    """Measure, and print the line."""
    options = _parse(argv)
    configure_logging("ERROR")
    both = not options.unlimited and not options.limited
    line: dict[str, Any] = {"benchmark": "refresh", "cores": os.cpu_count(), "load_before": _load()}
    if options.unlimited or both:
        line["unlimited"] = [unlimited(coins, options) for coins in options.sizes or [options.coins]]
    if options.limited or both:
        line["limited"] = limited(options)
    shutil.rmtree(options.run_dir / "postgres", ignore_errors=True)
    print(json.dumps(line), flush=True)
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coins", type=int, default=500, help="eight maps each")
    parser.add_argument("--sizes", type=_sizes, help="numbers of coins instead, one system for each")
    parser.add_argument("--unlimited", action="store_true", help="only without a limit of calls")
    parser.add_argument("--limited", action="store_true", help="only at --per-min")
    parser.add_argument("--per-min", type=int, default=LIMIT_PER_MIN, help="calls a minute when limited")
    parser.add_argument("--rounds", type=int, default=2, help="unlimited ones of each size")
    parser.add_argument("--refetch-every-s", type=float, default=20.0, help="when limited; 8 calls each")
    parser.add_argument("--wild", action="store_true", help="let the market's own moves ask for re-fetches")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/refresh"), help="for data and logs")
    return parser.parse_args(argv)


def _sizes(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _load() -> list[float]:
    return [round(each, 2) for each in os.getloadavg()]


def _settings(options: argparse.Namespace) -> dict[str, str]:
    return dict(each.split("=", 1) for each in options.set)


def unlimited(coins: int, options: argparse.Namespace) -> dict[str, Any]:
    """Rounds as fast as they go."""
    _say(f"unlimited, {coins} coins")
    with running_system(options.run_dir, coins=coins, changes=_settings(options)) as system:
        with Costs(roots(system), watched="worker-heatmap") as costs:
            rounds = []
            for _ in range(options.rounds):
                rounds.append(measure_round(system, costs, UNLIMITED_WITHIN_S))
                _say(json.dumps(rounds[-1]))
                await_quiet(system)
        units = unit_costs(system)
        return {
            "coins": _followed(system),
            "heatmap_workers": system.settings.heatmap_workers,
            "threads": system.settings.heatmap_concurrency,
            "rounds": rounds,
            "target_s": UNLIMITED_TARGET_S,
            "target_memory_mb": MEMORY_TARGET_MB,
            "reached": all(_is_reached(each) for each in rounds),
            "stored": _stored(system),
            "unit_cpu_ms": units,
        }


def _is_reached(found: dict[str, Any]) -> bool:
    return bool(found["seconds"] <= UNLIMITED_TARGET_S and found["peak_pss_mb"] <= MEMORY_TARGET_MB)


def limited(options: argparse.Namespace) -> dict[str, Any]:
    """The schedule's first round at the plan's limit, while everything else runs."""
    _say(f"at {options.per_min} a minute, {options.coins} coins")
    with running_system(
        options.run_dir,
        coins=options.coins,
        calls_per_min=options.per_min,
        only=None,
        changes=({} if options.wild else CALM) | _settings(options),
    ) as system:
        symbols = [row[0] for row in system.query("select symbol from coins where skipped_reason is null")]
        allowed_s = 60.0 * 8 * options.coins / options.per_min
        with (
            Costs(roots(system), watched="worker-heatmap") as costs,
            Competition(system, symbols, options.refetch_every_s) as competition,
        ):
            after, counts, mark = last_round(system), system.coinglass_counts(), costs.mark()
            asked_at = time.time()
            start_beat(system)
            found = await_round(system, after, asked_at, within_s=3 * allowed_s + 60)
            line = told(system, costs, found, counts, costs.since(mark))
        latencies = sorted(competition.latencies_s())
        took_s = found.took_s - found.asked_s
        others = line["calls"] - found.maps_due
        return {
            "coins": _followed(system),
            "per_min": options.per_min,
            # From the round's row, for beat has to start first.
            "round_s": round(took_s, 1),
            "limit_allows_s": round(60.0 * found.maps_due / options.per_min, 1),
            "over_pct": round(100 * (took_s * options.per_min / 60 / found.maps_due - 1), 1),
            "over_pct_of_all_calls": round(100 * (took_s * options.per_min / 60 / line["calls"] - 1), 1),
            "target_over_pct": OVER_LIMIT_TARGET_PCT,
            "calls_of_others": others,
            "refetches": {
                "sent": competition.sent,
                "of_the_system": competition.of_the_system,
                "ended": len(latencies),
                **_quantiles(latencies),
            },
            "round": line,
        }


def _followed(system: RefreshSystem) -> int:
    return int(system.query("select count(*) from coins where skipped_reason is null")[0][0])


def _stored(system: RefreshSystem) -> dict[str, float]:
    """Bytes on the disk for each row, indexes and TOAST included."""
    found = {}
    for table in ("liquidation_snapshots", "liquidation_clusters"):
        size, rows = system.query(
            f"select pg_total_relation_size('{table}'), (select count(*) from {table})"
        )[0]
        found[f"{table}_rows"] = rows
        found[f"{table}_bytes_per_row"] = round(size / max(rows, 1))
    return found


def _quantiles(seconds: list[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {}
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"p50_s": round(cuts[49], 2), "p99_s": round(cuts[98], 2), "max_s": round(seconds[-1], 2)}


def _say(what: str) -> None:
    """To people; the JSON line alone goes to the output."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
