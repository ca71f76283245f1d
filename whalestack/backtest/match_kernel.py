"""Which of the clusters that are followed a run of levels is, compiled.

The rule is that of `whalestack.db.cluster_store`: its centre lies in the band that was detected, a level
step of slack; among several the nearest, then the oldest. A run's centre cannot leave its levels, so few
clusters come into question for it, and these stay the same as long as the run has the same levels: they
are looked for once, and of those that are begun or decided later it is told.
"""

from __future__ import annotations

import numpy as np

from whalestack.backtest.cluster_book import (
    BEGIN,
    CENTER,
    CENTRE,
    END,
    HAIR,
    HIGH,
    ITS_HIGH,
    ITS_LOW,
    ITS_SIDE,
    LOW,
    MOST_RIVALS,
    NUMBER,
    RIVALS,
    SIDE,
    SLACK_BOUND,
    SLACK_FROM,
    SLACK_TO,
    TWIN,
    WAY,
    Book,
    Runs,
    View,
)
from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.math.compiling import inlined

WIDEST = 2.0
"""Rivals are looked for with so many times the slack, so that it may grow a while before they are again."""


@inlined
def is_settled(slacks: Floats, slack: float) -> bool:
    """Whether, with this slack, each run whose centre stayed is the cluster it was."""
    return bool(slacks[SLACK_FROM] < slack < slacks[SLACK_TO])


@inlined
def unsettle(runs: Runs, which: int, slack: float) -> None:
    """All runs of a range are matched anew."""
    slacks, whole = runs.slacks[which], runs.whole[which]
    if slack >= slacks[SLACK_BOUND]:
        slacks[SLACK_BOUND] = WIDEST * slack
        for run in range(runs.counts[which]):
            whole[RIVALS, run] = -1
    slacks[SLACK_FROM], slacks[SLACK_TO] = -np.inf, slacks[SLACK_BOUND]


@inlined
def match(view: View, runs: Runs, which: int, run: int, book: Book) -> int:
    """The undecided cluster that a run is, -1 for a new one."""
    whole, rivals = runs.whole[which], runs.rivals[which, run]
    if whole[RIVALS, run] < 0:
        whole[RIVALS, run] = _find_rivals(view, runs, which, run, book)
    count = whole[RIVALS, run]
    if count > MOST_RIVALS:
        rivals, count = book.active[which], book.active_count[which]
    return _nearest(rivals, count, runs.figures[which, CENTRE, run], whole[WAY, run], view, runs, which, book)


@inlined
def _find_rivals(view: View, runs: Runs, which: int, run: int, book: Book) -> int:
    """Note the clusters that a run could be; returns how many there are."""
    whole, rivals, bands = runs.whole[which], runs.rivals[which, run], book.bands[which]
    bound, way = runs.slacks[which, SLACK_BOUND], whole[WAY, run]
    low, high = view.levels[whole[BEGIN, run]] - bound, view.levels[whole[END, run]] + bound
    count = 0
    for place in range(book.active_count[which]):
        # Written first and counted then: a branch here is guessed wrongly too often.
        rivals[min(count, MOST_RIVALS)] = book.active[which, place]
        is_one = (bands[ITS_SIDE, place] == way) & (bands[ITS_LOW, place] <= high)
        count += is_one & (bands[ITS_HIGH, place] >= low)
    return count


@inlined
def _nearest(
    numbers: Ints, count: int, center: float, way: int, view: View, runs: Runs, which: int, book: Book
) -> int:
    """Among clusters, oldest first; notes at which slacks it stays the same one."""
    slacks, slack, best, nearest = runs.slacks[which], view.slack, -1, np.inf
    for place in range(count):
        number = numbers[place]
        if book.facts[number, SIDE] != way:
            continue
        known = book.figures[number]
        outside = max(known[LOW] - center, center - known[HIGH])
        if outside * (1 + HAIR) < slack:
            slacks[SLACK_FROM] = max(slacks[SLACK_FROM], outside * (1 + HAIR))
        elif outside * (1 - HAIR) > slack:
            slacks[SLACK_TO] = min(slacks[SLACK_TO], outside * (1 - HAIR))
        else:
            slacks[SLACK_TO] = -np.inf
        away = abs(known[CENTER] - center)
        if away < nearest and known[LOW] - slack <= center <= known[HIGH] + slack:
            best, nearest = number, away
    return best


@inlined
def tell(runs: Runs, which: int, new: int, view: View, book: Book) -> None:
    """The runs of a range are told of a cluster that is new."""
    whole, bound = runs.whole[which], runs.slacks[which, SLACK_BOUND]
    low, high = book.figures[new, LOW] - bound, book.figures[new, HIGH] + bound
    for run in range(runs.counts[which]):
        count = whole[RIVALS, run]
        if count < 0 or whole[WAY, run] != book.facts[new, SIDE]:
            continue
        if view.levels[whole[BEGIN, run]] <= high and view.levels[whole[END, run]] >= low:
            if count < MOST_RIVALS:
                runs.rivals[which, run, count] = new
            whole[RIVALS, run] = min(count, MOST_RIVALS) + 1
            if whole[NUMBER, run] != new:
                # It may be near enough to become this one without its centre having moved.
                runs.slacks[which, SLACK_TO] = -np.inf


@inlined
def find_twins(runs: Runs, which: int) -> None:
    """Note which runs are the same cluster as one before them."""
    whole = runs.whole[which]
    runs.has_twins[which] = False
    for run in range(runs.counts[which]):
        whole[TWIN, run] = -1
        for other in range(run):
            if whole[NUMBER, other] == whole[NUMBER, run]:
                whole[TWIN, run] = other
        runs.has_twins[which] |= whole[TWIN, run] >= 0
