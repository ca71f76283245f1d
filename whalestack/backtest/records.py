"""What each coin's judged clusters and candles say at a moment: the rows of `coin_liquidation_patterns`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whalestack.backtest.coin_maps import CoinMaps, Judged
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

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Learned:
    """Every coin's record as it was learned last: rows of `coin_liquidation_patterns` by symbol and range."""

    rows: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def patterns_of(self, symbol: str) -> dict[str, CoinLiquidationPattern]:
        """A coin's rows as plans take them; few coins are ever planned for."""
        return {
            timeframe: CoinLiquidationPattern(**row) for timeframe, row in self.rows.get(symbol, {}).items()
        }

    def records(self) -> list[Record]:
        """As the ranking takes them."""
        return [
            Record(symbol, timeframe, row["hits"], row["observations"])
            for symbol, rows in self.rows.items()
            for timeframe, row in rows.items()
        ]


def learn(coins: Mapping[str, tuple[CoinSeries, CoinMaps, int]], settings: Settings, at_ms: int) -> Learned:
    """Learn the record of every coin that has clusters.

    Args:
        coins: by symbol: candles, maps, and the number of the latest refresh (below 0: none yet).
        settings: the farthest stop, the prior of success.
        at_ms: now.
    """
    records = {
        symbol: _records(symbol, maps, refresh, settings)
        for symbol, (_, maps, refresh) in coins.items()
        if refresh >= 0
    }
    market: dict[str, tuple[int, int]] = {}
    for each in (record for group in records.values() for record in group):
        hits, observations = market.get(each.timeframe, (0, 0))
        market[each.timeframe] = (hits + each.hits, observations + each.observations)
    found = {}
    for symbol, group in records.items():
        wicks = hourly_wicks(coins[symbol][0], at_ms)
        rows = (pattern_row(record, wicks, market, settings, from_ms(at_ms)) for record in group)
        found[symbol] = {row["timeframe"]: row for row in rows}
    return Learned(found)


def hourly_wicks(series: CoinSeries, at_ms: int) -> WickStatistics | None:
    """The wicks of the last week's whole hours."""
    starts, hours = series.hours
    since_ms = at_ms - round(WICK_LOOKBACK.total_seconds() * 1000)
    part = slice(*np.searchsorted(starts, (since_ms, at_ms - HOUR_MS + 1)).tolist())
    if part.stop <= part.start:
        return None
    return wick_statistics(*hours[:, part], quantile=WICK_QUANTILE)


def _records(symbol: str, maps: CoinMaps, refresh: int, settings: Settings) -> list[ClusterRecord]:
    judged = maps.judged(refresh)
    return [
        _record(symbol, timeframe, judged, judged.ranges == number, settings)
        for number, timeframe in enumerate(maps.rules.timeframes)
        if maps.has_clusters(number, refresh)
    ]


def _record(
    symbol: str,
    timeframe: str,
    judged: Judged,
    own: NDArray[np.bool_],
    settings: Settings,
) -> ClusterRecord:
    hit = own & judged.is_hit
    runs_down, runs_up = judged.adverse_pct[hit & judged.is_short], judged.adverse_pct[hit & ~judged.is_short]
    return ClusterRecord(
        symbol=symbol,
        timeframe=timeframe,
        avg_cluster_usd=0.0,
        observations=int(own.sum()),
        hits=int((hit & (judged.adverse_pct <= settings.stop_max_pct)).sum()),
        avg_time_to_target_s=None,
        wick_up_pct=_quantile(runs_up),
        wick_down_pct=_quantile(runs_down),
        runs_up=runs_up.size,
        runs_down=runs_down.size,
    )


def _quantile(runs: Floats) -> float | None:
    return quantile(runs, WICK_QUANTILE) if runs.size else None
