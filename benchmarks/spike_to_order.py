"""From the tick that crosses a trigger's last threshold to the order on the exchange.

    python benchmarks/spike_to_order.py                 # 345 spikes in about six minutes
    python benchmarks/spike_to_order.py --spikes 40     # a quick look

Runs everything that `whalestack up` runs, at market speed 1, on embedded stores and the simulator,
while full rounds of heat maps follow one another without a pause. Coins are ranked beforehand. For
each spike a coin's volume and open interest rise first; some seconds later one tick lifts its
price over the threshold. Measured is from the simulator's sending of that tick to its taking of
the order, and where the time between went. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency_runs.prepared import no_majors, put_maps, rank_coins
from latency_runs.probe import Probe
from latency_runs.stages import STAGES, Journey, Spike, journeys, spread
from latency_runs.system import System, running_system
from sqlalchemy import text

from whalestack.logs import configure_logging

# Some coins have a signal of their own before their turn; of the others every one must arrive.
LEAST_SHARE = 0.85
LEAST_ORDERS = 300
PREPARED_BEFORE_S = 4.0
SETTLES_IN_S = 12.0


def main(argv: list[str] | None = None) -> int:
    """Run, print the line; the exit code is 1 if too few orders came."""
    options = _parse(argv)
    configure_logging("ERROR")
    run_dir = options.run_dir.resolve()
    shutil.rmtree(run_dir / "logs", ignore_errors=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    values = _settings(options)
    with running_system(run_dir, values, with_maps=True, keep=lambda spec: True) as system:
        system.await_ready(options.spikes)
        line = measure(system, options)
    print(json.dumps(line), flush=True)
    return 0 if line["orders"] >= min(LEAST_SHARE * options.spikes, LEAST_ORDERS) else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--spikes", type=int, default=345, help="how many; of 345 at least 300 must end in an order"
    )
    parser.add_argument("--per-s", type=float, default=1.5, help="spikes in a second")
    parser.add_argument("--calls-per-min", type=int, default=1200, help="CoinGlass's plan")
    parser.add_argument("--without-refresh", action="store_true", help="no rounds of heat maps beside it")
    parser.add_argument("--seed", type=int, default=1, help="of the market and the order of coins")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/latency"), help="for data and logs")
    return parser.parse_args(argv)


def _settings(options: argparse.Namespace) -> dict[str, str]:
    return {
        "SIMULATOR_SEED": str(options.seed),
        "SIMULATOR_COINS": str(options.spikes + 2),
        "COINGLASS_CALLS_PER_MIN": str(options.calls_per_min),
        "SIMULATOR_COINGLASS_CALLS_PER_MIN": str(options.calls_per_min),
        # As soon as a round has ended the next one begins.
        "REFRESH_INTERVAL_S": "86400" if options.without_refresh else "30",
        # An order that waits is taken back soon: then the account holds dozens of plans, not hundreds.
        "ENTRY_WAIT_S": "20",
    }


def measure(system: System, options: argparse.Namespace) -> dict[str, Any]:
    """Spike the coins one after the other and say where the time went."""
    prices = _prices(system)
    order = no_majors(sorted(prices))
    random.Random(options.seed).shuffle(order)
    with system.runtime.db.begin() as work:
        rank_coins(work.session, {symbol: prices[symbol] for symbol in order}, system.runtime.clock.now())
    load_before, began_s = os.getloadavg()[0], time.monotonic()
    system.begin_measuring_cpu()
    with Probe(system.settings.simulator_port) as probe:
        spikes = _spike_all(system, order, options)
    cpu, elapsed_s = system.cpu_shares(), time.monotonic() - began_s
    time.sleep(SETTLES_IN_S)
    with system.runtime.db.begin() as work:
        found = journeys(spikes, work.session, system.logs, system.record.all_events())
        maps = work.session.scalar(text("select sum(maps_stored + maps_unchanged) from refresh_rounds"))
    return summary(found, options) | {
        "elapsed_s": round(elapsed_s, 1),
        "maps_fetched_in_rounds": int(maps or 0),
        "cores_used": cpu,
        "simulator_round_trip_ms": spread(probe.took_ms),
        "load_before": round(load_before, 1),
        "load_after": round(os.getloadavg()[0], 1),
    }


def _prices(system: System) -> dict[str, float]:
    return {symbol: tick.last for symbol, tick in system.runtime.live.all().items()}


def _spike_all(system: System, order: Sequence[str], options: argparse.Namespace) -> list[Spike]:
    """Two steps a coin, evenly paced: the coin is prepared, and some seconds later its price jumps."""
    began_s, spikes = time.monotonic(), []
    goals: list[tuple[str, float]] = []
    lead = round(PREPARED_BEFORE_S * options.per_s)
    count = min(len(order), options.spikes)
    for turn in range(count + lead):
        if turn < count:
            goals.append((order[turn], prepare(system, order[turn])))
        if turn >= lead:
            symbol, goal = goals[turn - lead]
            spikes.append(Spike(symbol, float(system.record.push(symbol, goal)["real_ms"])))
        system.supervisor.watch()
        time.sleep(max(0.0, began_s + (turn + 1) / options.per_s - time.monotonic()))
    return spikes


def prepare(system: System, symbol: str) -> float:
    """Much more volume and open interest, the price as it is, and fresh maps for what will come.

    Returns:
        The price of the tick that is to cross: 2 % above everything of the last minutes.
    """
    tick = system.runtime.live.get(symbol)
    if tick is None:
        raise ValueError(f"{symbol} has no price")
    goal = max(bar.high for bar in system.runtime.bybit.klines(symbol, "1", limit=8)) * 1.02
    with system.runtime.db.begin() as work:
        put_maps(work.session, symbol, tick.last, goal * 1.015, system.runtime.clock.now())
    usual_5m_usd = (tick.turnover_24h_usd or 0.0) / 288
    system.record.push(
        symbol,
        tick.last,
        turnover_usd=max(usual_5m_usd * 10, 1000.0),
        open_interest=(tick.open_interest or 0.0) * 1.10,
    )
    return goal


def summary(found: Sequence[Journey], options: argparse.Namespace) -> dict[str, Any]:
    """The figures of the line."""
    arrived = [each for each in found if not each.missing]
    lengths = list(zip(*(each.stages_ms() for each in arrived), strict=True))
    total_ms = sum(each.total_ms for each in arrived)
    return {
        "benchmark": "spike_to_order",
        "spikes": len(found),
        "orders": len(arrived),
        "not_arrived": dict(Counter(each.missing for each in found if each.missing)),
        "spike_to_order_ms": spread([each.total_ms for each in arrived]),
        "stages_ms": {name: spread(values) for name, values in zip(STAGES, lengths, strict=False)},
        "share_pct": {
            name: round(sum(values) / total_ms * 100, 1)
            for name, values in zip(STAGES, lengths, strict=False)
        },
        "per_s": options.per_s,
        "calls_per_min": 0 if options.without_refresh else options.calls_per_min,
    }


if __name__ == "__main__":
    sys.exit(main())
