"""What each coin's judged clusters and candles say at a moment: the rows of `coin_liquidation_patterns`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np

from whalestack.backtest.coin_maps import CoinMaps
from whalestack.backtest.series import CoinSeries
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.db.models import CoinLiquidationPattern
from whalestack.db.pattern_store import ClusterRecord
from whalestack.db.ranking_store import Record
from whalestack.math.heatmap import Floats
from whalestack.math.quantiles import quantile
from whalestack.math.wicks import WickStatistics, wick_statistics
from whalestack.scanners.coin_history import WICK_LOOKBACK, WICK_QUANTILE, pattern_row


class Tally(NamedTuple):
    """How many clusters of a range were judged, and how many of them were a success."""

    hits: int
    observations: int


class Learned:
    """Every coin's record as it was learned last.

    Args:
        coins: by symbol: candles, maps, and the number of the latest refresh (below 0: none yet).
        settings: the farthest stop, the prior of success.
        at_ms: when it was learned.
    """

    def __init__(
        self, coins: Mapping[str, tuple[CoinSeries, CoinMaps, int]], settings: Settings, at_ms: int
    ) -> None:
        self._coins = {symbol: coin for symbol, coin in coins.items() if coin[2] >= 0}
        self._settings, self._at_ms = settings, at_ms
        self._tallies = {
            symbol: _tallies(maps, refresh, settings) for symbol, (_, maps, refresh) in self._coins.items()
        }
        self._patterns: dict[str, Mapping[str, CoinLiquidationPattern]] = {}

    def records(self) -> list[Record]:
        """As the ranking takes them: of every range that a coin has clusters of."""
        return [
            Record(symbol, timeframe, *tally)
            for symbol, tallies in self._tallies.items()
            for timeframe, tally in tallies.items()
        ]

    def patterns_of(self, symbol: str) -> Mapping[str, CoinLiquidationPattern]:
        """A coin's rows as plans take them; few coins are ever planned for."""
        if symbol not in self._patterns and symbol in self._coins:
            rows = {timeframe: SimpleNamespace(**row) for timeframe, row in self._rows(symbol).items()}
            # Plans only read them, and a row of the ORM takes a hundred times as long to make.
            self._patterns[symbol] = cast("Mapping[str, CoinLiquidationPattern]", rows)
        return self._patterns.get(symbol, {})

    def _rows(self, symbol: str) -> dict[str, dict[str, Any]]:
        series, maps, refresh = self._coins[symbol]
        wicks, now = hourly_wicks(series, self._at_ms), from_ms(self._at_ms)
        return {
            record.timeframe: pattern_row(record, wicks, self._market, self._settings, now)
            for record in _records(symbol, maps, refresh, self._tallies[symbol])
        }

    @cached_property
    def _market(self) -> dict[str, tuple[int, int]]:
        """Hits and observations of all coins by range."""
        market: dict[str, tuple[int, int]] = {}
        for each in self.records():
            hits, observations = market.get(each.timeframe, (0, 0))
            market[each.timeframe] = hits + each.hits, observations + each.observations
        return market


def hourly_wicks(series: CoinSeries, at_ms: int) -> WickStatistics | None:
    """The wicks of the last week's whole hours."""
    since_ms = at_ms - round(WICK_LOOKBACK.total_seconds() * 1000)
    starts, hours = series.ended_hours(since_ms, at_ms)
    return wick_statistics(*hours, quantile=WICK_QUANTILE) if starts.size else None


def _tallies(maps: CoinMaps, refresh: int, settings: Settings) -> dict[str, Tally]:
    """Of every range that has shown clusters."""
    judged, names = maps.judged(refresh), maps.rules.timeframes
    success = judged.is_hit & (judged.adverse_pct <= settings.stop_max_pct)
    hits = np.bincount(judged.ranges[success], minlength=len(names)).tolist()
    observations = np.bincount(judged.ranges, minlength=len(names)).tolist()
    return {
        timeframe: Tally(hits[number], observations[number])
        for number, timeframe in enumerate(names)
        if maps.has_clusters(number, refresh)
    }


def _records(
    symbol: str, maps: CoinMaps, refresh: int, tallies: Mapping[str, Tally]
) -> Iterator[ClusterRecord]:
    judged = maps.judged(refresh)
    runs_down, runs_up = judged.is_hit & judged.is_short, judged.is_hit & ~judged.is_short
    for timeframe, tally in tallies.items():
        own = judged.ranges == maps.rules.timeframes.index(timeframe)
        down, up = judged.adverse_pct[own & runs_down], judged.adverse_pct[own & runs_up]
        yield ClusterRecord(
            symbol=symbol,
            timeframe=timeframe,
            avg_cluster_usd=0.0,
            observations=tally.observations,
            hits=tally.hits,
            avg_time_to_target_s=None,
            wick_up_pct=_quantile(up),
            wick_down_pct=_quantile(down),
            runs_up=up.size,
            runs_down=down.size,
        )


def _quantile(runs: Floats) -> float | None:
    return quantile(runs, WICK_QUANTILE) if runs.size else None
