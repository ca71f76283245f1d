"""What every run over a stretch of time shares: the coins' triggers and their maps, made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whalestack.backtest.coin_maps import CoinMaps, MapRules, ModelBars
from whalestack.backtest.daily_tables import DailyTables
from whalestack.backtest.desk import coin_of
from whalestack.backtest.prepared import PreparedCoin, PreparedMarket
from whalestack.backtest.rankings import MappedCoin, Rankings
from whalestack.backtest.series import MINUTE_MS, CoinSeries
from whalestack.backtest.sightings import Lesson, Sightings, find_sightings, lessons
from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.math.heatmap import Floats
from whalestack.math.leverage_tiers import for_coin, model_assumptions
from whalestack.math.liquidation_model import ModelAssumptions

Finder = Callable[[CoinSeries, list[Lesson], int], Sightings]


class MapMaker(Protocol):
    """Makes a coin's maps; see `CoinMaps`."""

    def __call__(
        self,
        symbol: str,
        rules: MapRules,
        bars: ModelBars,
        *,
        minute_highs: Floats,
        minute_lows: Floats,
        first_minute: int,
        refreshes: int,
        weigh_at: NDArray[np.bool_],
    ) -> CoinMaps: ...


@dataclass(frozen=True, eq=False)
class Played:
    """A stretch of a market that strategies are played over.

    Args:
        market: prepared.
        coins: with maps at every refresh.
        rankings: of these coins.
        tables: of the hit rates of their clusters.
        triggers: (market ms, symbol, +1 or -1), by time and then in the coins' order.
        begin_ms, end_ms: the stretch; a whole number of refreshes from one another.
        candles: how many candles of all coins lie in it.
    """

    market: PreparedMarket
    coins: Mapping[str, MappedCoin]
    rankings: Rankings
    tables: DailyTables
    triggers: tuple[tuple[int, str, int], ...]
    begin_ms: int
    end_ms: int
    candles: int


def play(
    market: PreparedMarket,
    settings: Settings,
    begin_ms: int,
    end_ms: int,
    *,
    rules: MapRules | None = None,
    find: Finder = find_sightings,
    make_maps: MapMaker = CoinMaps,
) -> Played:
    """Find every trigger and make every map between two moments.

    Args:
        market: prepared.
        settings: of the scanners.
        begin_ms, end_ms: market time; the beginning is moved to the next refresh, the end to the last.
        rules: how maps are made; by default every range at the settings' refresh interval.
        find: finds a coin's triggers.
        make_maps: makes a coin's maps; by default from its candles in one pass.

    Raises:
        StopAndTell: nothing lies between the two.
    """
    rules = rules or MapRules(refresh_ms=settings.refresh_interval_s * 1000)
    refresh_ms = rules.refresh_ms
    if refresh_ms % market.bar_ms or refresh_ms % MINUTE_MS:
        raise StopAndTell(f"REFRESH_INTERVAL_S must be a multiple of {market.bar_ms // 1000}")
    begin_ms = -(-max(begin_ms, market.start_ms + market.bar_ms) // refresh_ms) * refresh_ms
    end_ms = min(end_ms, market.end_ms) // refresh_ms * refresh_ms
    playable = {
        symbol: coin for symbol, coin in market.coins.items() if coin.series.start_ms + refresh_ms < end_ms
    }
    if begin_ms >= end_ms or not playable:
        raise StopAndTell("there are no candles between these moments")
    sightings = {
        symbol: find(coin.series, lessons(coin.series, settings, begin_ms, end_ms), end_ms)
        for symbol, coin in playable.items()
    }
    asked = _asked(sightings.values(), begin_ms, end_ms, refresh_ms)
    coins = {
        symbol: _mapped(symbol, coin, market, settings, rules, begin_ms, end_ms, asked, make_maps)
        for symbol, coin in playable.items()
    }
    return Played(
        market=market,
        coins=coins,
        rankings=Rankings(coins, settings, begin_ms),
        tables=DailyTables(coins, settings, begin_ms),
        triggers=_in_time_order(sightings),
        begin_ms=begin_ms,
        end_ms=end_ms,
        candles=_candles(playable, begin_ms, end_ms),
    )


def _asked(found: object, begin_ms: int, end_ms: int, refresh_ms: int) -> NDArray[np.bool_]:
    """At which refreshes of the stretch a trigger follows before the next one."""
    asked = np.zeros((end_ms - begin_ms) // refresh_ms + 1, dtype=bool)
    for each in found:  # type: ignore[attr-defined]
        asked[(each.at_ms - begin_ms) // refresh_ms] = True
    return asked


def _mapped(
    symbol: str,
    coin: PreparedCoin,
    market: PreparedMarket,
    settings: Settings,
    rules: MapRules,
    begin_ms: int,
    end_ms: int,
    asked: NDArray[np.bool_],
    make_maps: MapMaker,
) -> MappedCoin:
    series, refresh_ms = coin.series, rules.refresh_ms
    # A coin that is listed later has its first map with its first whole candle.
    late = max(-(-(series.start_ms + series.bar_ms - begin_ms) // refresh_ms), 0)
    first_ms = begin_ms + late * refresh_ms
    last_ms = min(end_ms, series.end_ms)
    refreshes = (last_ms - first_ms) // refresh_ms + 1
    row = market.instruments[symbol]
    maps = make_maps(
        symbol,
        replace(rules, assumptions=assumptions_of(row, settings)),
        coin.model_bars(first_ms),
        minute_highs=series.minutes.highs,
        minute_lows=series.minutes.lows,
        first_minute=series.minute_at(first_ms),
        refreshes=refreshes,
        weigh_at=asked[late : late + refreshes],
    )
    return MappedCoin(coin_of(row, settings, begin_ms), series, maps, first_ms)


def assumptions_of(row: Mapping[str, Any], settings: Settings) -> ModelAssumptions:
    """Of a coin's model: the settings', with the leverages that its contract allows, as in `ModelMaps`."""
    common = model_assumptions(
        settings.model_leverages,
        churn_pct=settings.model_churn_pct,
        turnover_pct_without_oi=settings.model_turnover_pct_without_oi,
    )
    return for_coin(common, float(row["leverageFilter"]["maxLeverage"]))


def _in_time_order(found: Mapping[str, Sightings]) -> tuple[tuple[int, str, int], ...]:
    triggers = [
        (at_ms, place, symbol, way)
        for place, (symbol, each) in enumerate(found.items())
        for at_ms, way in zip(each.at_ms.tolist(), each.ways.tolist(), strict=True)
    ]
    return tuple((at_ms, symbol, way) for at_ms, _, symbol, way in sorted(triggers))


def _candles(coins: Mapping[str, PreparedCoin], begin_ms: int, end_ms: int) -> int:
    spans = (min(end_ms, coin.series.end_ms) - max(begin_ms, coin.series.start_ms) for coin in coins.values())
    bar_ms = next(iter(coins.values())).series.bar_ms
    return sum(max(span, 0) // bar_ms for span in spans)
