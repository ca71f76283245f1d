"""One coin's maps at every refresh, from the liquidation model, with their clusters followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whalestack.backtest import cluster_book as layout
from whalestack.backtest import cluster_kernel as kernel
from whalestack.backtest.followed_clusters import Detections, Followed, FollowedCluster, Judged
from whalestack.backtest.live_columns import LiveColumns
from whalestack.math.directions import ClusterSide
from whalestack.math.heatmap import Floats, Ints
from whalestack.math.liquidation_model import ModelAssumptions
from whalestack.math.liquidation_pass import (
    DEFAULT_REACH_PCT,
    DEFAULT_STEP_PCT,
    FastLiquidationModel,
    empty_state,
)
from whalestack.math.timeframes import GEOMETRY, TIMEFRAMES, TRADABLE_TIMEFRAMES

MINUTE_MS = 60_000
SIGHTINGS_ROOM = 1 << 17
SIDES: Mapping[ClusterSide, int] = {"short": 1, "long": -1}
"""As `Book.facts` has them."""
ROOM = 16
"""For the most clusters of so many refreshes the book is made longer at a time; few are ever new."""


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


class _Sightings(NamedTuple):
    """(S,) clusters that were seen and their values, from the number `first` of all sightings on."""

    first: int
    seen: Ints
    usd: Floats


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
        self._past = layout.Past(minute_highs, minute_lows, first_minute, rules.refresh_ms // MINUTE_MS)
        self._book = layout.empty_book(refreshes, len(rules.timeframes))
        self._weighed = weigh_at
        self._sighted: list[_Sightings] = []
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
        part = slice(bars.first_refresh_at + (self.refreshes - 1) * each)
        parts = model.made_ready(
            bars.highs[part],
            bars.lows[part],
            bars.closes[part],
            bars.turnover_usd[part],
            bars.open_interest[part],
            reach_pct=rules.reach_pct,
        )
        layout.check_distances(parts.levels, parts.width)
        runs, asked, refresh = (
            layout.empty_runs(parts.levels.size, len(rules.timeframes)),
            self._asked(weigh_at),
            0,
        )
        while refresh < self.refreshes:
            self._make_room()
            refresh = kernel.follow_model(
                parts.bars,
                bars.first_refresh_at,
                each,
                parts.levels,
                parts.width,
                parts.rules,
                parts.state,
                runs,
                self._past,
                asked,
                refresh,
                self._book,
            )

    def _run_as_live(self, bars: ModelBars, weigh_at: NDArray[np.bool_]) -> None:
        source, each = live_columns(bars, self.rules), self.rules.refresh_ms // bars.bar_ms
        for refresh in range(self.refreshes):
            closed = bars.first_refresh_at + refresh * each
            made = source.at(closed, bars.first_ms + closed * bars.bar_ms)
            self._follow(made, refresh, weigh_at)

    def _follow(self, columns: layout.Columns, refresh: int, weigh_at: NDArray[np.bool_]) -> None:
        """Take maps that were made elsewhere, from a refresh on."""
        levels, width = columns.levels, columns.values.shape[2]
        state = empty_state(levels.size, len(self.rules.timeframes), 0)
        runs, asked = layout.empty_runs(levels.size, len(self.rules.timeframes)), self._asked(weigh_at)
        for number, (first, close) in enumerate(
            zip(columns.firsts.tolist(), columns.closes.tolist(), strict=True)
        ):
            self._make_room()
            state.held[:] = 0.0
            state.held[:, first : first + width] = columns.values[number]
            state.touched[:] = -1
            at = refresh + number
            kernel.look(levels, first, width, close, state, runs, self._past, asked, at, self._book)

    def _asked(self, weigh_at: NDArray[np.bool_]) -> layout.Asked:
        return layout.Asked(self.rules.horizons(), self._tradable(), weigh_at)

    def _tradable(self) -> NDArray[np.bool_]:
        return np.array([each in TRADABLE_TIMEFRAMES for each in self.rules.timeframes])

    def _make_room(self) -> None:
        """Room for what some refreshes could find at most: the kernel stops where it has none."""
        book, each = self._book, ROOM * layout.MOST_RUNS
        most = each * len(self.rules.timeframes)
        clusters = int(book.counts[layout.CLUSTERS])
        if int(book.counts[layout.NOTED]) + most > book.seen.size:
            # A refresh's own stand together, so what is full is put aside and never copied.
            self._sighted.append(self._sightings())
            room = max(most, SIGHTINGS_ROOM)
            book = book._replace(seen=np.empty(room, dtype=np.int64), seen_usd=np.empty(room))
            book.counts[layout.NOTED] = 0
        self._book = book._replace(
            figures=layout.longer(book.figures, clusters, most),
            facts=layout.longer(book.facts, clusters, most),
            active=layout.wider(book.active, int(book.active_count.max()), each),
            bands=layout.wider(book.bands, int(book.active_count.max()), each),
        )

    # --- what is asked ----------------------------------------------------------------------

    def standing(self, refresh: int) -> list[FollowedCluster]:
        """The undecided clusters that stand in the maps of a refresh, by their numbers."""
        if refresh not in self._standing:
            self._standing[refresh] = self._clusters(*self._stands(refresh))
        return self._standing[refresh]

    def standing_of(
        self, refresh: int, side: ClusterSide, timeframes: Collection[str]
    ) -> list[FollowedCluster]:
        """Those of a side and of some ranges."""
        numbers, usd = self._stands(refresh)
        facts = self._book.facts[numbers]
        wanted = np.array([each in timeframes for each in self.rules.timeframes])
        own = wanted[facts[:, layout.RANGE]] & (facts[:, layout.SIDE] == SIDES[side])
        return self._clusters(numbers[own], usd[own])

    def _stands(self, refresh: int) -> tuple[Ints, Floats]:
        """(N,) numbers, ascending, and (N,) values of the clusters of a refresh."""
        numbers, usd = self._seen(refresh)
        own, places = np.unique(numbers, return_inverse=True)
        values: Floats = np.bincount(places, usd).astype(np.float64, copy=False)
        return own, values

    def _seen(self, refresh: int) -> tuple[Ints, Floats]:
        """(N,) cluster and (N,) value of each run of a refresh."""
        first, end = self._book.seen_from[refresh : refresh + 2].tolist()
        chunk = next(each for each in reversed((*self._sighted, self._sightings())) if each.first <= first)
        part = slice(first - chunk.first, end - chunk.first)
        return chunk.seen[part], chunk.usd[part]

    def _sightings(self) -> _Sightings:
        """Those since the last chunk was full."""
        counts = self._book.counts
        first = int(counts[layout.SIGHTINGS] - counts[layout.NOTED])
        return _Sightings(first, self._book.seen, self._book.seen_usd)

    def _clusters(self, numbers: Ints, usd: Floats) -> list[FollowedCluster]:
        facts, figures = self._book.facts[numbers], self._book.figures[numbers]
        names = self.rules.timeframes
        columns = zip(
            (numbers + 1).tolist(),
            repeat(self.symbol),
            [names[which] for which in facts[:, layout.RANGE].tolist()],
            ["short" if side > 0 else "long" for side in facts[:, layout.SIDE].tolist()],
            *figures[:, : layout.DISTANCE].T.tolist(),
            usd.tolist(),
            figures[:, layout.DISTANCE].tolist(),
        )
        return list(map(FollowedCluster._make, columns))

    def _cluster(self, number: int) -> FollowedCluster:
        """With the value that it had when it was seen last."""
        detected, decided = self._book.facts[number, [layout.DETECTED, layout.DECIDED]].tolist()
        for refresh in range(decided - 1 if decided >= 0 else self.refreshes - 1, detected - 1, -1):
            numbers, usd = self._seen(refresh)
            own = numbers == number
            if own.any():
                break
        return self._clusters(np.array([number]), np.array([usd[own].sum()]))[0]

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
        ends = facts[:, layout.HIT_MINUTE] + 1 - self._first_minute
        wanted = (
            (facts[:, layout.HIT_MINUTE] >= 0)
            & (facts[:, layout.DECIDED] <= refresh)
            & (facts[:, layout.SIDE] == SIDES[side])
            & (ends >= since_minute)
        )
        numbers = np.flatnonzero(wanted)
        if numbers.size == 0:
            return None
        number = int(numbers[np.lexsort((numbers, -ends[numbers]))[0]])
        return self._cluster(number)

    def judged(self, refresh: int) -> Judged:
        """The clusters whose whole horizon has passed by a refresh."""
        due, judged = self._judged
        known = slice(int(np.searchsorted(due, refresh, side="right")))
        return Judged(
            judged.ranges[known], judged.is_short[known], judged.is_hit[known], judged.adverse_pct[known]
        )

    @cached_property
    def _judged(self) -> tuple[Ints, Judged]:
        """When the horizon of each cluster with a verdict has passed, ascending, and these clusters."""
        facts = self._clusters_facts()
        decided = np.flatnonzero(facts[:, layout.DECIDED] >= 0)
        facts = facts[decided]
        due = facts[:, layout.DETECTED] + self.rules.horizons()[facts[:, layout.RANGE]]
        order = np.argsort(due)
        facts = facts[order]
        return due[order], Judged(
            ranges=np.ascontiguousarray(facts[:, layout.RANGE]),
            is_short=facts[:, layout.SIDE] > 0,
            is_hit=facts[:, layout.HIT_MINUTE] >= 0,
            adverse_pct=self._book.figures[decided[order], layout.ADVERSE],
        )

    def detections(self) -> Detections:
        """Every cluster as it was first seen, in the order of their numbers."""
        facts, figures = self._clusters_facts(), self._book.figures[: self.clusters]
        return Detections(
            ranges=facts[:, layout.RANGE],
            refreshes=facts[:, layout.DETECTED],
            prices=figures[:, layout.PRICE],
            centers=figures[:, layout.CENTER],
        )

    def followed(self) -> list[Followed]:
        """Every cluster with what came of it."""
        horizons = self.rules.horizons()
        found = []
        for number in range(self.clusters):
            facts, figures = self._book.facts[number], self._book.figures[number]
            hit = None if facts[layout.DECIDED] < 0 else bool(facts[layout.HIT_MINUTE] >= 0)
            found.append(
                Followed(
                    self._cluster(number),
                    float(figures[layout.PRICE]),
                    int(facts[layout.DETECTED]),
                    int(horizons[facts[layout.RANGE]]),
                    hit,
                    float(figures[layout.ADVERSE]),
                )
            )
        return found

    def has_clusters(self, number: int, refresh: int) -> bool:
        """Whether a range, by its number, has shown any cluster by a refresh."""
        return self._first_detected.get(number, self.refreshes) <= refresh

    @cached_property
    def _first_detected(self) -> dict[int, int]:
        """The first refresh at which a range, by its number, showed a cluster."""
        facts = self._clusters_facts()
        ranges, firsts = np.unique(facts[:, layout.RANGE], return_index=True)
        return dict(zip(ranges.tolist(), facts[firsts, layout.DETECTED].tolist(), strict=True))

    @property
    def clusters(self) -> int:
        """How many were ever found."""
        return int(self._book.counts[layout.CLUSTERS])

    def _clusters_facts(self) -> Ints:
        return self._book.facts[: self.clusters]
