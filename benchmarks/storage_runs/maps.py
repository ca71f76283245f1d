"""A day of heat maps as they would be fetched: the simulator's liquidation model on a made-up market.

In that model every level of every map moves at every fetch (all positions fade a little), which no
real map does: it is the most that there can be to store. How often a real map changes nobody outside
CoinGlass knows, so the other end is stated as well: a map whose columns are hours wide changes
when a column closes, and then in a share of its levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from whalestack.clock import from_ms
from whalestack.db.heatmap_rows import FetchedMap
from whalestack.math.clusters import find_clusters
from whalestack.math.heatmap import LevelMap
from whalestack.math.timeframes import GEOMETRY, SERVED_TIMEFRAMES, TIMEFRAMES
from whalestack.simulator.heatmaps import CurrentLevels, Heatmaps, View
from whalestack.simulator.market.synthetic import open_synthetic

REFRESH_MS = 300_000
FETCHES_A_DAY = 288
DAY_START = datetime(2025, 10, 20, tzinfo=UTC)
MODEL = "model2"
SOURCE = "coinglass:model2"
# Cells below this share of a map's largest are not served; maps are sparse.
LEAST_SHARE = 0.003
# Of the levels that are there, in a fetch that shows a change: about one in seven has been touched.
MOVED_SHARE = 0.15


@dataclass(frozen=True)
class Fetch:
    """One map, fetched: the coin's number in the sample, the fetch's number in the day."""

    coin: int
    number: int
    fetched: FetchedMap


def every_level_moves(coins: int, *, fetches: int = FETCHES_A_DAY, seed: int = 1) -> list[Fetch]:
    """The maps of some coins in the order of their fetches, all nine ranges; 14d has the levels of 30d."""
    start_ms = round(DAY_START.timestamp() * 1000)
    market = open_synthetic(coins, start_ms=start_ms, seed=seed)
    heatmaps, symbols = Heatmaps(market), list(market.symbols)
    found: list[Fetch] = []
    for number in range(fetches):
        now_ms = start_ms + number * REFRESH_MS
        market.advance(now_ms)
        for coin, symbol in enumerate(symbols):
            current = {
                each: heatmaps.map(symbol, each, MODEL, View()).current() for each in SERVED_TIMEFRAMES
            }
            current["14d"] = current["30d"]
            found += [
                Fetch(coin, number, _fetched(f"C{coin}USDT", each, current[each], now_ms))
                for each in TIMEFRAMES
            ]
    return found


def _fetched(symbol: str, timeframe: str, current: CurrentLevels, now_ms: int) -> FetchedMap:
    values = np.round(current.values, 2)
    shown = values > max(float(values.max()) * LEAST_SHARE, 1e-3)
    level_map = LevelMap(
        timeframe, current.price, current.prices[shown], values[shown], now_ms, timeframe == "14d"
    )
    at = from_ms(now_ms)
    return FetchedMap(symbol, level_map, find_clusters(level_map), at, at, SOURCE)


def changing_with_columns(maps: Sequence[Fetch], *, seed: int = 2) -> Iterator[Fetch]:
    """The same day where a map changes when a column of its range closes, and some of its levels do."""
    random = np.random.default_rng(seed)
    standing: dict[tuple[int, str], FetchedMap] = {}
    for each in maps:
        key = each.coin, each.fetched.level_map.timeframe
        before = standing.get(key)
        if before is None or column_closes(each):
            standing[key] = each.fetched if before is None else _some_levels_of(each.fetched, before, random)
        now = each.fetched
        level_map = replace(standing[key].level_map, price=now.level_map.price)
        yield replace(
            each,
            fetched=replace(
                standing[key], level_map=level_map, fetched_at=now.fetched_at, map_time=now.map_time
            ),
        )


def column_closes(each: Fetch) -> bool:
    """Whether a column of its range ends with this fetch."""
    fetches_a_column = GEOMETRY[each.fetched.level_map.timeframe].column_s * 1000 // REFRESH_MS
    return each.number % fetches_a_column == 0


def _some_levels_of(new: FetchedMap, old: FetchedMap, random: np.random.Generator) -> FetchedMap:
    """The new map, most of whose levels hold what they held before where they are the same levels."""
    before, after = old.level_map, new.level_map
    values = after.values.copy()
    _, here, there = np.intersect1d(after.prices, before.prices, return_indices=True)
    kept = random.random(here.size) >= MOVED_SHARE
    values[here[kept]] = before.values[there[kept]]
    return replace(new, level_map=replace(after, values=values))
