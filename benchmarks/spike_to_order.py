"""From the tick that crosses a trigger's last threshold to the order on the exchange.

    python benchmarks/spike_to_order.py                 # 325 spikes, some five minutes
    python benchmarks/spike_to_order.py --spikes 60     # a quick look

Runs everything that `whalestack up` runs, at market speed 1, on embedded stores and the simulator,
while full rounds of heat maps follow one another without a pause. Coins are ranked beforehand. For
each spike a coin's volume and open interest rise first; some seconds later one tick lifts its
price over the threshold. Measured is from the simulator's sending of that tick to its taking of
the order, and where the time between went. The last line is JSON.

The pattern: in each dozen of moments eight coins spike alone, two moments bring two coins together,
one brings three and one brings five, all within some milliseconds, as when the whole market moves.
The moments lie between half and one and a half times 1.1 s apart. That is far more than any market
does over minutes, and each coin's spike ends in an order, so that 300 fit into four minutes.
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
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

from latency_runs.prepared import highest_since, no_majors, put_maps, rank_coins
from latency_runs.probe import Probe
from latency_runs.pusher import Pusher
from latency_runs.stages import STAGES, Journey, Spike, journeys, spread
from latency_runs.system import System, running_system
from sqlalchemy import text

from whalestack.logs import configure_logging

# Some coins have a signal of their own before their turn; of the others every one must arrive.
LEAST_SHARE = 0.9
LEAST_ORDERS = 300
PREPARED_BEFORE_S = 4.0
SETTLES_IN_S = 8.0
# How many coins spike at each moment of a dozen.
TOGETHER = (1, 1, 2, 1, 1, 3, 1, 1, 2, 1, 5, 1)
WATCH_EVERY_S = 1.0
NOT_CROSSED_FOR = timedelta(minutes=8)


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
        "--spikes", type=int, default=325, help="how many; of 325 at least 300 must end in an order"
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
        "cores_used_by": by_owner(cpu),
        "simulator_round_trip_ms": spread(probe.took_ms),
        "load_before": round(load_before, 1),
        "load_after": round(os.getloadavg()[0], 1),
    }


def _prices(system: System) -> dict[str, float]:
    return {symbol: tick.last for symbol, tick in system.runtime.live.all().items()}


def _spike_all(system: System, order: Sequence[str], options: argparse.Namespace) -> list[Spike]:
    """Two steps a coin: it is prepared, and some seconds later its price jumps."""
    moments = spike_moments(min(len(order), options.spikes), options.per_s, options.seed)
    jumps = [(at_s + PREPARED_BEFORE_S, 1, symbol) for at_s, symbol in zip(moments, order, strict=False)]
    steps = sorted([(at_s - PREPARED_BEFORE_S, 0, symbol) for at_s, _, symbol in jumps] + jumps)
    goals: dict[str, float] = {}
    spikes: list[Spike] = []
    began_s = watched_s = time.monotonic()
    with Pusher(system.settings.simulator_port) as pusher:
        for at_s, is_jump, symbol in steps:
            if time.monotonic() - watched_s > WATCH_EVERY_S:
                system.supervisor.watch()
                watched_s = time.monotonic()
            time.sleep(max(0.0, began_s + at_s - time.monotonic()))
            if is_jump:
                spikes.append(Spike(symbol, float(pusher.push(symbol, price=goals[symbol])["real_ms"])))
            else:
                goals[symbol] = prepare(system, pusher, symbol)
    return spikes


def spike_moments(count: int, per_s: float, seed: int) -> list[float]:
    """When each spike comes, real seconds from the first on; those of one moment are the same.

    Args:
        count: how many spikes.
        per_s: spikes in a second, on the average.
        seed: of the pauses between the moments.
    """
    random_of = random.Random(seed)
    pause_s = sum(TOGETHER) / len(TOGETHER) / per_s
    at_s, moments = 0.0, []
    for together in cycle(TOGETHER):
        moments += [at_s] * together
        if len(moments) >= count:
            return moments[:count]
        at_s += pause_s * random_of.uniform(0.5, 1.5)
    return moments


def prepare(system: System, pusher: Pusher, symbol: str) -> float:
    """Much more volume and open interest, the price as it is, and fresh maps for what will come.

    Returns:
        The price of the tick that is to cross: 2 % above everything of the last minutes.
    """
    tick, now = system.runtime.live.get(symbol), system.runtime.clock.now()
    if tick is None:
        raise ValueError(f"{symbol} has no price")
    with system.runtime.db.begin() as work:
        goal = max(tick.last, highest_since(work.session, symbol, now - NOT_CROSSED_FOR)) * 1.02
        put_maps(work.session, symbol, tick.last, goal * 1.015, now)
    usual_5m_usd = (tick.turnover_24h_usd or 0.0) / 288
    pusher.push(
        symbol,
        price=tick.last,
        turnover_usd=max(usual_5m_usd * 10, 1000.0),
        open_interest=(tick.open_interest or 0.0) * 1.10,
    )
    return goal


def by_owner(cpu: Mapping[str, float]) -> dict[str, float]:
    """Whose the cores were: ours, the stores', the simulator's with its maps, this script's."""
    owners = {"postgres": "stores", "redis": "stores", "simulator": "simulator", "maps": "simulator"}
    used: Counter[str] = Counter()
    for name, cores in cpu.items():
        used["benchmark" if name == "benchmark" else owners.get(name, "ours")] += cores
    return {owner: round(cores, 3) for owner, cores in used.items()}


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
