"""Are clusters hit more often than chance? Measured once a day from what was collected.

Every cluster whose horizon has passed is judged on the coin's bars beside levels drawn at
random (`whalestack.math.accuracy`), and the table is stored whole: it grows older,
it is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import accuracy_store as store
from whalestack.db.engine import Database
from whalestack.math.accuracy import Trials
from whalestack.math.accuracy_bars import BEFORE, FIVES_LOOKBACK, is_on_fives, judge_range
from whalestack.math.accuracy_table import AccuracyRow, CoinKind, accuracy_table, kinds_of

log = structlog.get_logger()


@dataclass(frozen=True)
class AccuracyReport:
    """One table.

    Args:
        coins: coins with clusters that could be judged.
        clusters: clusters judged.
        rows: of the table.
    """

    coins: int
    clusters: int
    rows: tuple[AccuracyRow, ...]


class AccuracyScanner:
    """Makes the table.

    Args:
        db: of this process.
        settings: how far back, which coins are large, how many observations are enough.
        clock: market time.
    """

    def __init__(self, *, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock

    def scan(self) -> AccuracyReport:
        """Judge coin by coin, each in a transaction of its own, and store the table."""
        now = self._clock.now()
        kinds = self.kinds()
        by_coin = {symbol: self._trials(symbol, now) for symbol in sorted(kinds)}
        trials = [each for of_coin in by_coin.values() for each in of_coin]
        rows = accuracy_table(trials, kinds, min_observations=self._settings.accuracy_min_observations)
        with self._db.begin() as work:
            store.store_rows(work.session, rows, source=self._settings.heatmap_source.value, now=now)
            if rows:
                keep = timedelta(days=self._settings.keep_logs_days)
                store.forget_coins(work.session, before=now - keep)
        report = AccuracyReport(
            sum(any(each.hits.size for each in of_coin) for of_coin in by_coin.values()),
            sum(each.hits.size for each in trials),
            rows,
        )
        log.info("accuracy_measured", coins=report.coins, clusters=report.clusters, rows=len(rows))
        return report

    def kinds(self) -> dict[str, CoinKind]:
        """The kind of each followed coin."""
        with self._db.begin() as work:
            followed = store.turnovers(work.session)
        return kinds_of(
            {each.symbol: each.turnover_24h_usd for each in followed},
            frozenset(each.symbol for each in followed if each.is_major),
            self._settings.large_coin_share_pct,
        )

    def _trials(self, symbol: str, now: datetime) -> list[Trials]:
        since = now - timedelta(days=self._settings.accuracy_lookback_days)
        with self._db.begin() as work:
            seen = list(store.sightings(work.session, symbol, since=since, now=now))
            if not seen:
                return []
            hours = store.hourly_bars(work.session, symbol, since=since - BEFORE, now=now)
            fives = store.five_minute_bars(work.session, symbol, since=now - FIVES_LOOKBACK, now=now)
        grids = [(fives if is_on_fives(each.timeframe) else hours, each) for each in seen]
        return [judge_range(grid, each) for grid, each in grids if grid is not None]
