"""Take the stops off open positions, as only the exchange or a person could, and time their return.

    python benchmarks/lost_stops.py --stops 30 --seed 1

A whole system trades as in `faults.py`. One position after the other loses its stop by Bybit's own
endpoint; with `--silent` the private stream keeps what it would tell of it, so that only the watchdog's
schedule finds the position. The last line is JSON; times are from the exchange's own record.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from fault_runs import signs
from fault_runs.load import Load
from fault_runs.recovery import spread
from fault_runs.run import say
from fault_runs.system import SPEED, System, running_system
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP

from whalestack.logs import configure_logging

READY_WITHIN_S = 60.0
BACK_WITHIN_S = 30.0
PAUSE_S = 0.3


def main(argv: list[str] | None = None) -> int:
    """Run, print the line; 1 if a position stayed without a stop."""
    options = _parse(argv)
    configure_logging("CRITICAL")
    with running_system(options.run_dir.resolve(), seed=options.seed, coins=24) as system:
        load = Load(system, random.Random(options.seed), 1.0, frozenset)
        _await(signs.may_trade_again(system), READY_WITHIN_S)
        load.start()
        if options.silent:
            system.record.add_rule(endpoint="WS /v5/private", kind="ws_silence", contains='"position"')
        taken = _take_off(system, options.stops)
        load.stop()
        spells = _spells(system)
    back_s = [real_s for real_s, _ in spells]
    line = {
        "benchmark": "lost_stops",
        "silent": options.silent,
        "stops_taken_off": taken,
        "ended": len(spells),
        "without_a_stop_real_s": spread(back_s),
        "without_a_stop_market_s": spread([market_s for _, market_s in spells]),
        "clock_speed": SPEED,
    }
    print(json.dumps(line), flush=True)
    return 0 if taken and len(spells) == taken else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stops", type=int, default=30, help="how many are taken off")
    parser.add_argument("--seed", type=int, default=1, help="of the market and the load")
    parser.add_argument("--silent", action="store_true", help="the private stream tells of no position")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/lost_stops"), help="for data and logs")
    return parser.parse_args(argv)


def _take_off(system: System, wanted: int) -> int:
    """One stop at a time, each given time to return; how many were taken off."""
    http = _client(system)
    taken, end_s = 0, time.monotonic() + READY_WITHIN_S + wanted * 4
    while taken < wanted and time.monotonic() < end_s:
        time.sleep(PAUSE_S)
        system.record.follow()
        protected = [symbol for symbol, stop in system.record.stops.items() if stop is not None]
        if not protected:
            continue
        symbol = random.choice(sorted(protected))
        try:
            http.set_trading_stop(
                category="linear", symbol=symbol, stopLoss="0", tpslMode="Full", positionIdx=0
            )
        except InvalidRequestError as refusal:
            say(f"{symbol} has closed in the meantime: {refusal.message}")
            continue
        taken += 1
        _await(lambda symbol=symbol: _is_back(system, symbol), BACK_WITHIN_S)
    return taken


def _client(system: System) -> HTTP:
    settings = system.settings
    http = HTTP(
        api_key=settings.bybit_api_key.get_secret_value(),
        api_secret=settings.bybit_api_secret.get_secret_value(),
    )
    http.endpoint = system.runtime.settings.simulator_url
    return http


def _is_back(system: System, symbol: str) -> bool:
    system.record.follow()
    return system.record.stops.get(symbol, "closed") is not None


def _spells(system: System) -> list[tuple[float, float]]:
    """Real and market seconds of each time that a stop was taken off until it was back, or the end."""
    since: dict[str, dict[str, Any]] = {}
    found = []
    seq = 0
    while events := system.record.events(after_seq=seq):
        seq = events[-1]["seq"]
        for event in events:
            if event["kind"] == "stop_removed":
                since[event["symbol"]] = event
            elif event["kind"] in ("stop_set", "stop_moved", "position_closed"):
                began = since.pop(event["symbol"], None)
                if began is not None:
                    found.append(
                        (
                            (event["real_ms"] - began["real_ms"]) / 1000,
                            (event["ts_ms"] - began["ts_ms"]) / 1000,
                        )
                    )
    return found


def _await(holds: Any, within_s: float) -> None:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s and not holds():
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
