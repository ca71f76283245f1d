"""What each coin's past says of its clusters: `coin_liquidation_patterns`.

A **success** is a cluster that was hit within its horizon before price had run against
the way by the farthest stop there is (`stop_max_pct`): a trade toward it would have got
there. Only clusters whose whole horizon has passed are observations, hit or not, so a
young system has few and says so, instead of counting early hits and no misses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.pattern_store import (
    ClusterRecord,
    cluster_records,
    coins_due,
    hourly_wicks,
    market_record,
    upsert_patterns,
)
from whalestack.math.chance import wilson
from whalestack.math.ranking import shrunk_rate
from whalestack.math.wicks import WickStatistics

log = structlog.get_logger()

COINS_PER_RUN = 100
LOOKBACK = timedelta(days=365)
WICK_LOOKBACK = timedelta(days=7)
WICK_QUANTILE = 0.9
# A quantile of fewer adverse runs than this is no quantile: the coin's hourly wicks stand in.
LEAST_RUNS = 10


@dataclass(frozen=True)
class CoinHistoryReport:
    """What one run learned.

    Args:
        coins: coins looked at.
        patterns: rows written.
        observations: judged clusters they rest on.
    """

    coins: int
    patterns: int
    observations: int


class CoinHistoryScanner:
    """Learns the coins whose record is missing or old, oldest first.

    Args:
        db: of this process.
        settings: how old a record may grow, the prior and its weight, the farthest stop.
        clock: market time.
    """

    def __init__(self, *, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock

    def scan(self) -> CoinHistoryReport:
        """Learn the coins that are due, at most `COINS_PER_RUN` of them."""
        before = self._clock.now() - timedelta(seconds=self._settings.pattern_max_age_s)
        with self._db.begin() as work:
            due = coins_due(work.session, before=before, most=COINS_PER_RUN)
        return self._learn(due)

    def refresh(self, symbol: str) -> CoinHistoryReport:
        """Learn one coin now, before it is traded."""
        return self._learn((symbol,))

    def _learn(self, symbols: Sequence[str]) -> CoinHistoryReport:
        if not symbols:
            return CoinHistoryReport(0, 0, 0)
        now = self._clock.now()
        with self._db.begin() as work:
            records = self._records(work.session, symbols, now)
            wicks = hourly_wicks(
                work.session, symbols, since=now - WICK_LOOKBACK, now=now, quantile=WICK_QUANTILE
            )
            market = market_record(work.session)
            rows = [
                pattern_row(record, wicks.get(record.symbol), market, self._settings, now)
                for record in records
            ]
            upsert_patterns(work.session, rows)
        report = CoinHistoryReport(len(symbols), len(rows), sum(each.observations for each in records))
        log.info(
            "patterns_learned", coins=report.coins, patterns=report.patterns, observations=report.observations
        )
        return report

    def _records(self, session: Session, symbols: Sequence[str], now: datetime) -> list[ClusterRecord]:
        return cluster_records(
            session,
            symbols,
            now=now,
            since=now - LOOKBACK,
            stop_max_pct=self._settings.stop_max_pct,
            quantile=WICK_QUANTILE,
        )


def pattern_row(
    record: ClusterRecord,
    wicks: WickStatistics | None,
    market: Mapping[str, tuple[int, int]],
    settings: Settings,
    now: datetime,
) -> dict[str, Any]:
    """The row of `coin_liquidation_patterns` that a record makes.

    Args:
        record: of one coin and range.
        wicks: of the coin's hours.
        market: (hits, observations) of all coins by range.
        settings: the prior of success and its weight.
        now: market time.
    """
    seen = wilson(record.hits / record.observations, record.observations) if record.observations else None
    return {
        "symbol": record.symbol,
        "timeframe": record.timeframe,
        "avg_cluster_size": record.avg_cluster_usd,
        "success_rate": _success_rate(record, market.get(record.timeframe, (0, 0)), settings),
        "hits": record.hits,
        "observations": record.observations,
        "success_low": seen.low if seen else None,
        "success_high": seen.high if seen else None,
        "speed_pct_per_h": record.speed_pct_per_h,
        "beyond_pct": record.beyond_pct,
        "came_back_pct": record.came_back_pct,
        "avg_time_to_target": record.avg_time_to_target_s,
        "max_wick_up_pct": _wick(record.wick_up_pct, record.runs_up, wicks.wick_up_pct if wicks else None),
        "max_wick_down_pct": _wick(
            record.wick_down_pct, record.runs_down, wicks.wick_down_pct if wicks else None
        ),
        "updated_at": now,
    }


def _success_rate(record: ClusterRecord, market: tuple[int, int], settings: Settings) -> float:
    """The coin's rate shrunk toward the market's on this range, and that toward the setting."""
    weight = settings.success_prior_weight
    prior = shrunk_rate(*market, settings.success_prior, weight)
    return shrunk_rate(record.hits, record.observations, prior, weight)


def _wick(from_clusters: float | None, runs: int, from_candles: float | None) -> float | None:
    """The adverse runs before hits where there are enough of them, else the coin's hourly wicks."""
    return from_clusters if runs >= LEAST_RUNS else from_candles
