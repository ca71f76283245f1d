"""The backtest's clusters, out of the maps that a running system stored.

The running system makes each range's map anew from that range's own candles; the backtest makes all of
them in one pass over the candles it plays. So the two differ before anything is decided. Here the
backtest gets the running system's maps, and does everything after them by itself: it finds the clusters,
follows them, judges them, sizes them up, ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import floor, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whalestack.backtest.cluster_book import Columns
from whalestack.backtest.coin_maps import CoinMaps, MapRules, ModelBars
from whalestack.backtest.played_coins import MapMaker
from whalestack.db.heatmap_rows import StoredMap
from whalestack.errors import StopAndTell
from whalestack.math.heatmap import Floats, LevelMap
from whalestack.math.imbalance import aggregate_imbalance
from whalestack.math.liquidation_pass import half_width, levels_a_decade
from whalestack.math.timeframes import TRADABLE_TIMEFRAMES

Maps = Sequence[Mapping[str, LevelMap]]
"""A coin's maps by range, one mapping for each refresh."""
NEUTRAL_BAND_PCT = 0.0
"""Of no consequence: only the two sums are taken from the imbalance."""


class StoredMaps(CoinMaps):
    """A coin's clusters as `CoinMaps` follows them, from maps that were stored.

    Args:
        maps: of each refresh.
        symbol, rules, bars, keywords: as `CoinMaps`; `bars` is not looked at.
    """

    def __init__(self, maps: Maps, symbol: str, rules: MapRules, bars: ModelBars, **keywords: Any) -> None:
        self._maps = maps
        super().__init__(symbol, rules, bars, **keywords)

    def _run(self, bars: ModelBars, weigh_at: NDArray[np.bool_]) -> None:
        if len(self._maps) < self.refreshes or not all(self._maps):
            raise StopAndTell(f"{self.symbol} has no map at some of {self.refreshes} refreshes")
        maps = self._maps[: self.refreshes]
        self._follow(columns_of(maps, self.rules), 0, np.zeros(self.refreshes, dtype=bool))
        for refresh, found in enumerate(maps):
            sides = aggregate_imbalance(list(found.values()), neutral_band_pct=NEUTRAL_BAND_PCT)
            self._book.sides[refresh] = sides.long_usd, sides.short_usd
        self._weighed = np.ones(self.refreshes, dtype=bool)

    def _tradable(self) -> NDArray[np.bool_]:
        """A range of which a young coin has no map says nothing of its size."""
        return np.array(
            [each in TRADABLE_TIMEFRAMES and each in self._maps[0] for each in self.rules.timeframes]
        )


def maker_of(rounds: Sequence[Sequence[StoredMap]]) -> MapMaker:
    """What `play` asks for a coin's maps.

    Args:
        rounds: every coin's maps at each refresh.
    """

    def make(symbol: str, rules: MapRules, bars: ModelBars, **keywords: Any) -> CoinMaps:
        own = [
            {each.level_map.timeframe: each.level_map for each in maps if each.symbol == symbol}
            for maps in rounds
        ]
        return StoredMaps(own, symbol, rules, bars, **keywords)

    return partial(make)


def columns_of(maps: Maps, rules: MapRules) -> Columns:
    """Stored maps on the model's own grid, which every one of them was made on.

    What is stored has five digits and leaves empty levels out; the number of a level brings back its
    exact price, and where the close stands brings back the empty ones.
    """
    per_decade = levels_a_decade(rules.step_pct)
    half = half_width(per_decade, rules.reach_pct)
    closes = np.array([_price(found) for found in maps])
    lowest = floor(per_decade * log10(closes.min())) - half - 2
    highest = floor(per_decade * log10(closes.max())) + half + 2
    levels = 10.0 ** (np.arange(lowest, highest + 1) / per_decade)
    firsts = np.searchsorted(levels, closes, side="right") - half
    values = np.zeros((len(maps), len(rules.timeframes), 2 * half))
    for refresh, found in enumerate(maps):
        for which, timeframe in enumerate(rules.timeframes):
            if timeframe in found:
                start = lowest + int(firsts[refresh])
                _lay(found[timeframe], start, per_decade, values[refresh, which])
    return Columns(values, firsts, levels, closes)


def _price(found: Mapping[str, LevelMap]) -> float:
    prices = {each.price for each in found.values()}
    if len(prices) != 1:
        raise StopAndTell(f"the maps of one refresh were made at {len(prices)} prices")
    return prices.pop()


def _lay(level_map: LevelMap, start: int, per_decade: int, row: Floats) -> None:
    places = np.rint(per_decade * np.log10(level_map.prices)).astype(np.int64) - start
    inside = (places >= 0) & (places < row.size)
    if not inside.all():
        raise StopAndTell(f"{level_map.timeframe}: levels lie off the model's columns")
    row[places] = level_map.values
