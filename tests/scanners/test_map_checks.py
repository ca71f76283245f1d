"""Maps that decode and still may not be believed: of the past, or in another unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.scanners.heatmap_parts import a_heatmap
from whalestack.clients.coinglass.errors import CoinglassBadReply
from whalestack.clients.coinglass.types import Heatmap
from whalestack.clock import ManualClock, MarketClock
from whalestack.db.coin_store import FollowedCoin
from whalestack.math.timeframes import GEOMETRY, SERVED_TIMEFRAMES
from whalestack.scanners.map_checks import check_present, check_unit

ONE, THOUSAND = FollowedCoin("PEPEUSDT", "PEPE", 1), FollowedCoin("1000PEPEUSDT", "PEPE", 1000)


def aged(timeframe: str, clock: ManualClock, *, columns: int = 0, s: float = 0) -> Heatmap:
    """A map whose last column began so long ago; computed now, by its own word."""
    heatmap = a_heatmap("PEPE", timeframe, map_time_ms=clock.now_ms())
    shift_ms = round(1000 * (columns * GEOMETRY[timeframe].column_s + s))
    return replace(heatmap, column_times_ms=heatmap.column_times_ms - shift_ms)


@pytest.mark.parametrize("timeframe", SERVED_TIMEFRAMES)
def test_candles_that_stop_short_are_the_past(clock: ManualClock, timeframe: str) -> None:
    """At any range a column or so behind is the present, two behind and a quarter of an hour are not,
    whatever the map says of when it was computed."""
    check_present(aged(timeframe, clock), clock)
    with pytest.raises(CoinglassBadReply, match=rf"PEPE {timeframe}: its last column began \d+ s ago"):
        check_present(aged(timeframe, clock, columns=2, s=1000), clock)


def test_a_map_computed_long_ago_is_the_past(clock: ManualClock) -> None:
    """An hour ago is too long for the 12h map, and nothing for that of the year."""
    for timeframe in ("12h", "1y"):
        heatmap = replace(aged(timeframe, clock), map_time_ms=clock.now_ms() - 3_600_000)
        if timeframe == "1y":
            check_present(heatmap, clock)
        else:
            with pytest.raises(CoinglassBadReply, match="PEPE 12h: CoinGlass computed it 3600 s ago"):
                check_present(heatmap, clock)


def test_without_a_last_column_what_stood_before_is_not_the_present(clock: ManualClock) -> None:
    """The 1y map's last column began 8 hours ago and has no cell: yesterday's cells are refused. Five
    minutes after it began it may still be empty."""
    heatmap = aged("1y", clock)
    begun = heatmap.column_times_ms - heatmap.column_times_ms[-1] + clock.now_ms()
    yesterday = replace(heatmap, xs=heatmap.xs - 1)
    check_present(replace(yesterday, column_times_ms=begun - 300_000), clock)
    with pytest.raises(CoinglassBadReply, match="28800 s ago and has no cell: columns stop short"):
        check_present(replace(yesterday, column_times_ms=begun - 8 * 3_600_000), clock)


def test_market_time_that_runs_fast_is_allowed_for() -> None:
    """At 600 market seconds a second a reply is on its way for an hour of market time."""
    fast = MarketClock(speed=600.0)
    heatmap = a_heatmap("PEPE", "12h", map_time_ms=fast.now_ms() - 3_600_000)
    check_present(heatmap, fast)


def test_a_map_of_one_column_is_judged_by_its_range(clock: ManualClock) -> None:
    """Its own step cannot be seen."""
    heatmap = aged("1y", clock)
    one = replace(
        heatmap, n_columns=1, xs=np.zeros_like(heatmap.xs), column_times_ms=heatmap.column_times_ms[-1:]
    )
    check_present(one, clock)


@pytest.mark.parametrize("factor", [1000.0, 0.001, 10.0])
def test_levels_in_another_unit_than_the_price_are_refused(clock: ManualClock, factor: float) -> None:
    """Even where Bybit's price is not known: every level would lie on one side of the price."""
    heatmap = a_heatmap("PEPE", "7d")
    with pytest.raises(CoinglassBadReply, match=r"PEPE 7d: its levels are .* two units"):
        check_unit(replace(heatmap, y_axis=heatmap.y_axis * factor), ONE, None)


def test_a_price_in_another_unit_than_bybits_is_refused() -> None:
    """CoinGlass's 100 is Bybit's 100,000 for a thousand coins; without the factor it is another unit."""
    heatmap = a_heatmap("PEPE", "7d")
    check_unit(heatmap, THOUSAND, 101_000.0)
    for coin, bybit_price in ((THOUSAND, 100.0), (ONE, 100_000.0)):
        with pytest.raises(CoinglassBadReply, match="another unit than"):
            check_unit(heatmap, coin, bybit_price)
