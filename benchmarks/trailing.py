"""From the tick that reaches a trailing step to the stop moved on the exchange, 200 positions open.

    python benchmarks/trailing.py

Runs everything that `whalestack up` runs, at market speed 1, on embedded stores and the simulator,
while rounds of heat maps follow one another. How the positions are opened: `latency_runs/opened.py`.
First the steps are reached one after the other, below the ten moves a second that Bybit allows;
then all at once, where that limit alone takes `positions / 10` seconds and what counts is which
stops come first. Between the two one sweep of all positions is watched for its calls. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency_runs.opened import open_positions
from latency_runs.prepared import no_majors
from latency_runs.probe import Probe
from latency_runs.pusher import Pusher
from latency_runs.stages import spread
from latency_runs.system import System, running_system
from sqlalchemy import select

from whalestack.db.models import Coin, PositionMonitorLog
from whalestack.logs import configure_logging

LIMIT_A_SECOND = 10.0
# A tenth is kept for moves that protect a position.
FOLLOWING_A_SECOND = 9.0
TARGET_P99_MS = 1000.0
# Beyond each step of the default settings, and what the stop then secures, per cent of the entry.
STEPS = ((1.105, 0.0), (1.205, 10.0), (1.505, 30.0))
SWEEP_S = 32.0
SETTLES_IN_S = 10.0


@dataclass(frozen=True)
class Push:
    """A price that reached a step, and when the simulator handed it to its sockets, real ms."""

    symbol: str
    step: int
    sent_ms: float


def main(argv: list[str] | None = None) -> int:
    """Run and print the line; the exit code is 1 if a stop was never moved."""
    options = _parse(argv)
    configure_logging("ERROR")
    run_dir = options.run_dir.resolve()
    shutil.rmtree(run_dir / "logs", ignore_errors=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    with running_system(run_dir, _settings(options), with_maps=True, keep=lambda spec: True) as system:
        system.await_ready(options.positions)
        line = measure(system, options)
    print(json.dumps(line), flush=True)
    return 1 if line["never_moved"] else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--positions", type=int, default=200, help="how many are open")
    parser.add_argument("--per-s", type=float, default=6.0, help="steps reached in a second, below 10")
    parser.add_argument("--without-refresh", action="store_true", help="no rounds of heat maps beside it")
    parser.add_argument("--seed", type=int, default=1, help="of the market, the sizes and the order")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/trailing"), help="for data and logs")
    return parser.parse_args(argv)


def _settings(options: argparse.Namespace) -> dict[str, str]:
    return {
        "SIMULATOR_SEED": str(options.seed),
        "SIMULATOR_COINS": str(options.positions + 2),
        "REFRESH_INTERVAL_S": "86400" if options.without_refresh else "30",
        # Nothing is entered beside the positions.
        "AUTOTRADER_ENABLED": "false",
    }


def measure(system: System, options: argparse.Namespace) -> dict[str, Any]:
    """Open the positions, reach their steps and see when their stops moved."""
    rng = random.Random(options.seed)
    entries = opened(system, options, rng)
    time.sleep(SETTLES_IN_S)
    load_before = os.getloadavg()[0]
    system.begin_measuring_cpu()
    with Probe(system.settings.simulator_port) as probe:
        paced = [push for step in (0, 1) for push in reach(system, entries, step, rng, options.per_s)]
        await_moves(system, paced)
        sweep = watch_sweeps(system)
        burst = reach(system, entries, 2, rng, None)
        await_moves(system, burst)
    cpu = system.cpu_shares()
    moved = _moves(system, [*paced, *burst])
    intents = _intents(system)
    secured = {symbol: qty * price for symbol, (price, qty) in entries.items()}
    took_ms = [moved[push] - push.sent_ms for push in paced if push in moved]
    never = [push for push in (*paced, *burst) if push not in moved]
    return {
        "benchmark": "trailing",
        "positions": len(entries),
        "paced_per_s": options.per_s,
        "target_p99_ms": TARGET_P99_MS,
        "paced_tick_to_stop_moved_ms": spread(took_ms),
        "paced_later_than_target": sum(each > TARGET_P99_MS for each in took_ms),
        "paced_tick_to_intent_ms": spread(_to_intent(paced, moved, intents)),
        "burst": _burst(burst, moved, secured),
        "never_moved": len(never),
        "sweep": sweep,
        "refusals": {
            name: count
            for name, count in system.record.stats()["exchange"]["api_refusals"].items()
            if "trading-stop" in name
        },
        "cores": _shares(cpu),
        "cores_used": cpu,
        "simulator_round_trip_ms": spread(probe.took_ms),
        "load_before": round(load_before, 1),
        "load_after": round(os.getloadavg()[0], 1),
    }


# --- positions -----------------------------------------------------------------------------------


def opened(system: System, options: argparse.Namespace, rng: random.Random) -> dict[str, tuple[float, float]]:
    """Entry price and size of every position, by symbol."""
    with system.runtime.db.begin() as work:
        coins = {coin.symbol: coin for coin in work.session.scalars(select(Coin))}
    symbols = no_majors(sorted(coins))[: options.positions]
    return open_positions(system, [coins[symbol] for symbol in symbols], rng)


# --- reaching steps ------------------------------------------------------------------------------


def reach(
    system: System,
    entries: Mapping[str, tuple[float, float]],
    step: int,
    rng: random.Random,
    per_s: float | None,
) -> list[Push]:
    """Put every coin beyond a step, in a random order: evenly paced, or all at once."""
    symbols = rng.sample(sorted(entries), len(entries))
    began_s, pushes = time.monotonic(), []
    with Pusher(system.settings.simulator_port) as pusher:
        for number, symbol in enumerate(symbols):
            answer = pusher.push(symbol, price=entries[symbol][0] * STEPS[step][0])
            pushes.append(Push(symbol, step, float(answer["real_ms"])))
            if per_s is not None:
                system.supervisor.watch()
                time.sleep(max(0.0, began_s + (number + 1) / per_s - time.monotonic()))
    return pushes


def watch_sweeps(system: System) -> dict[str, Any]:
    """What two sweeps of all positions ask of the exchange, and how long they take."""
    before = system.record.stats()["exchange"]["api_calls"]
    time.sleep(SWEEP_S)
    after = system.record.stats()["exchange"]["api_calls"]
    with system.runtime.db.begin() as work:
        took = work.session.connection().exec_driver_sql(
            "select duration_ms from task_runs where task = 'trailing.sweep' order by started_at desc limit 2"
        )
        return {
            "calls_in_s": SWEEP_S,
            "calls": {
                path: after[path] - before.get(path, 0)
                for path in after
                if after[path] != before.get(path, 0)
            },
            "took_ms": [round(row[0], 1) for row in took],
        }


def await_moves(system: System, pushes: Sequence[Push]) -> None:
    """Until the stop of each has moved, or thrice the limit's own time is over."""
    deadline = time.monotonic() + 3 * len(pushes) / LIMIT_A_SECOND + SETTLES_IN_S
    while len(_moves(system, pushes)) < len(pushes) and time.monotonic() < deadline:
        time.sleep(1.0)


# --- what came of it ------------------------------------------------------------------------------


def _shares(cores: Mapping[str, float]) -> dict[str, float]:
    """Cores in all: of the system itself, of its stores, and of what is only there to measure it."""
    outside = {"simulator": "simulator", "maps": "simulator", "postgres": "stores", "redis": "stores"}
    outside |= {"benchmark": "benchmark"}
    found: dict[str, float] = {}
    for name, used in cores.items():
        share = outside.get(name, "ours")
        found[share] = round(found.get(share, 0.0) + used, 3)
    return found


def _moves(system: System, pushes: Sequence[Push]) -> dict[Push, float]:
    """When each push's stop had moved, real ms: the coin's first, second and third move."""
    by_symbol: dict[str, list[float]] = {}
    for event in system.record.all_events("stop_moved"):
        by_symbol.setdefault(event["symbol"], []).append(float(event["real_ms"]))
    found = {}
    for push in pushes:
        moves = [at_ms for at_ms in by_symbol.get(push.symbol, []) if at_ms >= push.sent_ms - 1]
        if moves:
            found[push] = moves[0]
    return found


def _intents(system: System) -> dict[str, list[float]]:
    """When each coin's moves were written down, real ms."""
    with system.runtime.db.begin() as work:
        rows = work.session.scalars(select(PositionMonitorLog).order_by(PositionMonitorLog.id)).all()
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.symbol, []).append(row.created_at.timestamp() * 1000)
    return found


def _to_intent(
    pushes: Sequence[Push], moved: Mapping[Push, float], intents: Mapping[str, list[float]]
) -> list[float]:
    firsts = [
        next((at_ms for at_ms in intents.get(push.symbol, []) if at_ms >= push.sent_ms - 1), None)
        for push in pushes
        if push in moved
    ]
    sent = [push.sent_ms for push in pushes if push in moved]
    return [first - at for first, at in zip(firsts, sent, strict=True) if first is not None]


def _burst(
    pushes: Sequence[Push], moved: Mapping[Push, float], value_usd: Mapping[str, float]
) -> dict[str, Any]:
    """All at once: how long the last one took, and how much of the profit the first half secured."""
    done = sorted((push for push in pushes if push in moved), key=lambda push: moved[push])
    if not done:
        return {}
    first_ms = min(push.sent_ms for push in pushes)
    total_usd = sum(value_usd[push.symbol] for push in done)
    half_usd = sum(value_usd[push.symbol] for push in done[: len(done) // 2])
    best_usd = sum(sorted((value_usd[push.symbol] for push in done), reverse=True)[: len(done) // 2])
    return {
        "stops": len(done),
        "limit_alone_s": round(len(pushes) / LIMIT_A_SECOND, 1),
        "limit_less_reserve_s": round(len(pushes) / FOLLOWING_A_SECOND, 1),
        "all_moved_s": round((moved[done[-1]] - first_ms) / 1000, 2),
        "tick_to_stop_moved_ms": spread([moved[push] - push.sent_ms for push in done]),
        "profit_secured_by_first_half_pct": round(half_usd / total_usd * 100, 1),
        "best_possible_pct": round(best_usd / total_usd * 100, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
