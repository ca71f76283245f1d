"""When each coin's own thresholds are learned, and every trigger that they let through."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from whalestack.backtest import walk_kernel as kernel
from whalestack.backtest.series import MINUTE_MS, POINT_MS, CoinSeries
from whalestack.config import Settings
from whalestack.db.market_frames import MarketFrame
from whalestack.math.heatmap import Ints
from whalestack.math.triggers import TriggerThresholds
from whalestack.scanners.thresholds import (
    RETRY_AFTER_S,
    floors_of,
    histories_of,
    learned_thresholds,
    observations_in,
)

TRIGGER_REPEAT_MS = 30_000
"""As the streams: a coin that keeps triggering one way is told of once in so long."""


@dataclass(frozen=True)
class Lesson:
    """Thresholds in force from a moment on."""

    from_ms: int
    thresholds: TriggerThresholds


@dataclass(frozen=True, eq=False)
class Sightings:
    """Triggers of one coin in time order: moments (T,) in market ms, and +1 or -1 for the way."""

    at_ms: Ints
    ways: Ints


def lessons(series: CoinSeries, settings: Settings, begin_ms: int, end_ms: int) -> list[Lesson]:
    """What the coin's past teaches from `begin_ms` on.

    Learned at the beginning and then whenever a day (`pattern_max_age_s`) has passed; while there is too
    little past the floors count and it is tried again after an hour. Only closed minutes are looked at.
    """
    found = []
    at_ms = begin_ms
    while at_ms < end_ms:
        learned = _learn(series, settings, at_ms)
        found.append(Lesson(at_ms, learned or floors_of(settings)))
        at_ms += (RETRY_AFTER_S if learned is None else settings.pattern_max_age_s) * 1000
    return found


def _learn(series: CoinSeries, settings: Settings, at_ms: int) -> TriggerThresholds | None:
    end = min(max(series.minute_at(at_ms), 0), series.minutes.closes.size)
    first = max(end - settings.threshold_lookback_h * 60, 0)
    if end <= first:
        return None
    part = slice(first, end)
    minutes = series.minutes
    frame = MarketFrame(
        (series.symbol,),
        series.start_ms + end * MINUTE_MS,
        minutes.closes[None, part],
        minutes.turnover[None, part],
        minutes.interest[None, part],
    )
    history = histories_of(frame)[series.symbol]
    return learned_thresholds(history, observations_in(history), settings)


def find_sightings(series: CoinSeries, taught: list[Lesson], end_ms: int) -> Sightings:
    """Every trigger from the first lesson on, as the streams' detector tells them.

    Candles in which nothing can trigger are not walked; see `walk_kernel.find_triggers`.
    """
    numbers: list[Ints] = []
    ways: list[Ints] = []
    told = np.full(2, -TRIGGER_REPEAT_MS, dtype=np.int64)
    edges = [*(lesson.from_ms for lesson in taught), end_ms]
    for lesson, (begin, end) in zip(taught, pairwise(edges), strict=True):
        bars = [series.closed_by(each) for each in (begin, end)]
        own = lesson.thresholds
        room = 2 * ((bars[1] - bars[0]) * series.bar_ms // TRIGGER_REPEAT_MS + 2)
        found, way = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        count = kernel.find_triggers(
            series.walk,
            series.flow,
            bars[0],
            bars[1],
            (own.oi_change_pct, own.volume_ratio, own.price_change_pct),
            TRIGGER_REPEAT_MS // POINT_MS,
            told,
            found,
            way,
        )
        numbers.append(found[:count])
        ways.append(way[:count])
    where = np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int64)
    moved = np.concatenate(ways) if ways else where
    return Sightings(series.start_ms + where * POINT_MS, moved)
