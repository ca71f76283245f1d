"""What came of clusters, compiled: the rule is `whalestack.math.outcomes.judge`, on minutes.

Nothing is looked at until price reaches the nearest undecided centre of a side, or the oldest one's
time is over.
"""

from __future__ import annotations

import numpy as np

from whalestack.backtest.cluster_book import (
    ADVERSE,
    CENTER,
    DECIDED,
    DETECTED,
    HIT_MINUTE,
    LONG_FROM,
    MOST_RIVALS,
    NUMBER,
    OLDEST,
    PRICE,
    RIVALS,
    SHORT_FROM,
    SIDE,
    Book,
    Past,
    Runs,
)
from whalestack.backtest.extremes import farthest, note_extremes
from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.math.compiling import compiled, inlined


@inlined
def judge(book: Book, runs: Runs, past: Past, refresh: int, horizons: Ints) -> None:
    """Decide clusters by the minutes since the refresh before, as `outcomes.judge`."""
    start, high, low = past.first + (refresh - 1) * past.each, -np.inf, np.inf
    for minute in range(start, start + past.each):
        high = max(high, past.highs[minute])
        low = min(low, past.lows[minute])
    for which in range(horizons.size):
        edges = book.edges[which]
        over = refresh - edges[OLDEST] >= horizons[which]
        if over or high >= edges[SHORT_FROM] or low <= edges[LONG_FROM]:
            _decide(book, runs, past, refresh, which, horizons[which], high, low)
    note_extremes(book.extremes, refresh, high, low)


@inlined
def _decide(
    book: Book, runs: Runs, past: Past, refresh: int, which: int, horizon: int, high: float, low: float
) -> None:
    """Take those clusters of a range that are decided from the undecided ones."""
    active, bands, kept = book.active[which], book.bands[which], 0
    for place in range(book.active_count[which]):
        number = active[place]
        figures, facts = book.figures[number], book.facts[number]
        is_short = facts[SIDE] > 0
        is_hit = high >= figures[CENTER] if is_short else low <= figures[CENTER]
        if not is_hit and refresh - facts[DETECTED] < horizon:
            active[kept] = number
            for row in range(bands.shape[0]):
                bands[row, kept] = bands[row, place]
            kept += 1
            continue
        worst = farthest(book.extremes, facts[DETECTED] + 1, is_short, figures[PRICE])
        if is_hit:
            facts[HIT_MINUTE], worst = _hit(figures[CENTER], is_short, past, refresh, worst)
        else:
            worst = min(worst, low) if is_short else max(worst, high)
        facts[DECIDED] = refresh
        against = figures[PRICE] - worst if is_short else worst - figures[PRICE]
        figures[ADVERSE] = max(against / figures[PRICE] * 100, 0.0)
        _forget(runs, which, number)
    book.active_count[which] = kept
    _find_edges(book, which)


@inlined
def _hit(center: float, is_short: bool, past: Past, refresh: int, worst: float) -> tuple[int, float]:
    """The first minute since the refresh before that reaches a centre, and the worst price until its end."""
    minute = past.first + (refresh - 1) * past.each
    while True:
        high, low = past.highs[minute], past.lows[minute]
        worst = min(worst, low) if is_short else max(worst, high)
        if high >= center if is_short else low <= center:
            return minute, worst
        minute += 1


@inlined
def _forget(runs: Runs, which: int, number: int) -> None:
    """A decided cluster is no run's any more, nor could it be."""
    whole = runs.whole[which]
    for run in range(runs.counts[which]):
        if whole[NUMBER, run] == number:
            whole[NUMBER, run] = -1
        if whole[RIVALS, run] > MOST_RIVALS:
            continue
        rivals, kept = runs.rivals[which, run], 0
        for place in range(whole[RIVALS, run]):
            if rivals[place] != number:
                rivals[kept] = rivals[place]
                kept += 1
        if whole[RIVALS, run] > 0:
            whole[RIVALS, run] = kept


@inlined
def _find_edges(book: Book, which: int) -> None:
    edges = book.edges[which]
    edges[SHORT_FROM], edges[LONG_FROM], edges[OLDEST] = np.inf, -np.inf, np.inf
    for place in range(book.active_count[which]):
        number = book.active[which, place]
        widen_edges(edges, book.facts[number], book.figures[number, CENTER])


@compiled
def widen_edges(edges: Floats, facts: Ints, center: float) -> None:
    edges[OLDEST] = min(edges[OLDEST], facts[DETECTED])
    if facts[SIDE] > 0:
        edges[SHORT_FROM] = min(edges[SHORT_FROM], center)
    else:
        edges[LONG_FROM] = max(edges[LONG_FROM], center)
