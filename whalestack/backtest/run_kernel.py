"""Runs of neighbouring levels that stand out of a map: its clusters, compiled.

The rule is `whalestack.math.clusters.find_clusters`, on a grid whose neighbours, and no others, are near
enough to merge. What is known of a run stays known while nothing is put onto its levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whalestack.backtest.cluster_book import (
    BEGIN,
    CENTRE,
    END,
    MOST_RIVALS,
    NUMBER,
    RIVALS,
    TOTAL,
    WAY,
    Runs,
    View,
)
from whalestack.backtest.map_kernel import bits_between, chosen_in, lowest_bit
from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.math.compiling import inlined
from whalestack.math.liquidation_pass import WORD


@inlined
def choose(view: View, ranks: Ints, least: int, chosen: Ints) -> bool:
    """Mark the levels that stand out; returns whether they are others than before."""
    last, changed = view.first + view.width - 1, False
    low_word, high_word = view.first // WORD, last // WORD
    for word in range(chosen.size):
        bits: Any = np.int64(0)
        if low_word <= word <= high_word:
            bits = chosen_in(ranks, word, least)
            bits &= bits_between(word, view.first, view.below - 1) | bits_between(word, view.above, last)
        changed |= bits != chosen[word]
        chosen[word] = bits
    return changed


@inlined
def are_on_their_sides(view: View, whole: Ints, count: int) -> bool:
    """Whether price has passed no run since they were found."""
    for run in range(count):
        if (whole[BEGIN, run] < view.above) if whole[WAY, run] > 0 else (whole[END, run] >= view.below):
            return False
    return True


@inlined
def find_runs(view: View, runs: Runs, which: int) -> None:
    """Neighbouring levels that stand out; what is known of a run that was there before stays."""
    _put_aside(runs, which)
    whole, before = runs.spare, runs.counts[which]
    count, begin, end, way, old = 0, -1, -2, 0, 0
    for word in range(runs.chosen.shape[1] + 1):
        # After the last word one more level that is nobody's neighbour ends the last run.
        bits = runs.chosen[which, word] if word < runs.chosen.shape[1] else np.int64(1)
        while bits != 0:
            level = word * WORD + lowest_bit(bits)
            bits &= bits - 1
            side = 1 if level >= view.above else -1
            if level == end + 1 and side == way and word < runs.chosen.shape[1]:
                end = level
                continue
            if begin >= 0:
                while old < before and whole[BEGIN, old] < begin:
                    old += 1
                _set_run(runs, which, count, begin, end, way, old, before)
                count += 1
            begin, end, way = level, level, side
    runs.counts[which] = count


@inlined
def _put_aside(runs: Runs, which: int) -> None:
    """The runs as they were before."""
    for run in range(runs.counts[which]):
        for row in range(runs.spare.shape[0]):
            runs.spare[row, run] = runs.whole[which, row, run]
        for row in range(runs.spare_figures.shape[0]):
            runs.spare_figures[row, run] = runs.figures[which, row, run]
        for place in range(min(runs.whole[which, RIVALS, run], MOST_RIVALS)):
            runs.spare_rivals[run, place] = runs.rivals[which, run, place]


@inlined
def _set_run(runs: Runs, which: int, run: int, begin: int, end: int, way: int, old: int, before: int) -> None:
    whole, spare = runs.whole[which], runs.spare
    whole[BEGIN, run], whole[END, run], whole[WAY, run] = begin, end, way
    if old < before and spare[BEGIN, old] == begin and spare[END, old] == end and spare[WAY, old] == way:
        whole[NUMBER, run], whole[RIVALS, run] = spare[NUMBER, old], spare[RIVALS, old]
        for row in range(runs.spare_figures.shape[0]):
            runs.figures[which, row, run] = runs.spare_figures[row, old]
        for place in range(min(whole[RIVALS, run], MOST_RIVALS)):
            runs.rivals[which, run, place] = runs.spare_rivals[old, place]
        return
    whole[NUMBER, run], whole[RIVALS, run], runs.figures[which, TOTAL, run] = -1, -1, -1.0


@inlined
def sum_run(levels: Floats, values: Floats, whole: Ints, figures: Floats, run: int) -> None:
    total, moment = 0.0, 0.0
    begin, end = whole[BEGIN, run], whole[END, run]
    for level in range(begin, end + 1):
        total += values[level]
        moment += values[level] * levels[level]
    figures[TOTAL, run] = total
    figures[CENTRE, run] = min(max(moment / total, levels[begin]), levels[end])


@inlined
def is_touched(touched: Ints, begin: int, end: int) -> bool:
    for word in range(begin // WORD, end // WORD + 1):
        if touched[word] & bits_between(word, begin, end) != 0:
            return True
    return False
