"""Random candles with bursts, as a prepared market: enough of everything to trade on."""

from __future__ import annotations

import numpy as np

from whalestack.backtest.candles import Candles, CoinCandles
from whalestack.backtest.prepared import PreparedMarket, prepare
from whalestack.backtest.repair import Rows
from whalestack.config import Settings
from whalestack.math.heatmap import Floats

START_MS = 1_760_832_000_000  # 2025-10-19 00:00 UTC
WARM_UP_MS = 6 * 3_600_000


def settings(**overrides: object) -> Settings:
    """The defaults, whatever `.env` says, with low floors, so that there is something to trade."""
    low = {
        "trigger_oi_change_pct": 0.5,
        "trigger_quantile": 0.8,
        "neutral_band_pct": 0.1,
        "min_listing_age_h": 0.0,
    }
    return Settings(_env_file=None, **{**low, **overrides})  # type: ignore[arg-type, call-arg]


def candles(coins: int = 3, bars: int = 500, bar_s: int = 300, seed: int = 1) -> Candles:
    """Coins of one interval; every one bursts now and then, with turnover."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(coins):
        rows = Rows(START_MS + bar_s * 1000 * np.arange(bars, dtype=np.int64), _bars(rng, bars))
        found.append(CoinCandles(f"COIN{number}USDT", {bar_s: rows}, 4))
    return Candles(tuple(found))


def _bars(rng: np.random.Generator, bars: int) -> Floats:
    burst = rng.random(bars) < 0.06
    moves = rng.normal(0, 0.002, bars) + burst * rng.normal(0, 0.02, bars)
    closes = np.exp(np.cumsum(moves))
    opens = np.concatenate([[1.0], closes[:-1]])
    reach = np.abs(rng.normal(0, 0.002, (2, bars))) + 1e-4
    highs, lows = np.maximum(opens, closes) * (1 + reach[0]), np.minimum(opens, closes) * (1 - reach[1])
    turnover = np.exp(rng.normal(11, 0.3, bars)) * (1 + 8 * burst)
    prices = np.round(np.stack([opens, highs, lows, closes]), 4)
    return np.concatenate([prices, (turnover / prices[3])[None], turnover[None]])


def market(source: Candles) -> PreparedMarket:
    """The candles made ready, without recorded contracts."""
    return prepare(source, begin_ms=START_MS + WARM_UP_MS)
