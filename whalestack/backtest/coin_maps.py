"""One coin's maps at every refresh, from the liquidation model, with their clusters followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whalestack.backtest import cluster_kernel as kernel
from whalestack.backtest import map_kernel
from whalestack.backtest.live_columns import LiveColumns
from whalestack.math.directions import ClusterSide
from whalestack.math.heatmap import Floats, Ints
from whalestack.math.liquidation_model import ModelAssumptions
from whalestack.math.liquidation_pass import DEFAULT_REACH_PCT, DEFAULT_STEP_PCT, FastLiquidationModel
from whalestack.math.timeframes import GEOMETRY, TIMEFRAMES, TRADABLE_TIMEFRAMES

MINUTE_MS = 60_000
CHUNK = 256
"""Refreshes modelled at a time: their columns stay in the processor's cache."""


class FollowedCluster(NamedTuple):
    """A cluster as plans and rankings read it; the fields of a row of `liquidation_clusters`.

    `leverage` and `value_usd` are both its value as last seen, USD: the table has the first name, what is
    read out of it for rankings the second.
    """

    id: int
    symbol: str
    timeframe: str
    side: ClusterSide
    price_low: float
    price_high: float
    price_center: float
    leverage: float
    distance_pct: float

    @property
    def value_usd(self) -> float:
        return self.leverage


@dataclass(frozen=True)
class MapRules:
    """How the model's maps are made.

    Args:
        timeframes: which ranges.
        refresh_ms: market time between two refreshes.
        step_pct, reach_pct: of the model's levels.
        as_live: made by the function of the running system's model source, which is slow; see
            `live_columns`.
        assumptions: of the model for this coin; `memory_bars` is that of each range.
    """

    timeframes: tuple[str, ...] = TIMEFRAMES
    refresh_ms: int = 300_000
    step_pct: float = DEFAULT_STEP_PCT
    reach_pct: float = DEFAULT_REACH_PCT
    as_live: bool = False
    assumptions: ModelAssumptions = field(default_factory=ModelAssumptions)

    def memory_bars(self, bar_ms: int) -> list[float | None]:
        """A range's map forgets what is older than the range."""
        return [GEOMETRY[each].span_s * 1000 / bar_ms for each in self.timeframes]

    def horizons(self) -> Ints:
        """(R,) refreshes in which a cluster of each range must be hit."""
        spans = [GEOMETRY[each].horizon_s * 1000 // self.refresh_ms for each in self.timeframes]
        return np.array(spans, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class ModelBars:
    """What the model is fed, (N,) each, oldest first, all of one length.

    Args:
        highs, lows, closes, turnover_usd, open_interest: candles.
        bar_ms: their length.
        first_refresh_at: how many of them have closed at refresh 0.
        first_ms: when the first one opens.
    """

    highs: Floats
    lows: Floats
    closes: Floats
    turnover_usd: Floats
    open_interest: Floats
    bar_ms: int
    first_refresh_at: int
    first_ms: int


def live_columns(bars: ModelBars, rules: MapRules) -> LiveColumns:
    """The live source's maps of a coin."""
    starts = bars.first_ms + bars.bar_ms * np.arange(bars.closes.size, dtype=np.int64)
    values = np.stack([bars.highs, bars.lows, bars.closes, bars.turnover_usd, bars.open_interest])
    asked_ms = bars.first_ms + bars.first_refresh_at * bars.bar_ms
    return LiveColumns(rules.timeframes, starts, values, rules.assumptions, asked_ms)


class CoinMaps:
    """Every cluster that a coin's maps ever showed.

    Args:
        symbol: of the coin.
        rules: how maps are made.
        bars: candles.
        minute_highs, minute_lows: (M,) of each minute, for the outcomes.
        first_minute: number of the minute that begins at refresh 0.
        refreshes: how many.
        weigh_at: (refreshes,) at which of them the imbalance will be asked for.
    """

    def __init__(
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
    ) -> None:
        self.symbol, self.rules, self.refreshes = symbol, rules, refreshes
        self._first_minute = first_minute
        self._past = kernel.Past(minute_highs, minute_lows, first_minute, rules.refresh_ms // MINUTE_MS)
        self._book = _empty_book(refreshes, len(rules.timeframes))
        self._weighed = weigh_at
        self._standing: dict[int, list[FollowedCluster]] = {}
        if rules.as_live:
            self._run_as_live(bars, weigh_at)
        else:
            self._run(bars, weigh_at)

    def _run(self, bars: ModelBars, weigh_at: NDArray[np.bool_]) -> None:
        rules = self.rules
        memories = rules.memory_bars(bars.bar_ms)
        model = FastLiquidationModel(rules.assumptions, memory_bars=memories, step_pct=rules.step_pct)
        each = rules.refresh_ms // bars.bar_ms
        taken = 0
        for first in range(0, self.refreshes, CHUNK):
            count = min(CHUNK, self.refreshes - first)
            end = bars.first_refresh_at + (first + count - 1) * each
            at = bars.first_refresh_at + (first + np.arange(count)) * each - 1 - taken
            part = slice(taken, end)
            columns = model.advance(
                bars.highs[part],
                bars.lows[part],
                bars.closes[part],
                bars.turnover_usd[part],
                bars.open_interest[part],
                column_at=at,
                reach_pct=rules.reach_pct,
            )
            taken = end
            made = kernel.Columns(columns.values, columns.first_levels, columns.levels, columns.closes)
            self._follow(made, first, weigh_at[first : first + count])

    def _run_as_live(self, bars: ModelBars, weigh_at: NDArray[np.bool_]) -> None:
        source, each = live_columns(bars, self.rules), self.rules.refresh_ms // bars.bar_ms
        for refresh in range(self.refreshes):
            closed = bars.first_refresh_at + refresh * each
            made = source.at(closed, bars.first_ms + closed * bars.bar_ms)
            self._follow(made, refresh, weigh_at[refresh : refresh + 1])

    def _follow(self, columns: kernel.Columns, first: int, weigh: NDArray[np.bool_]) -> None:
        self._make_room(columns.closes.size)
        tradable = np.array([each in TRADABLE_TIMEFRAMES for each in self.rules.timeframes])
        horizons = self.rules.horizons()
        kernel.follow(columns, self._past, first, horizons, tradable, weigh, self._book)

    def _make_room(self, refreshes: int) -> None:
        """Room for the most that so many refreshes could find: the kernel checks no bounds."""
        book = self._book
        found = refreshes * map_kernel.MOST_FOUND
        most = found * len(self.rules.timeframes)
        clusters, sightings = int(book.counts[kernel.CLUSTERS]), int(book.counts[kernel.SIGHTINGS])
        active = int(book.active_count.max())
        self._book = book._replace(
            figures=_longer(book.figures, clusters, most),
            facts=_longer(book.facts, clusters, most),
            seen=_longer(book.seen, sightings, most),
            seen_usd=_longer(book.seen_usd, sightings, most),
            active=_wider(book.active, active, found),
            bands=_wider(book.bands, active, found),
        )

    # --- what is asked ----------------------------------------------------------------------

    def standing(self, refresh: int) -> list[FollowedCluster]:
        """The undecided clusters that stand in the maps of a refresh, by their numbers."""
        if refresh not in self._standing:
            self._standing[refresh] = self._stands(refresh)
        return self._standing[refresh]

    def _stands(self, refresh: int) -> list[FollowedCluster]:
        book = self._book
        part = slice(int(book.seen_from[refresh]), int(book.seen_from[refresh + 1]))
        numbers = book.seen[part]
        order = np.argsort(numbers)
        return [
            self._cluster(number, usd)
            for number, usd in zip(numbers[order].tolist(), book.seen_usd[part][order].tolist(), strict=True)
        ]

    def _cluster(self, number: int, usd: float) -> FollowedCluster:
        facts, figures = self._book.facts[number].tolist(), self._book.figures[number].tolist()
        return FollowedCluster(
            id=number + 1,
            symbol=self.symbol,
            timeframe=self.rules.timeframes[facts[kernel.RANGE]],
            side="short" if facts[kernel.SIDE] > 0 else "long",
            price_low=figures[map_kernel.LOW],
            price_high=figures[map_kernel.HIGH],
            price_center=figures[map_kernel.CENTER],
            leverage=usd,
            distance_pct=figures[map_kernel.DISTANCE],
        )

    def sides_usd(self, refresh: int) -> tuple[float, float]:
        """Longs below and shorts above the price over all ranges, USD.

        Raises:
            ValueError: it was not asked for at this refresh.
        """
        if not self._weighed[refresh]:
            raise ValueError(f"the imbalance of refresh {refresh} was not asked for")
        long_usd, short_usd = self._book.sides[refresh].tolist()
        return long_usd, short_usd

    def size_usd(self, refresh: int, side: ClusterSide) -> float:
        """The size of a side at a refresh."""
        return float(self._book.sizes[refresh, 0 if side == "short" else 1])

    def typical_usd(self, refresh: int) -> float:
        """The typical size that was known before a refresh; 0 where there was none."""
        return float(self._book.typical[refresh])

    def just_hit(self, refresh: int, side: ClusterSide, since_minute: int) -> FollowedCluster | None:
        """The cluster of a side whose hit was known at a refresh and came last, not before a minute's end.

        Args:
            refresh: number.
            side: whose.
            since_minute: minutes from refresh 0.
        """
        facts = self._clusters_facts()
        ends = facts[:, kernel.HIT_MINUTE] + 1 - self._first_minute
        wanted = (
            (facts[:, kernel.HIT_MINUTE] >= 0)
            & (facts[:, kernel.DECIDED] <= refresh)
            & (facts[:, kernel.SIDE] == (1 if side == "short" else -1))
            & (ends >= since_minute)
        )
        numbers = np.flatnonzero(wanted)
        if numbers.size == 0:
            return None
        number = int(numbers[np.lexsort((numbers, -ends[numbers]))[0]])
        return self._cluster(number, float(self._book.figures[number, map_kernel.VALUE]))

    def judged(self, refresh: int) -> Judged:
        """The clusters whose whole horizon has passed by a refresh."""
        facts = self._clusters_facts()
        horizons = self.rules.horizons()[facts[:, kernel.RANGE]]
        known = (facts[:, kernel.DETECTED] + horizons <= refresh) & (facts[:, kernel.DECIDED] >= 0)
        figures = self._book.figures[: facts.shape[0]][known]
        facts = facts[known]
        return Judged(
            ranges=facts[:, kernel.RANGE],
            is_short=facts[:, kernel.SIDE] > 0,
            is_hit=facts[:, kernel.HIT_MINUTE] >= 0,
            adverse_pct=figures[:, map_kernel.ADVERSE],
        )

    def followed(self) -> list[Followed]:
        """Every cluster with what came of it."""
        horizons = self.rules.horizons()
        found = []
        for number in range(self.clusters):
            facts, figures = self._book.facts[number], self._book.figures[number]
            hit = None if facts[kernel.DECIDED] < 0 else bool(facts[kernel.HIT_MINUTE] >= 0)
            found.append(
                Followed(
                    self._cluster(number, float(figures[map_kernel.VALUE])),
                    float(figures[map_kernel.PRICE]),
                    int(facts[kernel.DETECTED]),
                    int(horizons[facts[kernel.RANGE]]),
                    hit,
                    float(figures[map_kernel.ADVERSE]),
                )
            )
        return found

    def has_clusters(self, number: int, refresh: int) -> bool:
        """Whether a range, by its number, has shown any cluster by a refresh."""
        facts = self._clusters_facts()
        return bool(((facts[:, kernel.RANGE] == number) & (facts[:, kernel.DETECTED] <= refresh)).any())

    @property
    def clusters(self) -> int:
        """How many were ever found."""
        return int(self._book.counts[kernel.CLUSTERS])

    def _clusters_facts(self) -> Ints:
        return self._book.facts[: self.clusters]


@dataclass(frozen=True, eq=False)
class Judged:
    """Clusters with a verdict: (K,) number of the range, side, verdict, adverse run in per cent."""

    ranges: Ints
    is_short: NDArray[np.bool_]
    is_hit: NDArray[np.bool_]
    adverse_pct: Floats


@dataclass(frozen=True)
class Followed:
    """A cluster and what came of it.

    Args:
        cluster: as it was detected, with its latest value.
        detected_price: of the coin at its detection.
        detected, horizon: number of its first refresh, and refreshes in which it must be hit.
        hit: None while it is undecided.
        adverse_pct: how far price ran the other way until the verdict.
    """

    cluster: FollowedCluster
    detected_price: float
    detected: int
    horizon: int
    hit: bool | None
    adverse_pct: float


def _empty_book(refreshes: int, ranges: int) -> kernel.Book:
    return kernel.Book(
        figures=np.zeros((0, 8)),
        facts=np.zeros((0, 6), dtype=np.int64),
        active=np.zeros((ranges, 0), dtype=np.int64),
        bands=np.zeros((ranges, kernel.BANDS, 0)),
        active_count=np.zeros(ranges, dtype=np.int64),
        seen=np.zeros(0, dtype=np.int64),
        seen_usd=np.zeros(0),
        seen_from=np.zeros(refreshes + 1, dtype=np.int64),
        sizes=np.zeros((refreshes, 2)),
        typical=np.zeros(refreshes + 1),
        sides=np.zeros((refreshes, 2)),
        counts=np.zeros(3, dtype=np.int64),
    )


def _longer(values: NDArray, used: int, more: int) -> NDArray:  # type: ignore[type-arg]
    """The same rows with room for so many more; only what is used is copied."""
    if values.shape[0] >= used + more:
        return values
    room = np.zeros((2 * used + more, *values.shape[1:]), dtype=values.dtype)
    room[:used] = values[:used]
    return room


def _wider(values: NDArray, used: int, more: int) -> NDArray:  # type: ignore[type-arg]
    """The same with room for so many more in the last direction."""
    if values.shape[-1] >= used + more:
        return values
    room = np.zeros((*values.shape[:-1], 2 * used + more), dtype=values.dtype)
    room[..., :used] = values[..., :used]
    return room
