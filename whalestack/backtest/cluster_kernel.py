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
    HIGH,
    HIT_MINUTE,
    ITS_HIGH,
    ITS_LOW,
    ITS_SIDE,
    LEARNED,
    LOW,
    MOST_RUNS,
    NOTED,
    NUMBER,
    PRICE,
    RANGE,
    SIDE,
    SIGHTINGS,
    TOTAL,
    TWIN,
    WAY,
    Asked,
    Book,
    Past,
    Runs,
    View,
)
from whalestack.backtest.map_kernel import cells_of, largest_per_cell, least_shown, outstanding, usual_step
from whalestack.backtest.match_kernel import find_twins, is_settled, match, tell, unsettle
from whalestack.backtest.outcome_kernel import judge, widen_edges
from whalestack.backtest.run_kernel import are_on_their_sides, choose, find_runs, is_touched, sum_run
from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.db.cluster_store import TYPICAL_SIZE_MEMORY
from whalestack.math.compiling import compiled, inlined
from whalestack.math.imbalance import CELL_STEPS, LEAST_CELL_PCT
from whalestack.math.liquidation_kernel import Bars, Rules, State, first_level, take

# --- what a map shows -------------------------------------------------------------------------------


@inlined
def _see(
    view: View,
    values: Floats,
    scale: float,
    touched: Ints,
    runs: Runs,
    which: int,
    are_others: bool,
    book: Book,
) -> None:
    """Match what was found with what is followed; what is new is followed from now on."""
    whole = runs.whole[which]
    are_others, new = _renew(view, values, touched, runs, which, are_others, book)
    for _ in range(new):
        run = _nearest_new(view, whole, runs.figures[which], runs.counts[which])
        _begin(view, whole, runs.figures[which], run, which, book)
        tell(runs, which, whole[NUMBER, run], view, book)
    if are_others:
        find_twins(runs, which)
    _note(runs, which, scale, book)


@inlined
def _renew(
    view: View, values: Floats, touched: Ints, runs: Runs, which: int, are_others: bool, book: Book
) -> tuple[bool, int]:
    """Sum and match the runs onto whose levels something was put; whether any changed, how many are new."""
    whole, figures, new = runs.whole[which], runs.figures[which], 0
    everything = not is_settled(runs.slacks[which], view.slack)
    if everything:
        unsettle(runs, which, view.slack)
    for run in range(runs.counts[which]):
        is_moved = figures[TOTAL, run] < 0 or is_touched(touched, whole[BEGIN, run], whole[END, run])
        if is_moved:
            sum_run(view.levels, values, whole, figures, run)
        if is_moved or everything or whole[NUMBER, run] < 0:
            number = match(view, runs, which, run, book)
            are_others |= number != whole[NUMBER, run] or number < 0
            new += number < 0
            whole[NUMBER, run] = number
    return are_others, new


@inlined
def _note(runs: Runs, which: int, scale: float, book: Book) -> None:
    """Note what was seen, and the largest cluster of either side."""
    whole, totals, noted = runs.whole[which], runs.figures[which, TOTAL], book.counts[NOTED]
    count, short, long = runs.counts[which], 0.0, 0.0
    for run in range(count):
        book.seen[noted + run] = whole[NUMBER, run]
        book.seen_usd[noted + run] = totals[run] * scale
    book.counts[NOTED] += count
    book.counts[SIGHTINGS] += count
    usd = book.seen_usd[noted : noted + count]
    if runs.has_twins[which]:
        usd = _with_twins(usd, whole, runs.spare_figures[0])
    for run in range(count):
        is_short = whole[WAY, run] > 0
        short = usd[run] if is_short and usd[run] > short else short
        long = usd[run] if not is_short and usd[run] > long else long
    runs.largest[which, 0], runs.largest[which, 1] = short, long


@inlined
def _with_twins(usd: Floats, whole: Ints, sums: Floats) -> Floats:
    """The value of each run with all before it that are the same cluster."""
    for run in range(usd.size):
        twin = whole[TWIN, run]
        sums[run] = usd[run] + sums[twin] if twin >= 0 else usd[run]
    return sums


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
    facts[DECIDED], facts[HIT_MINUTE] = -1, -1
    bands = book.bands[which]
    bands[ITS_LOW, place], bands[ITS_HIGH, place] = known[LOW], known[HIGH]
    bands[ITS_SIDE, place] = facts[SIDE]
    widen_edges(book.edges[which], facts, known[CENTER])


# --- sizes ------------------------------------------------------------------------------------------


@inlined
def _weigh(view: View, state: State, ranks: Ints, runs: Runs, book: Book) -> None:
    """Long and short over all ranges."""
    ranges, last = state.scale.size, view.first + view.width
    cell = max(LEAST_CELL_PCT / 100, CELL_STEPS * view.slack / view.price)
    cells, shown = runs.cells, runs.shown
    cells_of(view.levels, view.first, view.width, view.price, cell, cells)
    for which in range(ranges):
        shown[which] = least_shown(ranks[which, view.first : last])
    sums = runs.sums[:, : max(cells[0], cells[view.width - 1]) + 1]
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
        are_others = changed or not are_on_their_sides(view, runs.whole[which], runs.counts[which])
        if are_others:
            find_runs(view, runs, which)
        _see(view, state.held[which], state.scale[which], state.touched, runs, which, are_others, book)
    state.touched[:] = 0
    _learn(book, runs, refresh, asked.tradable)
    if asked.weigh[refresh]:
        _weigh(view, state, ranks, runs, book)
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
