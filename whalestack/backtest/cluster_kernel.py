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

From one refresh to the next hardly anything changes, so little is done anew: a run of levels is summed
where something was put onto it, a cluster is looked for where its run has left what is known to be its
own, and clusters are judged where price has reached one or one's time is over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whalestack.backtest.cluster_book import (
    ADVERSE,
    BEGIN,
    CENTER,
    CENTRE,
    CLUSTERS,
    DECIDED,
    DETECTED,
    DISTANCE,
    END,
    FROM,
    HAIR,
    HIGH,
    HIT_MINUTE,
    ITS_CENTER,
    ITS_HIGH,
    ITS_LOW,
    ITS_SIDE,
    LEARNED,
    LOW,
    MOST_RUNS,
    NEARER_FROM,
    NEARER_TO,
    NOTED,
    NUMBER,
    PRICE,
    RANGE,
    SEEN,
    SIDE,
    SIGHTINGS,
    TO,
    TOTAL,
    VALUE,
    WAY,
    Asked,
    Book,
    Past,
    Runs,
    View,
)
from whalestack.backtest.map_kernel import cells_of, largest_per_cell, least_shown, outstanding, usual_step
from whalestack.backtest.outcome_kernel import judge, widen_edges
from whalestack.backtest.run_kernel import are_on_their_sides, choose, find_runs, is_touched, sum_run
from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.db.cluster_store import TYPICAL_SIZE_MEMORY
from whalestack.math.compiling import compiled, inlined
from whalestack.math.imbalance import CELL_STEPS, LEAST_CELL_PCT
from whalestack.math.liquidation_kernel import Bars, Rules, State, first_level, take

# --- which cluster a run is -------------------------------------------------------------------------


@inlined
def _match(book: Book, figures: Floats, which: int, run: int, way: int, slack: float) -> int:
    """The undecided cluster that a run is, -1 for a new one; notes where it stays the same one."""
    center, best, nearest, near = figures[CENTRE, run], -1, np.inf, np.inf
    bands = book.bands[which]
    for place in range(book.active_count[which]):
        if bands[ITS_SIDE, place] != way:
            continue
        away = abs(bands[ITS_CENTER, place] - center)
        near = min(near, away)
        if away < nearest and bands[ITS_LOW, place] - slack <= center <= bands[ITS_HIGH, place] + slack:
            best, nearest = place, away
    figures[NEARER_FROM, run], figures[NEARER_TO, run] = np.inf, -np.inf
    if best < 0:
        return -1
    if nearest <= near:
        _note_room(book, figures, which, run, best)
    return int(book.active[which, best])


@inlined
def _note_room(book: Book, figures: Floats, which: int, run: int, best: int) -> None:
    """Between which prices no other cluster's centre is as near as that at the place `best`."""
    bands, low, high = book.bands[which], -np.inf, np.inf
    its, way = bands[ITS_CENTER, best], bands[ITS_SIDE, best]
    for place in range(book.active_count[which]):
        if bands[ITS_SIDE, place] != way or place == best:
            continue
        other = bands[ITS_CENTER, place]
        if other <= its:
            low = max(low, other)
        if other >= its:
            high = min(high, other)
    figures[NEARER_FROM, run] = (low + its) / 2 * (1 + HAIR)
    figures[NEARER_TO, run] = (high + its) / 2 * (1 - HAIR)
    figures[FROM, run], figures[TO, run] = bands[ITS_LOW, best], bands[ITS_HIGH, best]


@inlined
def _make_way(runs: Runs, which: int, new: int, book: Book) -> None:
    """A run does not stay the same cluster where a new one of its side is as near."""
    whole, figures, center = runs.whole[which], runs.figures[which], book.figures[new, CENTER]
    for run in range(runs.counts[which]):
        number = whole[NUMBER, run]
        if number < 0 or number == new or whole[WAY, run] != book.facts[new, SIDE]:
            continue
        its = book.figures[number, CENTER]
        if center <= its:
            figures[NEARER_FROM, run] = max(figures[NEARER_FROM, run], (center + its) / 2 * (1 + HAIR))
        if center >= its:
            figures[NEARER_TO, run] = min(figures[NEARER_TO, run], (center + its) / 2 * (1 - HAIR))


@inlined
def _is_same(figures: Floats, run: int, slack: float) -> bool:
    center = figures[CENTRE, run]
    inside = figures[FROM, run] - slack <= center <= figures[TO, run] + slack
    return bool(inside and figures[NEARER_FROM, run] < center < figures[NEARER_TO, run])


@inlined
def _see(view: View, values: Floats, scale: float, touched: Ints, runs: Runs, which: int, book: Book) -> None:
    """Match what was found with what is followed; what is new is followed from now on."""
    whole, figures, new, begin = runs.whole[which], runs.figures[which], 0, book.counts[NOTED]
    runs.largest[which, 0] = runs.largest[which, 1] = 0.0
    for run in range(runs.counts[which]):
        if figures[TOTAL, run] < 0 or is_touched(touched, whole[BEGIN, run], whole[END, run]):
            sum_run(view.levels, values, whole, figures, run)
        if whole[NUMBER, run] < 0 or not _is_same(figures, run, view.slack):
            whole[NUMBER, run] = _match(book, figures, which, run, whole[WAY, run], view.slack)
        if whole[NUMBER, run] < 0:
            new += 1
            continue
        _see_run(whole, figures, run, scale, view.refresh, book, runs.largest[which])
    for _ in range(new):
        run = _nearest_new(view, whole, figures, runs.counts[which])
        _begin(view, whole, figures, run, which, book)
        _see_run(whole, figures, run, scale, view.refresh, book, runs.largest[which])
        _make_way(runs, which, whole[NUMBER, run], book)
    for sighting in range(begin, book.counts[NOTED]):
        book.seen_usd[sighting] = book.figures[book.seen[sighting], VALUE]


@compiled
def _see_run(
    whole: Ints, figures: Floats, run: int, scale: float, refresh: int, book: Book, largest: Floats
) -> None:
    """A cluster has the value of its run, or of its runs where several are the same cluster."""
    number, usd = whole[NUMBER, run], figures[TOTAL, run] * scale
    if book.facts[number, SEEN] == refresh:
        usd += book.figures[number, VALUE]
    else:
        book.facts[number, SEEN] = refresh
        book.seen[book.counts[NOTED]] = number
        book.counts[NOTED] += 1
        book.counts[SIGHTINGS] += 1
    book.figures[number, VALUE] = usd
    side = 0 if whole[WAY, run] > 0 else 1
    largest[side] = max(largest[side], usd)


@compiled
def _distance_pct(view: View, whole: Ints, run: int) -> float:
    near = view.levels[whole[BEGIN, run] if whole[WAY, run] > 0 else whole[END, run]]
    return float(abs(near - view.price) / view.price * 100)


@inlined
def _nearest_new(view: View, whole: Ints, figures: Floats, count: int) -> int:
    """New clusters are numbered as `find_clusters` gives them, the nearest first."""
    best, nearest = -1, np.inf
    for run in range(count):
        if whole[NUMBER, run] >= 0:
            continue
        away = _distance_pct(view, whole, run)
        if away < nearest or (away == nearest and figures[CENTRE, run] < figures[CENTRE, best]):
            best, nearest = run, away
    return best


@inlined
def _begin(view: View, whole: Ints, figures: Floats, run: int, which: int, book: Book) -> None:
    """Follow a new cluster."""
    number, place = book.counts[CLUSTERS], book.active_count[which]
    book.counts[CLUSTERS] += 1
    book.active_count[which] += 1
    book.active[which, place], whole[NUMBER, run] = number, number
    known, facts = book.figures[number], book.facts[number]
    known[LOW], known[HIGH] = view.levels[whole[BEGIN, run]], view.levels[whole[END, run]]
    known[CENTER], known[PRICE] = figures[CENTRE, run], view.price
    known[DISTANCE], known[ADVERSE] = _distance_pct(view, whole, run), 0.0
    facts[RANGE], facts[SIDE], facts[DETECTED] = which, whole[WAY, run], view.refresh
    facts[DECIDED], facts[HIT_MINUTE], facts[SEEN] = -1, -1, -1
    bands = book.bands[which]
    bands[ITS_LOW, place], bands[ITS_HIGH, place] = known[LOW], known[HIGH]
    bands[ITS_CENTER, place], bands[ITS_SIDE, place] = known[CENTER], facts[SIDE]
    widen_edges(book.edges[which], facts, known[CENTER])


# --- sizes ------------------------------------------------------------------------------------------


@inlined
def _weigh(view: View, state: State, ranks: Ints, book: Book) -> None:
    """Long and short over all ranges."""
    ranges, last = state.scale.size, view.first + view.width
    cell = max(LEAST_CELL_PCT / 100, CELL_STEPS * view.slack / view.price)
    cells, shown = np.empty(view.width, dtype=np.int64), np.empty(ranges, dtype=np.int64)
    cells_of(view.levels, view.first, view.price, cell, cells)
    for which in range(ranges):
        shown[which] = least_shown(ranks[which, view.first : last])
    sums = np.zeros((2, max(cells[0], cells[view.width - 1]) + 1))
    for side in range(2):
        begin, end = (view.first, view.below) if side == 0 else (view.above, last)
        book.sides[view.refresh, side] = largest_per_cell(
            state.held, state.scale, view.first, begin, end, shown, cells, sums
        )


@inlined
def _learn(book: Book, runs: Runs, refresh: int, tradable: NDArray[np.bool_]) -> None:
    """Size of a side: the mean, over the tradable ranges, of its largest cluster. And the typical size."""
    ranges = max(tradable.sum(), 1)
    for side in range(2):
        total = 0.0
        for which in range(tradable.size):
            if tradable[which]:
                total += runs.largest[which, side]
        book.sizes[refresh, side] = total / ranges
    known, now = book.typical[refresh], (book.sizes[refresh, 0] + book.sizes[refresh, 1]) / 2
    if now > 0:
        learned = book.counts[LEARNED]
        known = now if learned == 0 else known + (now - known) / (min(learned, TYPICAL_SIZE_MEMORY) + 1)
        book.counts[LEARNED] += 1
    book.typical[refresh + 1] = known


# --- refreshes --------------------------------------------------------------------------------------


@compiled
def look(
    levels: Floats,
    first: int,
    width: int,
    price: float,
    state: State,
    runs: Runs,
    past: Past,
    asked: Asked,
    refresh: int,
    book: Book,
) -> None:
    """One refresh: outcomes, then the maps of all ranges.

    Args:
        levels: prices. first, width: the levels that are shown. price: the close.
        state: what stands; what it says was touched is cleared.
        runs: of the refresh before.
        past: minutes. asked: what is wanted.
        refresh: number. book: changed in place, large enough.
    """
    below = above = first_level(levels, price, 0)
    while below > 0 and levels[below - 1] >= price:
        below -= 1
    slack = usual_step(levels, first, width)
    view = View(levels, first, width, below, above, price, slack, refresh)
    book.seen_from[refresh] = book.counts[SIGHTINGS]
    if refresh > 0:
        judge(book, runs, past, refresh, asked.horizons)
    ranks = state.held.view(np.int64)
    for which in range(state.scale.size):
        if state.recounts[which] != runs.recounts[which]:
            runs.recounts[which] = state.recounts[which]
            runs.figures[which, TOTAL, :] = -1.0
        least = outstanding(ranks[which, first : first + width], runs.guess[which])
        changed = choose(view, ranks[which], least, runs.chosen[which])
        if changed or not are_on_their_sides(view, runs.whole[which], runs.counts[which]):
            find_runs(view, runs, which)
        _see(view, state.held[which], state.scale[which], state.touched, runs, which, book)
    state.touched[:] = 0
    _learn(book, runs, refresh, asked.tradable)
    if asked.weigh[refresh]:
        _weigh(view, state, ranks, book)
    book.seen_from[refresh + 1] = book.counts[SIGHTINGS]


@inlined
def _has_room(book: Book, ranges: int) -> bool:
    """Whether the book can take the most that one more refresh could find."""
    most, longest = ranges * MOST_RUNS, 0
    for which in range(ranges):
        longest = max(longest, book.active_count[which])
    return bool(
        book.counts[CLUSTERS] + most <= book.figures.shape[0]
        and book.counts[NOTED] + most <= book.seen.size
        and longest + MOST_RUNS <= book.active.shape[1]
    )


@compiled
def follow_model(
    bars: Bars,
    first_bar: int,
    each: int,
    levels: Floats,
    width: int,
    rules: Rules,
    state: State,
    runs: Runs,
    past: Past,
    asked: Asked,
    refresh: int,
    book: Book,
) -> int:
    """The model and the maps of consecutive refreshes, until the book is full.

    Args:
        bars: candles. first_bar: how many of them have closed at refresh 0; each: and between two.
        levels, rules, state: of the model. width: how many levels a map shows.
        runs: of the refresh before.
        past: minutes. asked: what is wanted.
        refresh: the first one. book: changed in place.

    Returns:
        The first refresh that was not taken.
    """
    while refresh < asked.weigh.size and _has_room(book, state.scale.size):
        end = first_bar + refresh * each
        take(bars, 0 if refresh == 0 else end - each, end, levels, rules, state)
        close = bars.closes[end - 1]
        first = first_level(levels, close, width)
        look(levels, first, width, close, state, runs, past, asked, refresh, book)
        refresh += 1
    return refresh
