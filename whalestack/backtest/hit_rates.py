"""Hit rates against chance over candle files: model, clusters at regular times, verdicts, table.

A range is studied on candles of one length where that length divides the range into at least
`LEAST_SPAN_BARS` and the candles are at least twice as long as the range. The first span of
the range (at most a third of the candles) only fills the model. From then on every cluster of
the model's map is looked at `LOOKS` times in each horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whalestack.backtest.candles import Candles, CoinCandles
from whalestack.backtest.repair import CLOSE, HIGH, LOW, TURNOVER, Rows
from whalestack.math.accuracy import BarGrid, Sightings, Trials, judge_beside_chance
from whalestack.math.accuracy_table import AccuracyRow, accuracy_table, kinds_of
from whalestack.math.clusters import find_clusters
from whalestack.math.heatmap import Floats, Ints
from whalestack.math.leverage_tiers import for_coin
from whalestack.math.liquidation_model import ModelAssumptions
from whalestack.math.liquidation_pass import FastLiquidationModel
from whalestack.math.timeframes import GEOMETRY, TIMEFRAMES, horizon_s

LEAST_SPAN_BARS = 7
LOOKS = 4


@dataclass(frozen=True)
class HitRates:
    """The table for candles of one length.

    Args:
        bar_s: length of the candles, seconds.
        coins: how many coins it rests on.
        with_interest: of them, those whose open interest was recorded.
        rows: of the table.
    """

    bar_s: int
    coins: int
    with_interest: int
    rows: tuple[AccuracyRow, ...]


def hit_rates(
    candles: Candles,
    *,
    majors: frozenset[str],
    large_share_pct: float,
    min_observations: float,
    assumptions: ModelAssumptions | None = None,
    max_leverage: Mapping[str, float] | None = None,
    coins: bool = False,
) -> tuple[HitRates, ...]:
    """A table for each length of candles, the shortest first.

    Args:
        candles: of a folder.
        majors: symbols.
        large_share_pct: see `kinds_of`.
        min_observations: independent ones that are enough for a verdict.
        assumptions: of the model; its `memory_bars` is that of each range.
        max_leverage: that the exchange allows, by symbol; a coin that is missing has the commonest.
        coins: whether to make a row for each coin as well.
    """
    lengths = sorted({bar_s for coin in candles.coins for bar_s in coin.rows})
    base, allowed = assumptions or ModelAssumptions(), max_leverage or {}
    found = []
    for bar_s in lengths:
        of_length = [coin for coin in candles.coins if bar_s in coin.rows]
        trials = [
            each
            for coin in of_length
            for each in coin_trials(coin, bar_s, for_coin(base, allowed.get(coin.symbol)))
        ]
        kinds = kinds_of(_daily_turnover(of_length, bar_s), majors, large_share_pct)
        rows = accuracy_table(trials, kinds, min_observations=min_observations, coins=coins)
        known = sum(coin.interest is not None for coin in of_length)
        found.append(HitRates(bar_s, len(of_length), known, rows))
    return tuple(found)


def coin_trials(coin: CoinCandles, bar_s: int, assumptions: ModelAssumptions) -> list[Trials]:
    """The verdicts on one coin's clusters, all ranges that its candles of one length allow."""
    rows = coin.rows[bar_s]
    ranges = studied_ranges(len(rows), bar_s)
    if not ranges:
        return []
    values = rows.values
    grid = BarGrid.of(rows.start_ms, values[HIGH], values[LOW], values[CLOSE], bar_s * 1000)
    return [
        judge_beside_chance(grid, sightings, horizon_s(sightings.timeframe) * 1000)
        for sightings in _sightings(coin, rows, bar_s, ranges, assumptions)
    ]


def studied_ranges(bars: int, bar_s: int) -> tuple[str, ...]:
    """The ranges that so many candles of this length allow; see above."""
    return tuple(
        each
        for each in TIMEFRAMES
        if LEAST_SPAN_BARS * bar_s <= GEOMETRY[each].span_s <= bars * bar_s / 2
        and horizon_s(each) <= bars * bar_s / 3
    )


def _sightings(
    coin: CoinCandles, rows: Rows, bar_s: int, ranges: Sequence[str], assumptions: ModelAssumptions
) -> list[Sightings]:
    spans = [GEOMETRY[each].span_s / bar_s for each in ranges]
    model = FastLiquidationModel(assumptions, memory_bars=spans)
    asked = [_looks(len(rows), each, bar_s) for each in ranges]
    every = np.unique(np.concatenate(asked))
    values = rows.values
    columns = model.advance(
        values[HIGH],
        values[LOW],
        values[CLOSE],
        values[TURNOVER],
        _interest(coin, rows, bar_s),
        column_at=every,
    )
    found = []
    for memory, (timeframe, numbers) in enumerate(zip(ranges, asked, strict=True)):
        seen: list[tuple[int, float, float]] = []
        for index in np.searchsorted(every, numbers):
            end_ms = int(rows.start_ms[every[index]]) + bar_s * 1000
            level_map = columns.level_map(int(index), memory, timeframe=timeframe, map_time_ms=end_ms)
            seen += [(end_ms, level_map.price, each.price_center) for each in find_clusters(level_map)]
        moments, prices, centers = np.array(seen, dtype=np.float64).reshape(-1, 3).T
        found.append(Sightings(coin.symbol, timeframe, moments.astype(np.int64), prices, centers))
    return found


def _looks(bars: int, timeframe: str, bar_s: int) -> Ints:
    """Numbers of the candles after which the map is looked at."""
    warm = min(round(GEOMETRY[timeframe].span_s / bar_s), bars // 3)
    return np.arange(warm, bars, max(horizon_s(timeframe) // bar_s // LOOKS, 1))


def _interest(coin: CoinCandles, rows: Rows, bar_s: int) -> Floats | None:
    """(N,) the last open interest recorded by each candle's end; NaN before the first; None without any."""
    if coin.interest is None:
        return None
    moments, held = coin.interest
    places = np.searchsorted(moments, rows.start_ms + bar_s * 1000, side="right") - 1
    known: Floats = np.where(places >= 0, held[np.maximum(places, 0)], np.nan)
    return known


def _daily_turnover(coins: Sequence[CoinCandles], bar_s: int) -> Mapping[str, float]:
    per_day = 86_400 / bar_s
    return {coin.symbol: float(coin.rows[bar_s].values[TURNOVER].mean()) * per_day for coin in coins}
