"""Clusters of many maps found, followed and judged in one compiled pass.

The rules are those of the running system and stand elsewhere; here they are only done at once:

- what a cluster is: `whalestack.math.clusters.find_clusters`;
- which cluster is the one seen before: `whalestack.db.cluster_store` (its centre lies in the band that was
  detected, a level step of slack; among several the nearest, then the oldest);
- what came of it: `whalestack.math.outcomes.judge`, on minutes;
- how large a side is, and how the typical size learns: `whalestack.scanners.leading_clusters` and
  `whalestack.db.cluster_store.learn_cluster_sizes`;
- long and short of all ranges: `whalestack.math.imbalance.aggregate_imbalance`.

Tests hold each of them equal to its original.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whalestack.backtest.map_kernel import (
    ADVERSE,
    CENTER,
    HIGH,
    LOW,
    MOST_FOUND,
    PRICE,
    VALUE,
    WORST,
    clusters_of,
    largest_per_cell,
    show,
    usual_step,
)
from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.db.cluster_store import TYPICAL_SIZE_MEMORY
from whalestack.math.compiling import compiled
from whalestack.math.imbalance import CELL_STEPS, LEAST_CELL_PCT

RANGE, SIDE, DETECTED, DECIDED, HIT_MINUTE, SEEN = range(6)
"""Columns of `Book.facts`: SIDE is +1 for shorts above the price, -1 for longs below it; DECIDED and
HIT_MINUTE are -1 until then (HIT_MINUTE stays -1 for a miss)."""
BAND_LOW, BAND_HIGH, BAND_CENTER, BAND_SIDE, BAND_WORST = range(5)
BANDS = 5
"""Rows of `Book.bands`: what is asked of the undecided clusters at every refresh, side by side in memory."""
CLUSTERS, SIGHTINGS, LEARNED = range(3)
"""Places in `Book.counts`: clusters, sightings, refreshes that the typical size was learned from."""


class Book(NamedTuple):
    """Every cluster of one coin so far, and which of them were seen at each refresh.

    Args:
        figures: (K, 8) columns of `map_kernel`, facts: (K, 6), see above.
        active: (R, K') numbers of the undecided clusters of each range; active_count: (R,);
            bands: (R, 5, K') their figures.
        seen: (S,) cluster numbers; seen_usd: (S,) their values; seen_from: (refreshes + 1,) where the
            sightings of each refresh begin.
        sizes: (refreshes, 2) size of the short and of the long side, USD.
        typical: (refreshes + 1,) typical size known before each refresh, 0 where there was none.
        sides: (refreshes, 2) long and short USD over all ranges, where it was asked for.
        counts: see above.
    """

    figures: Floats
    facts: Ints
    active: Ints
    bands: Floats
    active_count: Ints
    seen: Ints
    seen_usd: Floats
    seen_from: Ints
    sizes: Floats
    typical: Floats
    sides: Floats
    counts: Ints


class Columns(NamedTuple):
    """Columns of the model: (A, R, W) values from level `firsts` (A,) on, `levels` (L,), `closes` (A,)."""

    values: Floats
    firsts: Ints
    levels: Floats
    closes: Floats


class Past(NamedTuple):
    """Minutes between refreshes.

    Args:
        highs, lows: (M,) of each minute. first: number of the minute in which refresh 0 falls.
        each: minutes between two refreshes.
    """

    highs: Floats
    lows: Floats
    first: int
    each: int


@compiled
def _judge(book: Book, past: Past, refresh: int, which: int, horizon: int) -> None:
    """Decide the clusters of a range by the minutes since the refresh before, as `outcomes.judge`."""
    start = past.first + (refresh - 1) * past.each
    high, low = -np.inf, np.inf
    for minute in range(start, start + past.each):
        high = max(high, past.highs[minute])
        low = min(low, past.lows[minute])
    bands, active, kept = book.bands[which], book.active[which], 0
    for place in range(book.active_count[which]):
        center, is_short = bands[BAND_CENTER, place], bands[BAND_SIDE, place] > 0
        number = active[place]
        if (high >= center) if is_short else (low <= center):
            book.figures[number, WORST] = bands[BAND_WORST, place]
            _hit(book.figures[number], book.facts[number], past, start, refresh)
            continue
        worst = bands[BAND_WORST, place]
        worst = min(worst, low) if is_short else max(worst, high)
        if refresh - book.facts[number, DETECTED] >= horizon:
            book.figures[number, WORST] = worst
            book.facts[number, DECIDED] = refresh
            _note_adverse(book.figures[number], is_short)
            continue
        if kept != place:
            for row in range(BANDS):
                bands[row, kept] = bands[row, place]
            active[kept] = number
        bands[BAND_WORST, kept] = worst
        kept += 1
    book.active_count[which] = kept


@compiled
def _hit(figures: Floats, facts: Ints, past: Past, start: int, refresh: int) -> None:
    is_short = facts[SIDE] > 0
    minute = start
    while True:
        if is_short:
            figures[WORST] = min(figures[WORST], past.lows[minute])
            reached = past.highs[minute] >= figures[CENTER]
        else:
            figures[WORST] = max(figures[WORST], past.highs[minute])
            reached = past.lows[minute] <= figures[CENTER]
        if reached:
            break
        minute += 1
    facts[DECIDED], facts[HIT_MINUTE] = refresh, minute
    _note_adverse(figures, is_short)


@compiled
def _note_adverse(figures: Floats, is_short: bool) -> None:
    against = figures[PRICE] - figures[WORST] if is_short else figures[WORST] - figures[PRICE]
    figures[ADVERSE] = max(against / figures[PRICE] * 100, 0.0)


@compiled
def _match(bands: Floats, known: int, center: float, side: int, slack: float) -> int:
    """Place of the undecided cluster that a found one is, -1 for a new one."""
    best, nearest = -1, np.inf
    for place in range(known):
        if bands[BAND_LOW, place] - slack <= center <= bands[BAND_HIGH, place] + slack:
            away = abs(bands[BAND_CENTER, place] - center)
            if away < nearest and bands[BAND_SIDE, place] == side:
                best, nearest = place, away
    return best


@compiled
def _see(book: Book, which: int, refresh: int, found: Floats, sides: Ints, count: int, slack: float) -> None:
    """Match what was found with what is followed; what is new is followed from now on."""
    known, begin = book.active_count[which], book.counts[SIGHTINGS]
    bands, active = book.bands[which], book.active[which]
    for each in range(count):
        place = _match(bands, known, found[each, CENTER], sides[each], slack)
        if place < 0:
            number = _begin(book, which, refresh, found[each], sides[each])
        else:
            number = active[place]
            if book.facts[number, SEEN] == refresh:
                book.figures[number, VALUE] += found[each, VALUE]
                continue
            book.figures[number, VALUE] = found[each, VALUE]
            book.facts[number, SEEN] = refresh
        book.seen[book.counts[SIGHTINGS]] = number
        book.counts[SIGHTINGS] += 1
    for sighting in range(begin, book.counts[SIGHTINGS]):
        book.seen_usd[sighting] = book.figures[book.seen[sighting], VALUE]


@compiled
def _begin(book: Book, which: int, refresh: int, found: Floats, side: int) -> int:
    """Follow a new cluster; returns its number."""
    number, place = book.counts[CLUSTERS], book.active_count[which]
    book.counts[CLUSTERS] += 1
    book.active_count[which] += 1
    for column in range(8):
        book.figures[number, column] = found[column]
    facts = book.facts[number]
    facts[RANGE], facts[SIDE], facts[DETECTED], facts[SEEN] = which, side, refresh, refresh
    facts[DECIDED], facts[HIT_MINUTE] = -1, -1
    bands = book.bands[which]
    bands[BAND_LOW, place], bands[BAND_HIGH, place] = found[LOW], found[HIGH]
    bands[BAND_CENTER, place], bands[BAND_SIDE, place] = found[CENTER], side
    bands[BAND_WORST, place] = found[PRICE]
    book.active[which, place] = number
    return int(number)


@compiled
def _side_sizes(book: Book, refresh: int, tradable: NDArray[np.bool_]) -> None:
    """The mean, over the tradable ranges, of the largest cluster of each side."""
    largest = np.zeros((tradable.size, 2))
    for sighting in range(book.seen_from[refresh], book.counts[SIGHTINGS]):
        number = book.seen[sighting]
        side = 0 if book.facts[number, SIDE] > 0 else 1
        which = book.facts[number, RANGE]
        largest[which, side] = max(largest[which, side], book.seen_usd[sighting])
    ranges = max(tradable.sum(), 1)
    for side in range(2):
        total = 0.0
        for which in range(tradable.size):
            if tradable[which]:
                total += largest[which, side]
        book.sizes[refresh, side] = total / ranges


@compiled
def _learn(book: Book, refresh: int) -> None:
    known, now = book.typical[refresh], (book.sizes[refresh, 0] + book.sizes[refresh, 1]) / 2
    if now > 0:
        learned = book.counts[LEARNED]
        known = now if learned == 0 else known + (now - known) / (min(learned, TYPICAL_SIZE_MEMORY) + 1)
        book.counts[LEARNED] += 1
    book.typical[refresh + 1] = known


@compiled
def follow(
    columns: Columns,
    past: Past,
    first_refresh: int,
    horizons: Ints,
    tradable: NDArray[np.bool_],
    weigh: NDArray[np.bool_],
    book: Book,
) -> None:
    """Take the maps of consecutive refreshes.

    Args:
        columns: of the refreshes.
        past: minutes.
        first_refresh: number of the first one.
        horizons: (R,) refreshes in which a cluster of each range must be hit.
        tradable: (R,) whether a range's clusters make the size of a side.
        weigh: (A,) at which of them long and short over all ranges are asked for.
        book: changed in place; large enough.
    """
    ranges, width = columns.values.shape[1], columns.values.shape[2]
    shown, guesses = np.empty((ranges, width)), np.ones((ranges, 2))
    found, sides = np.empty((MOST_FOUND, 8)), np.empty(MOST_FOUND, dtype=np.int64)
    cells = np.empty((2, width + 8))
    for asked in range(columns.closes.size):
        refresh, price, first = first_refresh + asked, columns.closes[asked], columns.firsts[asked]
        book.seen_from[refresh] = book.counts[SIGHTINGS]
        slack = usual_step(columns.levels, first, width)
        for which in range(ranges):
            if refresh > 0:
                _judge(book, past, refresh, which, horizons[which])
            show(columns.values[asked, which], shown[which])
            count = clusters_of(shown[which], columns.levels, first, price, guesses[which], found, sides)
            _see(book, which, refresh, found, sides, count, slack)
        book.seen_from[refresh + 1] = book.counts[SIGHTINGS]
        _side_sizes(book, refresh, tradable)
        _learn(book, refresh)
        if weigh[asked]:
            cell = max(LEAST_CELL_PCT / 100, CELL_STEPS * slack / price)
            for side in range(2):
                total = largest_per_cell(shown, columns.levels, first, price, cell, side == 1, cells)
                book.sides[refresh, side] = total
