"""What the compiled following of clusters remembers from refresh to refresh changes nothing but its speed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.backtest.random_market import candles, market
from whalestack.backtest import cluster_book as layout
from whalestack.backtest import cluster_kernel, coin_maps
from whalestack.backtest.coin_maps import CoinMaps, MapRules

BARS, WARM_UP = 2_500, 30


def maps_of(seed: int) -> CoinMaps:
    coin = market(candles(coins=1, bars=BARS, seed=seed)).coins["COIN0USDT"]
    series = coin.series
    first_ms = series.start_ms + WARM_UP * series.bar_ms
    refreshes = BARS - WARM_UP + 1
    return CoinMaps(
        "COIN0USDT",
        MapRules(timeframes=("12h", "7d", "1y")),
        coin.model_bars(first_ms),
        minute_highs=series.minutes.highs,
        minute_lows=series.minutes.lows,
        first_minute=series.minute_at(first_ms),
        refreshes=refreshes,
        weigh_at=np.zeros(refreshes, dtype=bool),
    )


def one_refresh_without_memory(
    bars: Any,
    first_bar: int,
    each: int,
    levels: Any,
    width: int,
    rules: Any,
    state: Any,
    runs: Any,
    past: Any,
    asked: Any,
    refresh: int,
    book: Any,
) -> int:
    """As `follow_model`, for one refresh that knows the clusters and nothing of the runs before it."""
    forgotten = layout.empty_runs(levels.size, state.scale.size)
    only = asked._replace(weigh=asked.weigh[: refresh + 1])
    return cluster_kernel.follow_model(
        bars, first_bar, each, levels, width, rules, state, forgotten, past, only, refresh, book
    )


@pytest.mark.parametrize("seed", [2, 5])
def test_a_refresh_that_remembers_nothing_finds_the_same(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Runs summed and matched anew at every refresh, while price rises by 60 %, and doubles."""
    remembered = maps_of(seed)
    monkeypatch.setattr(coin_maps, "kernel", SimpleNamespace(follow_model=one_refresh_without_memory))
    forgotten = maps_of(seed)

    assert remembered.clusters > 300
    assert remembered.followed() == forgotten.followed()
    for refresh in range(remembered.refreshes):
        assert remembered.typical_usd(refresh) == forgotten.typical_usd(refresh)
        assert remembered.standing(refresh) == forgotten.standing(refresh)
