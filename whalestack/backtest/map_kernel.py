"""What one map shows, compiled: which of its levels stand out, its clusters, what weighs on either side.

The rules are those of `whalestack.math.clusters` and `whalestack.math.imbalance`; tests hold what comes
of them equal to the originals.

Values are not negative, and of such numbers the bits, read as whole numbers ("ranks"), have the same
order. A processor compares and counts eight whole numbers at a time, and knows their neighbours: most of
what is asked of a map is asked of ranks. Nothing is sorted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.math.clusters import (
    LEAST_RATIO,
    OUTSTANDING_QUANTILE,
    OUTSTANDING_RATIO,
)
from whalestack.math.compiling import compiled, inlined
from whalestack.math.liquidation_pass import LEAST_SHARE, WORD

NO_RANK = 0x7FF0_0000_0000_0000
"""The rank of infinity."""


@inlined
def rank_of(value: Any) -> Any:
    """The bits of a value that is not negative."""
    return np.float64(value).view(np.int64)


@inlined
def value_of(rank: Any) -> Any:
    """The value of a rank."""
    return np.int64(rank).view(np.float64)


@compiled
def _count_from(ranks: Ints, least: int) -> int:
    count = 0
    for each in range(ranks.size):
        count += ranks[each] >= least
    return count


@compiled
def _parted(ranks: Ints, bound: int) -> tuple[int, int, int]:
    """How many are at most `bound`, the largest of them, and the smallest of the others."""
    count, at, after = 0, 0, NO_RANK
    for each in range(ranks.size):
        rank = ranks[each]
        below = rank <= bound
        count += below
        at = max(at, rank if below else 0)
        after = min(after, NO_RANK if below else rank)
    return count, at, after


@compiled
def neighbours(ranks: Ints, place: int, guess: int) -> tuple[int, int]:
    """The ranks at `place` and after it in ascending order.

    Looked for from a guess on, value by value: that of the refresh before is seldom more than a few off.
    """
    count, at, after = _parted(ranks, guess)
    while count <= place:
        count, at, after = _parted(ranks, after)
    while count > place + 1:
        top = at
        count, at, after = _parted(ranks, top - 1)
        if count <= place:
            # Equal values stand at the place and after it.
            return top, top
    return at, after


@compiled
def least_shown(ranks: Ints) -> Any:
    """The rank below which a map shows nothing: a share of the largest; no rank for an empty map."""
    most = 0
    for each in range(ranks.size):
        most = max(most, ranks[each])
    return max(rank_of(LEAST_SHARE * value_of(most)), 1) if most > 0 else NO_RANK


@compiled
def outstanding(ranks: Ints, guess: Ints) -> Any:
    """The rank of `whalestack.math.clusters.outstanding_value` of what is shown; no rank for an empty map.

    Args:
        ranks: (W,) of a map's levels.
        guess: (2,) ranks of the median and the high quantile as they were last; changed in place.
    """
    shown = least_shown(ranks)
    count = _count_from(ranks, shown)
    hidden = ranks.size - count
    if count <= 2:
        return neighbours(ranks, hidden, 0)[0] if count > 0 else NO_RANK
    middle = (count - 1) // 2
    guess[0], after = neighbours(ranks, hidden + middle, guess[0])
    median = value_of(guess[0])
    if count % 2 == 0:
        median = (median + value_of(after)) / 2
    twice = rank_of(OUTSTANDING_RATIO * median)
    place = OUTSTANDING_QUANTILE * (count - 1)
    lower = int(place)
    if _count_from(ranks, twice) >= count - lower:
        # The quantile is above it, whatever it is.
        return twice
    guess[1], after = neighbours(ranks, hidden + lower, guess[1])
    high = value_of(guess[1])
    if lower + 1 < count:
        high += (value_of(after) - high) * (place - lower)
    return rank_of(max(LEAST_RATIO * median, min(OUTSTANDING_RATIO * median, high)))


@compiled
def chosen_in(ranks: Ints, word: int, least: int) -> Any:
    """A bit for each level of a word of 64 that stands out."""
    bits = np.int64(0)
    for level in range(WORD):
        bits |= np.int64(ranks[word * WORD + level] >= least) << level
    return bits


@inlined
def bits_between(word: int, first: int, last: int) -> Any:
    """The bits of a word that belong to the levels first..last (both counted)."""
    low, high = max(first - word * WORD, 0), min(last - word * WORD, WORD - 1)
    if low > high:
        return np.int64(0)
    return (np.int64(-1) << low) & ((np.int64(2) << high) - 1)


@inlined
def lowest_bit(bits: Any) -> int:
    """The number of the lowest bit that is set."""
    return int(trailing_zeros(bits))  # type: ignore[call-arg]


@inlined
def usual_step(levels: Floats, first: int, width: int) -> float:
    """As `level_step` of a grid whose distances ascend: a low quantile of them."""
    place = 0.25 * (width - 2)
    below = int(place)
    above = min(below + 1, width - 2)
    low = levels[first + below + 1] - levels[first + below]
    high = levels[first + above + 1] - levels[first + above]
    return float(low + (high - low) * (place - below))


@inlined
def cells_of(levels: Floats, first: int, count: int, price: float, width: float, cells: Ints) -> None:
    """The cell of each level, counted from the price on, below 0 for a level at the price."""
    for place in range(count):
        at = levels[first + place]
        cells[place] = int(np.floor(abs(np.log(at / price)) / width)) if at != price else -1


@compiled
def largest_per_cell(
    rows: Floats,
    scale: Floats,
    first: int,
    begin: int,
    end: int,
    shown: Ints,
    cells: Ints,
    sums: Floats,
) -> float:
    """Sum over cells of the largest value that any range shows there, USD.

    Args:
        rows: (R, L) of the ranges, over `scale` (R,).
        first: level of the first cell's number in `cells`.
        begin, end: the levels of one side, the last one not counted.
        shown: (R,) rank from which a range shows a level.
        cells: (W,) of the levels.
        sums: (2, N) a place to work.
    """
    for cell in range(sums.shape[1]):
        sums[0, cell] = sums[1, cell] = 0.0
    for which in range(rows.shape[0]):
        least = value_of(shown[which])
        for level in range(begin, end):
            if rows[which, level] >= least:
                sums[1, cells[level - first]] += rows[which, level] * scale[which]
        for cell in range(sums.shape[1]):
            sums[0, cell] = max(sums[0, cell], sums[1, cell])
            sums[1, cell] = 0.0
    total = 0.0
    for cell in range(sums.shape[1]):
        total += sums[0, cell]
    return total
