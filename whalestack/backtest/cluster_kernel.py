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

from whalestack.backtest.walk_kernel import Floats, Ints, compiled
from whalestack.db.cluster_store import TYPICAL_SIZE_MEMORY
from whalestack.math.clusters import (
    LEAST_RATIO,
    MERGE_GAP_PCT,
    MERGE_GAP_STEPS,
    OUTSTANDING_QUANTILE,
    OUTSTANDING_RATIO,
)
from whalestack.math.imbalance import CELL_STEPS, LEAST_CELL_PCT
from whalestack.math.liquidation_pass import LEAST_SHARE

MOST_FOUND = 128
"""Clusters of one map: far more than a map of a few hundred levels can have."""
LOW, HIGH, CENTER, DISTANCE, PRICE, VALUE, WORST, ADVERSE = range(8)
"""Columns of `Book.figures`."""
RANGE, SIDE, DETECTED, DECIDED, HIT_MINUTE, SEEN = range(6)
"""Columns of `Book.facts`: SIDE is +1 for shorts above the price, -1 for longs below it; DECIDED and
HIT_MINUTE are -1 until then (HIT_MINUTE stays -1 for a miss)."""
CLUSTERS, SIGHTINGS, LEARNED = range(3)
"""Places in `Book.counts`: clusters, sightings, refreshes that the typical size was learned from."""


class Book(NamedTuple):
    """Every cluster of one coin so far, and which of them were seen at each refresh.

    Args:
        figures: (K, 8), facts: (K, 6), see above.
        active: (R, K') numbers of the undecided clusters of each range; active_count: (R,).
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
def select(values: Floats, begin: int, end: int, place: int) -> float:
    """The value at `place` in ascending order of values[begin:end], which is reordered (quickselect)."""
    low, high = begin, end - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    return float(values[place])


@compiled
def _next_larger(values: Floats, begin: int, end: int) -> float:
    least = values[begin]
    for each in range(begin + 1, end):
        least = min(least, values[each])
    return float(least)


@compiled
def outstanding(values: Floats, held: Floats) -> float:
    """As `whalestack.math.clusters.outstanding_value` of the values above zero; `held` is a place to work."""
    count = 0
    for each in range(values.size):
        if values[each] > 0:
            held[count] = values[each]
            count += 1
    if count == 0:
        return np.inf
    if count <= 2:
        return float(held[0] if count == 1 else min(held[0], held[1]))
    middle = count // 2
    median = select(held, 0, count, middle)
    if count % 2 == 0:
        below = held[0]
        for each in range(1, middle):
            below = max(below, held[each])
        median = (below + median) / 2
    place = OUTSTANDING_QUANTILE * (count - 1)
    lower = int(place)
    at = select(held, middle, count, lower) if lower >= middle else select(held, 0, count, lower)
    above = at if lower + 1 >= count else _next_larger(held, lower + 1, count)
    high = at + (above - at) * (place - lower)
    return float(max(LEAST_RATIO * median, min(OUTSTANDING_RATIO * median, high)))


@compiled
def usual_step(levels: Floats, first: int, width: int) -> float:
    """As `level_step` of a grid whose distances ascend: a low quantile of them."""
    place = 0.25 * (width - 2)
    below = int(place)
    above = min(below + 1, width - 2)
    low = levels[first + below + 1] - levels[first + below]
    high = levels[first + above + 1] - levels[first + above]
    return float(low + (high - low) * (place - below))


@compiled
def _add_cluster(
    values: Floats, levels: Floats, first: int, begin: int, end: int, price: float, out: Floats
) -> None:
    """The cluster of the levels begin..end (both counted)."""
    total, moment = 0.0, 0.0
    for level in range(begin, end + 1):
        total += values[level]
        moment += values[level] * levels[first + level]
    low, high = levels[first + begin], levels[first + end]
    near = low if low > price else high
    out[LOW], out[HIGH], out[VALUE], out[PRICE] = low, high, total, price
    out[CENTER] = min(max(moment / total, low), high)
    out[DISTANCE] = abs(near - price) / price * 100


@compiled
def clusters_of(
    values: Floats, levels: Floats, first: int, price: float, held: Floats, found: Floats, sides: Ints
) -> int:
    """As `find_clusters`; found (MOST_FOUND, 8) and sides are written, nearest to the price first."""
    least = outstanding(values, held)
    step = usual_step(levels, first, values.size)
    gap = max(MERGE_GAP_PCT / 100 * price, MERGE_GAP_STEPS * step)
    count, begin, end, side = 0, -1, -1, 0
    for level in range(values.size + 1):
        chosen = level < values.size and values[level] >= least
        at = levels[first + level] if level < values.size else 0.0
        way = 1 if at > price else (-1 if at < price else 0)
        if level < values.size and (not chosen or way == 0):
            continue
        ends = level == values.size or way != side or at - levels[first + end] > gap
        if begin >= 0 and ends and count < MOST_FOUND:
            _add_cluster(values, levels, first, begin, end, price, found[count])
            sides[count] = side
            count += 1
        if level < values.size:
            if begin < 0 or ends:
                begin, side = level, way
            end = level
    _sort_by_distance(found, sides, count)
    return count


@compiled
def _sort_by_distance(found: Floats, sides: Ints, count: int) -> None:
    for each in range(1, count):
        at = each
        while at > 0 and (
            found[at, DISTANCE] < found[at - 1, DISTANCE]
            or (found[at, DISTANCE] == found[at - 1, DISTANCE] and found[at, CENTER] < found[at - 1, CENTER])
        ):
            for column in range(8):
                found[at, column], found[at - 1, column] = found[at - 1, column], found[at, column]
            sides[at], sides[at - 1] = sides[at - 1], sides[at]
            at -= 1


@compiled
def _judge(book: Book, past: Past, refresh: int, which: int, horizon: int) -> None:
    """Decide the clusters of a range by the minutes since the refresh before, as `outcomes.judge`."""
    start = past.first + (refresh - 1) * past.each
    high, low = -np.inf, np.inf
    for minute in range(start, start + past.each):
        high = max(high, past.highs[minute])
        low = min(low, past.lows[minute])
    kept = 0
    for place in range(book.active_count[which]):
        number = book.active[which, place]
        figures, facts = book.figures[number], book.facts[number]
        is_short = facts[SIDE] > 0
        if (is_short and high >= figures[CENTER]) or (not is_short and low <= figures[CENTER]):
            _hit(figures, facts, past, start, refresh)
            continue
        figures[WORST] = min(figures[WORST], low) if is_short else max(figures[WORST], high)
        if refresh - facts[DETECTED] >= horizon:
            facts[DECIDED] = refresh
            _note_adverse(figures, is_short)
            continue
        book.active[which, kept] = number
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
def _match(book: Book, which: int, known: int, found: Floats, side: int, slack: float) -> int:
    """The undecided cluster that a found one is, -1 for a new one."""
    best, nearest = -1, np.inf
    for place in range(known):
        number = book.active[which, place]
        figures = book.figures[number]
        if book.facts[number, SIDE] != side:
            continue
        if not figures[LOW] - slack <= found[CENTER] <= figures[HIGH] + slack:
            continue
        away = abs(figures[CENTER] - found[CENTER])
        if away < nearest:
            best, nearest = number, away
    return best


@compiled
def _see(book: Book, which: int, refresh: int, found: Floats, sides: Ints, count: int, slack: float) -> None:
    """Match what was found with what is followed; what is new is followed from now on."""
    known = book.active_count[which]
    begin = book.counts[SIGHTINGS]
    for each in range(count):
        number = _match(book, which, known, found[each], sides[each], slack)
        if number < 0:
            number = book.counts[CLUSTERS]
            book.counts[CLUSTERS] += 1
            book.figures[number] = found[each]
            book.figures[number, WORST] = found[each, PRICE]
            book.facts[number] = (which, sides[each], refresh, -1, -1, refresh)
            book.active[which, book.active_count[which]] = number
            book.active_count[which] += 1
        elif book.facts[number, SEEN] == refresh:
            book.figures[number, VALUE] += found[each, VALUE]
            continue
        else:
            book.figures[number, VALUE] = found[each, VALUE]
            book.facts[number, SEEN] = refresh
        book.seen[book.counts[SIGHTINGS]] = number
        book.counts[SIGHTINGS] += 1
    for sighting in range(begin, book.counts[SIGHTINGS]):
        book.seen_usd[sighting] = book.figures[book.seen[sighting], VALUE]


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
def _shown(values: Floats, shown: Floats) -> None:
    """What a map shows of a column: levels below a share of the largest are left out."""
    most = 0.0
    for level in range(values.size):
        most = max(most, values[level])
    least = LEAST_SHARE * most
    for level in range(values.size):
        shown[level] = values[level] if values[level] >= least else 0.0


@compiled
def _largest_per_cell(
    shown: Floats, levels: Floats, first: int, price: float, width: float, above: bool, cells: Floats
) -> float:
    """Sum over cells of the largest value any range shows in the cell, USD; cells (2, N) is a place to work."""
    cells[:] = 0.0
    most = 0
    for which in range(shown.shape[0]):
        touched = 0
        for level in range(shown.shape[1]):
            at = levels[first + level]
            if (at > price) != above or at == price:
                continue
            cell = int(np.floor(abs(np.log(at / price)) / width))
            cells[1, cell] += shown[which, level]
            touched = max(touched, cell + 1)
        for cell in range(touched):
            cells[0, cell] = max(cells[0, cell], cells[1, cell])
            cells[1, cell] = 0.0
        most = max(most, touched)
    total = 0.0
    for cell in range(most):
        total += cells[0, cell]
    return total


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
    held, shown = np.empty(width), np.empty((ranges, width))
    found, sides = np.empty((MOST_FOUND, 8)), np.empty(MOST_FOUND, dtype=np.int64)
    cells = np.empty((2, width + 8))
    for asked in range(columns.closes.size):
        refresh, price, first = first_refresh + asked, columns.closes[asked], columns.firsts[asked]
        book.seen_from[refresh] = book.counts[SIGHTINGS]
        slack = usual_step(columns.levels, first, width)
        for which in range(ranges):
            if refresh > 0:
                _judge(book, past, refresh, which, horizons[which])
            _shown(columns.values[asked, which], shown[which])
            count = clusters_of(shown[which], columns.levels, first, price, held, found, sides)
            _see(book, which, refresh, found, sides, count, slack)
        book.seen_from[refresh + 1] = book.counts[SIGHTINGS]
        _side_sizes(book, refresh, tradable)
        _learn(book, refresh)
        if weigh[asked]:
            cell = max(LEAST_CELL_PCT / 100, CELL_STEPS * slack / price)
            for side in range(2):
                total = _largest_per_cell(shown, columns.levels, first, price, cell, side == 1, cells)
                book.sides[refresh, side] = total
