"""How many candles a second the backtest plays, beside a well-known library's loop over the same candles.

    python benchmarks/backtest.py                       # one coin of 100,000 minutes, 50 coins of 4,000
    python benchmarks/backtest.py --candles 20000 --coins 10 --coin-candles 2000

Figures are candles a second of one core, of process time: nothing here uses a second core. The candles are
random with bursts and made before anything is timed, and so is what compiles (the first call of each
kernel; `compile_s` says how long that took). Every figure is the median of RUNS runs, with the slowest and
the fastest beside it: other work on the machine takes from the caches, also from process time. Everything
else counts: triggers, thresholds, the model, maps
and clusters at every refresh, rankings, records, plans, the exchange.

- `model`: the liquidation model alone, nine memories at once, no maps.
- `one_range`: one coin, everything, with the 7-day map only.
- `one_coin`: one coin, everything, with all nine ranges, each mapped and followed every five minutes.
- `again_per_s`: another trader over the same stretch: triggers and maps are there already.
- `many_coins`: one account over many coins.
- `library`: backtesting.py's loop over the same candles, a crossing of two moving averages with a stop
  and a target. It has one coin, one position, orders at the open of the next candle, a commission. It has
  no liquidation model, no ranking, no second coin, no walk inside a candle, no steps and limits, no
  funding, no margin, no partial fills, no guards.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from whalestack.backtest.candles import Candles, CoinCandles
from whalestack.backtest.coin_maps import MapRules
from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.prepared import PreparedMarket, prepare
from whalestack.backtest.repair import Rows
from whalestack.backtest.run import AccountRun
from whalestack.config import Settings
from whalestack.math.liquidation_pass import FastLiquidationModel

TARGET = 1_000_000
START_MS = 1_735_689_600_000  # 2025-01-01 00:00 UTC
WARM_UP_MS = 86_400_000
RUNS = 5


def random_candles(coins: int, bars: int, seed: int) -> Candles:
    """Minutes that burst about as often as a small perpetual's do."""
    rng = np.random.default_rng(seed)
    return Candles(tuple(_coin(rng, f"COIN{number}USDT", bars) for number in range(coins)))


def _coin(rng: np.random.Generator, symbol: str, bars: int) -> CoinCandles:
    burst = rng.random(bars) < 0.004
    moves = rng.normal(0, 0.0006, bars) + burst * rng.normal(0, 0.008, bars)
    closes = np.exp(np.cumsum(moves - moves.mean()))
    opens = np.concatenate([[1.0], closes[:-1]])
    reach = np.abs(rng.normal(0, 0.0004, (2, bars))) + 1e-5
    highs, lows = np.maximum(opens, closes) * (1 + reach[0]), np.minimum(opens, closes) * (1 - reach[1])
    turnover = np.exp(rng.normal(10, 0.4, bars)) * (1 + 8 * burst)
    prices = np.round(np.stack([opens, highs, lows, closes]), 5)
    values = np.concatenate([prices, (turnover / prices[3])[None], turnover[None]])
    return CoinCandles(symbol, {60: Rows(START_MS + 60_000 * np.arange(bars, dtype=np.int64), values)}, 5)


def timed(work: Callable[[], Any], runs: int = RUNS) -> tuple[list[float], Any]:
    """The process times of a few runs, seconds, ascending, and what the last one returned."""
    seconds, result = [], None
    for _ in range(runs):
        begun = time.process_time()
        result = work()
        seconds.append(time.process_time() - begun)
    return sorted(seconds), result


def speeds(candles: int, seconds: list[float]) -> dict[str, Any]:
    """Candles a second: the median, the slowest and the fastest run."""
    ordered = [round(candles / each) for each in sorted(seconds, reverse=True)]
    return {"per_s": ordered[len(ordered) // 2], "slowest_and_fastest": [ordered[0], ordered[-1]]}


def measure_coin(market: PreparedMarket, settings: Settings, rules: MapRules | None) -> dict[str, Any]:
    """One market, everything."""

    def work() -> tuple[Played, Any]:
        played = play(market, settings, START_MS + WARM_UP_MS, 2**62, rules=rules)
        return played, AccountRun(played, (settings,)).run()

    seconds, (played, outcome) = timed(work)
    again, _ = timed(lambda: AccountRun(played, (settings,)).run())
    return {
        "candles": played.candles,
        **speeds(played.candles, seconds),
        "again_per_s": speeds(played.candles, again)["per_s"],
        "triggers": len(played.triggers),
        "signals": outcome.signals,
        "trades": len(outcome.trades),
    }


def measure_model(market: PreparedMarket) -> dict[str, Any]:
    """The model alone, candles a second."""
    coin = next(iter(market.coins.values()))
    bars = coin.model_bars(START_MS + WARM_UP_MS)
    rules = MapRules()

    def work() -> None:
        model = FastLiquidationModel(memory_bars=rules.memory_bars(bars.bar_ms), step_pct=rules.step_pct)
        model.advance(bars.highs, bars.lows, bars.closes, bars.turnover_usd, bars.open_interest, column_at=[])

    return speeds(bars.closes.size, timed(work)[0])


def measure_library(candles: Candles) -> dict[str, Any] | None:
    """backtesting.py over the first coin; None where it is not installed."""
    try:
        from backtesting import Backtest, Strategy
        from backtesting.lib import crossover
    except ImportError:
        return None
    rows = candles.coins[0].rows[60]
    frame = pd.DataFrame(
        rows.values[:5].T,
        columns=["Open", "High", "Low", "Close", "Volume"],
        index=pd.to_datetime(rows.start_ms, unit="ms"),
    )

    class Crossing(Strategy):
        def init(self) -> None:
            close = pd.Series(self.data.Close)
            self.fast = self.I(lambda: close.rolling(60).mean())
            self.slow = self.I(lambda: close.rolling(240).mean())

        def next(self) -> None:
            price = self.data.Close[-1]
            if not self.position and crossover(self.fast, self.slow):
                self.buy(size=0.5, sl=price * 0.95, tp=price * 1.03)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = Backtest(frame, Crossing, cash=10_000, commission=0.00055)
        seconds, stats = timed(test.run)
    import backtesting

    return {
        "name": f"backtesting.py {backtesting.__version__}",
        "candles": len(frame),
        **speeds(len(frame), seconds),
        "trades": int(stats["# Trades"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--candles", type=int, default=100_000, help="minutes of the one coin")
    parser.add_argument("--coins", type=int, default=50)
    parser.add_argument("--coin-candles", type=int, default=4_000, help="minutes of each of the many coins")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    settings = Settings(_env_file=None)
    begun = time.perf_counter()
    small = prepare(random_candles(1, 3_000, asked.seed), begin_ms=START_MS + WARM_UP_MS)
    measure_coin(small, settings, None)
    measure_model(small)
    compile_s = time.perf_counter() - begun

    candles = random_candles(1, asked.candles, asked.seed)
    market = prepare(candles, begin_ms=START_MS + WARM_UP_MS)
    many = prepare(
        random_candles(asked.coins, asked.coin_candles, asked.seed), begin_ms=START_MS + WARM_UP_MS
    )
    one = measure_coin(market, settings, None)
    result = {
        "benchmark": "backtest",
        "target_per_s": TARGET,
        "model": measure_model(market),
        "one_range": measure_coin(market, settings, MapRules(timeframes=("7d",))),
        "one_coin": one,
        "many_coins": {"coins": asked.coins, **measure_coin(many, settings, None)},
        "library": measure_library(candles),
        "compile_s": round(compile_s, 1),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "reaches_target": one["per_s"] >= TARGET,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
