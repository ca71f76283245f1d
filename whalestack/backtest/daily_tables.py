"""The daily tables of hit rates that a running system would have made along a stretch.

A system that starts where the stretch begins makes its first table a day later and then one every day
(`history.accuracy`), of the clusters whose horizon has passed and the bars that have ended by then. Here it
is made by the same functions, range by range, when a plan first asks for it, and kept for every account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

import numpy as np

from whalestack.backtest.rankings import MappedCoin
from whalestack.backtest.series import MINUTE_MS, CoinSeries
from whalestack.config import Settings
from whalestack.math.accuracy import BarGrid, Sightings, Trials
from whalestack.math.accuracy_bars import (
    BEFORE,
    EVERY_S,
    FIVE_MS,
    FIVES_LOOKBACK,
    HOUR_MS,
    fives_of,
    is_on_fives,
    judge_range,
)
from whalestack.math.accuracy_table import (
    AccuracyRow,
    CoinKind,
    accuracy_table,
    is_enough,
    kinds_of,
    most_observations,
    rows_about,
    unproven_ranges,
)
from whalestack.math.timeframes import TIMEFRAMES, horizon_s

Rows = tuple[AccuracyRow, ...]
EVERY_MS = EVERY_S * 1000


class DailyTables:
    """Hit rates at any moment of a stretch.

    Args:
        coins: by symbol.
        settings: of the scanners.
        begin_ms: where the stretch begins.
    """

    def __init__(self, coins: Mapping[str, MappedCoin], settings: Settings, begin_ms: int) -> None:
        self._coins = coins
        self._settings = settings
        self._begin_ms = begin_ms
        self._seen: dict[tuple[str, str], Sightings] = {}
        self._made: dict[tuple[int, str], Rows] = {}
        self._told: dict[tuple[int, str], Rows] = {}

    def made_by(self, now_ms: int) -> int:
        """How many tables have been made by a moment: that of day 1 is the first."""
        return max((now_ms - self._begin_ms) // EVERY_MS, 0)

    def table(self, day: int) -> Rows:
        """The whole table made so many days after the beginning."""
        return tuple(row for timeframe in TIMEFRAMES for row in self._rows(day, timeframe))

    def unproven(self, symbol: str, now_ms: int, ranges: Iterable[str]) -> dict[str, AccuracyRow]:
        """Of some ranges, those whose clusters the newest table does not show to beat chance for a coin."""
        day = self.made_by(now_ms)
        rows = [row for timeframe in ranges for row in self._telling(day, timeframe)]
        return unproven_ranges(rows_about(rows, symbol))

    def _telling(self, day: int, timeframe: str) -> Rows:
        """A range's rows in the newest table of a day, or none where they can have no verdict."""
        if (day, timeframe) not in self._told:
            rows = self._newest(day, timeframe) if self._could_tell(day, timeframe) else ()
            self._told[day, timeframe] = rows
        return self._told[day, timeframe]

    def _could_tell(self, day: int, timeframe: str) -> bool:
        """Whether any row of a range could have a verdict by a day; where none can, no table is needed."""
        at_ms = self._begin_ms + day * EVERY_MS
        seen = [self._over(symbol, timeframe, self._begin_ms, at_ms).seen_ms for symbol in self._coins]
        votes, periods = most_observations(seen, horizon_s(timeframe) * 1000)
        return is_enough(votes, periods, self._settings.accuracy_min_observations)

    def _newest(self, day: int, timeframe: str) -> Rows:
        """A range's rows in the newest table of a day; one without any row is never stored."""
        last = next((each for each in range(day, 0, -1) if self._rows(each, timeframe)), None)
        if last is None or any(self.table(each) for each in range(last + 1, day + 1)):
            return ()
        return self._rows(last, timeframe)

    def _rows(self, day: int, timeframe: str) -> Rows:
        if (day, timeframe) not in self._made:
            self._made[day, timeframe] = self._make(self._begin_ms + day * EVERY_MS, timeframe)
        return self._made[day, timeframe]

    def _make(self, at_ms: int, timeframe: str) -> Rows:
        kinds = self._kinds(at_ms)
        found = (self._trials(symbol, timeframe, at_ms) for symbol in sorted(kinds))
        trials = [each for each in found if each is not None]
        return accuracy_table(trials, kinds, min_observations=self._settings.accuracy_min_observations)

    def _kinds(self, at_ms: int) -> dict[str, CoinKind]:
        """Of the coins that have candles at a moment: others are not followed any more, or not yet."""
        there = {
            symbol: each
            for symbol, each in self._coins.items()
            if each.first_refresh_ms <= at_ms <= each.series.end_ms
        }
        return kinds_of(
            {symbol: each.series.turnover_24h(at_ms) for symbol, each in there.items()},
            frozenset(symbol for symbol, each in there.items() if each.coin.is_major),
            self._settings.large_coin_share_pct,
        )

    def _trials(self, symbol: str, timeframe: str, at_ms: int) -> Trials | None:
        since_ms = at_ms - _ms(timedelta(days=self._settings.accuracy_lookback_days))
        seen = self._over(symbol, timeframe, since_ms, at_ms)
        if not seen.seen_ms.size:
            return None
        series = self._coins[symbol].series
        if is_on_fives(timeframe):
            grid = five_minute_bars(series, at_ms - _ms(FIVES_LOOKBACK), at_ms)
        else:
            grid = hourly_bars(series, since_ms - _ms(BEFORE), at_ms)
        return judge_range(grid, seen) if grid is not None else None

    def _over(self, symbol: str, timeframe: str, since_ms: int, at_ms: int) -> Sightings:
        """A coin's clusters whose horizon has passed by a moment, each as it was first seen."""
        if (symbol, timeframe) not in self._seen:
            self._seen[symbol, timeframe] = _first_seen(self._coins[symbol], timeframe)
        known = self._seen[symbol, timeframe]
        first = np.searchsorted(known.seen_ms, since_ms)
        own = slice(first, np.searchsorted(known.seen_ms, at_ms - horizon_s(timeframe) * 1000, side="right"))
        return Sightings(symbol, timeframe, known.seen_ms[own], known.prices[own], known.centers[own])


def _first_seen(mapped: MappedCoin, timeframe: str) -> Sightings:
    """All clusters that a coin's maps of a range ever show, in the order of time."""
    rules, found = mapped.maps.rules, mapped.maps.detections()
    wanted = rules.timeframes.index(timeframe) if timeframe in rules.timeframes else -1
    own = np.flatnonzero(found.ranges == wanted)
    moments = mapped.first_refresh_ms + found.refreshes[own] * rules.refresh_ms
    return Sightings(mapped.series.symbol, timeframe, moments, found.prices[own], found.centers[own])


def five_minute_bars(series: CoinSeries, since_ms: int, at_ms: int) -> BarGrid | None:
    """The coin's bars put together from minutes; only those that have ended. None without any."""
    first = max(-(-(since_ms - series.start_ms) // MINUTE_MS), 0)
    end = max((at_ms // FIVE_MS * FIVE_MS - series.start_ms) // MINUTE_MS, first)
    minutes = series.minutes
    highs, lows, closes = (each[first:end] for each in (minutes.highs, minutes.lows, minutes.closes))
    starts = series.start_ms + MINUTE_MS * np.arange(first, first + closes.size, dtype=np.int64)
    return fives_of(starts, highs, lows, closes) if closes.size else None


def hourly_bars(series: CoinSeries, since_ms: int, at_ms: int) -> BarGrid | None:
    """The coin's hourly bars that have ended. None without any."""
    starts, (_, highs, lows, closes) = series.ended_hours(since_ms, at_ms)
    return BarGrid.of(starts, highs, lows, closes, HOUR_MS) if starts.size else None


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
