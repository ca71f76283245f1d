"""What was compiled for speed says what the originals say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backtest.random_market import START_MS, candles, market, settings
from whalestack.backtest import walk_kernel as kernel
from whalestack.backtest.coin_maps import CoinMaps, MapRules
from whalestack.backtest.series import MINUTE_MS, POINT_MS, CoinSeries
from whalestack.backtest.sightings import find_sightings, lessons
from whalestack.db.market_store import LearnedThresholds
from whalestack.math.clusters import find_clusters
from whalestack.math.imbalance import aggregate_imbalance
from whalestack.math.liquidation_model import ModelAssumptions
from whalestack.math.liquidation_pass import FastLiquidationModel
from whalestack.math.model_maps import RangeCandles, model_map
from whalestack.math.outcomes import Path, judge
from whalestack.simulator.market.walk import walk_points
from whalestack.sockets.detector import SpikeDetector, floors_of

REACH_PCT = 25.0


@pytest.fixture(scope="module")
def series() -> CoinSeries:
    return market(candles(coins=1, bars=400)).coins["COIN0USDT"].series


def _all_points(series: CoinSeries) -> np.ndarray:
    raw, _ = walk_points(*series.bars[:4], series.points)
    ticks = np.maximum(np.rint(raw / series.tick), 1.0) * series.tick
    return np.round(ticks, 10).ravel()


def test_a_point_is_that_of_the_simulators_walk_bit_by_bit(series: CoinSeries) -> None:
    walked = _all_points(series)

    assert [float(each) for each in walked] == [series.price(number) for number in range(walked.size)]


def test_the_next_point_that_reaches_a_price_is_the_first_one(series: CoinSeries) -> None:
    walked, rng = _all_points(series), np.random.default_rng(3)
    for _ in range(300):
        start = int(rng.integers(0, walked.size - 1))
        low, high = walked[start] * (1 - rng.random() * 0.05), walked[start] * (1 + rng.random() * 0.05)
        reached = np.flatnonzero((walked[start:] <= low) | (walked[start:] >= high))
        expected = start + int(reached[0]) if reached.size else walked.size

        assert expected == series.next_reached(start, walked.size, float(low), float(high))


def test_minutes_are_made_of_the_points(series: CoinSeries) -> None:
    walked = _all_points(series).reshape(-1, MINUTE_MS // POINT_MS)

    assert (walked.max(axis=1) == series.minutes.highs).all()
    assert (walked[:, -1] == series.minutes.closes).all()
    assert series.minutes.turnover.sum() == pytest.approx(series.bars[5].sum())


@pytest.mark.parametrize("bar_s", [60, 300])
def test_triggers_are_those_that_the_streams_detector_tells(bar_s: int) -> None:
    """Every walked point goes through the detector of the running system; none is missed, none made up."""
    config = settings()
    coin = market(candles(coins=1, bars=50_000 // bar_s, bar_s=bar_s, seed=5)).coins["COIN0USDT"].series
    begin = START_MS + 2 * 3_600_000
    taught = lessons(coin, config, begin, coin.end_ms)
    found = find_sightings(coin, taught, coin.end_ms)

    detector = SpikeDetector(floors_of(config))
    told = []
    points, a_minute = coin.points, MINUTE_MS // POINT_MS
    due = list(taught)
    running = 0.0
    for number in range(coin.total_points):
        bar, point = divmod(number, points)
        at_ms = coin.moment(number)
        while due and due[0].from_ms <= at_ms:
            detector.set_thresholds({coin.symbol: LearnedThresholds(**vars(due.pop(0).thresholds))})
        share = kernel.turnover_share(coin.walk, bar, point, point)
        running = coin.flow.turnover[bar] * share + (0.0 if number % a_minute == 0 else running)
        detector.on_bar(coin.symbol, at_ms // MINUTE_MS * MINUTE_MS, running)
        seen = detector.on_tick(coin.symbol, at_ms, coin.price(number), coin.open_interest(number))
        if seen is not None and seen.is_trigger and at_ms >= begin:
            told.append(at_ms)

    assert len(told) > 5
    assert told == found.at_ms.tolist()


def test_maps_as_live_are_those_of_the_model_source() -> None:
    prepared = market(candles(coins=1, bars=150)).coins["COIN0USDT"]
    series = prepared.series
    first_ms = series.start_ms + 140 * series.bar_ms
    bars = prepared.model_bars(first_ms)
    maps = CoinMaps(
        "COIN0USDT",
        MapRules(timeframes=("12h",), as_live=True),
        bars,
        minute_highs=series.minutes.highs,
        minute_lows=series.minutes.lows,
        first_minute=series.minute_at(first_ms),
        refreshes=3,
        weigh_at=np.zeros(3, dtype=bool),
    )
    starts = series.start_ms + series.bar_ms * np.arange(142, dtype=np.int64)
    values = np.stack([bars.highs, bars.lows, bars.closes, bars.turnover_usd, bars.open_interest])[:, :142]
    level_map = model_map(RangeCandles(starts, values), "12h", ModelAssumptions(), map_time_ms=0)
    expected = find_clusters(level_map)

    assert len(expected) > 0
    assert sum(each.value_usd for each in expected) == pytest.approx(
        sum(each.leverage for each in maps.standing(2))
    )


def test_clusters_imbalance_and_outcomes_are_those_of_the_originals(series: CoinSeries) -> None:
    """The clusters of each map, long and short over all maps, and the verdict on every cluster."""
    rules = MapRules(timeframes=("12h", "7d", "30d"))
    prepared = market(candles(coins=1, bars=400)).coins["COIN0USDT"]
    first_ms = series.start_ms + 30 * series.bar_ms
    bars = prepared.model_bars(first_ms)
    refreshes = 371
    maps = CoinMaps(
        "COIN0USDT",
        rules,
        bars,
        minute_highs=series.minutes.highs,
        minute_lows=series.minutes.lows,
        first_minute=series.minute_at(first_ms),
        refreshes=refreshes,
        weigh_at=np.ones(refreshes, dtype=bool),
    )
    model = FastLiquidationModel(memory_bars=rules.memory_bars(series.bar_ms))
    columns = model.advance(
        bars.highs,
        bars.lows,
        bars.closes,
        bars.turnover_usd,
        bars.open_interest,
        column_at=bars.first_refresh_at - 1 + np.arange(refreshes),
        reach_pct=REACH_PCT,
    )
    for refresh in range(0, refreshes, 7):
        level_maps = [
            columns.level_map(refresh, number, timeframe=name, map_time_ms=0)
            for number, name in enumerate(rules.timeframes)
        ]
        expected = [cluster for each in level_maps for cluster in find_clusters(each)]
        total = sum(cluster.value_usd for cluster in expected)
        assert total == pytest.approx(sum(each.leverage for each in maps.standing(refresh)))
        imbalance = aggregate_imbalance(level_maps, neutral_band_pct=0)
        assert (imbalance.long_usd, imbalance.short_usd) == pytest.approx(maps.sides_usd(refresh))

    path = Path(
        first_ms - series.minute_at(first_ms) * MINUTE_MS + MINUTE_MS * np.arange(series.minutes.highs.size),
        series.minutes.highs,
        series.minutes.lows,
        MINUTE_MS,
    )
    followed = maps.followed()
    assert len(followed) > 10
    for each in followed:
        verdict = judge(
            path,
            side=each.cluster.side,
            center=each.cluster.price_center,
            detected_price=each.detected_price,
            detected_ms=first_ms + each.detected * rules.refresh_ms,
            horizon_ms=first_ms + (each.detected + each.horizon) * rules.refresh_ms,
            now_ms=first_ms + (refreshes - 1) * rules.refresh_ms,
        )
        assert (verdict is not None) == (each.hit is not None)
        if verdict is not None:
            assert verdict.hit == each.hit
            assert verdict.adverse_pct == pytest.approx(each.adverse_pct)
