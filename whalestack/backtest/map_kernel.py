"""What one map shows, compiled: its levels, its clusters, what weighs above and below the price.

The rules are those of `whalestack.math.clusters` and `whalestack.math.imbalance`; tests hold each function
equal to its original.
"""

from __future__ import annotations

import numpy as np

from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.math.clusters import (
    LEAST_RATIO,
    MERGE_GAP_PCT,
    MERGE_GAP_STEPS,
    OUTSTANDING_QUANTILE,
    OUTSTANDING_RATIO,
)
from whalestack.math.compiling import compiled
from whalestack.math.liquidation_pass import LEAST_SHARE

MOST_FOUND = 128
"""Clusters of one map: more than a map of a few hundred levels can have."""
LOW, HIGH, CENTER, DISTANCE, PRICE, VALUE, WORST, ADVERSE = range(8)
"""Columns of a cluster's figures; the last two are of those that are followed."""


@compiled
def show(values: Floats, shown: Floats) -> None:
    """What a map shows of a column: levels below a share of the largest are left out."""
    most = 0.0
    for level in range(values.size):
        most = max(most, values[level])
    least = LEAST_SHARE * most
    for level in range(values.size):
        shown[level] = values[level] if values[level] >= least else 0.0


@compiled
def _count_up_to(values: Floats, bound: float) -> int:
    count = 0
    for each in range(values.size):
        count += values[each] <= bound
    return count


@compiled
def neighbours(values: Floats, place: int, guess: float) -> tuple[float, float]:
    """The values at `place` and after it in ascending order.

    A bound between the two is looked for by counting, from a guess on: that of the refresh before is
    seldom far off, and counting takes a fraction of the time of sorting.
    """
    low, high, bound, step = 0.0, np.inf, guess, 0.01
    for _ in range(200):
        count = _count_up_to(values, bound)
        if count == place + 1:
            break
        if count <= place:
            low = bound
        else:
            high = bound
        if high == np.inf:
            bound, step = bound * (1 + step), step * 2
        elif low == 0.0:
            bound, step = bound / (1 + step), step * 2
        else:
            middle = (low + high) / 2
            if middle <= low or middle >= high:
                # Equal values stand at the place: they end at the upper bound.
                return high, high
            bound = middle
    at, after = 0.0, np.inf
    for each in range(values.size):
        if values[each] <= bound:
            at = max(at, values[each])
        else:
            after = min(after, values[each])
    return at, after


@compiled
def outstanding(values: Floats, guess: Floats) -> float:
    """As `whalestack.math.clusters.outstanding_value` of the values above zero.

    Args:
        values: (L,) not negative.
        guess: (2,) median and high quantile as they were last, above zero; changed in place.
    """
    count = values.size - _count_up_to(values, 0.0)
    if count == 0:
        return np.inf
    if count <= 2:
        least = np.inf
        for each in range(values.size):
            if values[each] > 0:
                least = min(least, values[each])
        return float(least)
    zeros, middle = values.size - count, count // 2
    if count % 2 == 0:
        below, above = neighbours(values, zeros + middle - 1, guess[0])
        median = (below + above) / 2
    else:
        median, _ = neighbours(values, zeros + middle, guess[0])
    place = OUTSTANDING_QUANTILE * (count - 1)
    lower = int(place)
    at, above = neighbours(values, zeros + lower, max(guess[1], median))
    high = at if lower + 1 >= count else at + (above - at) * (place - lower)
    guess[0], guess[1] = median, high
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
    values: Floats, levels: Floats, first: int, price: float, guess: Floats, found: Floats, sides: Ints
) -> int:
    """As `find_clusters`; found (MOST_FOUND, 8) and sides are written, nearest to the price first."""
    least = outstanding(values, guess)
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
def _swap(found: Floats, sides: Ints, one: int, other: int) -> None:
    for column in range(8):
        found[one, column], found[other, column] = found[other, column], found[one, column]
    sides[one], sides[other] = sides[other], sides[one]


@compiled
def _sort_by_distance(found: Floats, sides: Ints, count: int) -> None:
    """They come by price: those below it the wrong way round, then those above. Few are out of place."""
    below = 0
    while below < count and sides[below] < 0:
        below += 1
    for each in range(below // 2):
        _swap(found, sides, each, below - 1 - each)
    for each in range(below, count):
        at = each
        while at > 0 and (
            found[at, DISTANCE] < found[at - 1, DISTANCE]
            or (found[at, DISTANCE] == found[at - 1, DISTANCE] and found[at, CENTER] < found[at - 1, CENTER])
        ):
            _swap(found, sides, at, at - 1)
            at -= 1


@compiled
def largest_per_cell(
    shown: Floats, levels: Floats, first: int, price: float, width: float, above: bool, cells: Floats
) -> float:
    """Sum over cells of the largest value any range shows there, USD; cells (2, N) is a place to work."""
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
