"""What the compiled following of clusters remembers, and what it is told."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whalestack.backtest.extremes import Extremes
from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.math.clusters import MERGE_GAP_PCT, MERGE_GAP_STEPS, level_step
from whalestack.math.liquidation_pass import WORD

MOST_RUNS = 128
"""Clusters of one map: more than a map of a few hundred levels can have."""
MOST_RIVALS = 8
"""Clusters that a run is told to be one of; where there are more, all that are undecided are looked at."""
LOW, HIGH, CENTER, DISTANCE, PRICE, ADVERSE = range(6)
"""Columns of `Book.figures`."""
RANGE, SIDE, DETECTED, DECIDED, HIT_MINUTE = range(5)
"""Columns of `Book.facts`: SIDE is +1 for shorts above the price, -1 for longs below it; DECIDED and
HIT_MINUTE are -1 until then (HIT_MINUTE stays -1 for a miss)."""
CLUSTERS, SIGHTINGS, LEARNED, NOTED = range(4)
"""Places in `Book.counts`: clusters, sightings, refreshes that the typical size was learned from, and how
many of the sightings stand in `seen`: the last ones."""
SHORT_FROM, LONG_FROM, OLDEST = range(3)
"""Places in `Book.edges`: prices from which some undecided cluster is hit; when the oldest was detected."""
ITS_LOW, ITS_HIGH, ITS_SIDE = range(3)
"""Rows of `Book.bands`."""
BEGIN, END, WAY, NUMBER, RIVALS, TWIN = range(6)
"""Rows of `Runs.whole`: levels, side, the cluster that it is or -1; how many it could be: -1 before they
were looked for, more than `MOST_RIVALS` where they are not noted; the run before it that is the same
cluster, or -1."""
TOTAL, CENTRE = range(2)
"""Rows of `Runs.figures`: sum, or -1 before it is known; centre of mass."""
SLACK_FROM, SLACK_TO, SLACK_BOUND = range(3)
"""Places in `Runs.slacks`."""

HAIR = 1e-9
"""A slack that is by so much, relatively, from one at which a cluster would be another: nearer ones are
looked at anew, so that rounding decides nothing."""


class Book(NamedTuple):
    """Every cluster of one coin so far, and which of them were seen at each refresh.

    Args:
        figures: (K, 6), facts: (K, 5), see above.
        active: (R, P) numbers of the undecided clusters of each range; active_count: (R,); bands:
            (R, 3, P) what `figures` and `facts` say of them, side by side, for matching;
            edges: (R, 3), see above.
        seen: (S,) numbers of the clusters that were seen, one for each run; seen_usd: (S,) values of
            the runs: a cluster of several has all of them; seen_from: (refreshes + 1,) where the
            sightings of each refresh begin.
        sizes: (refreshes, 2) size of the short and of the long side, USD.
        typical: (refreshes + 1,) typical size known before each refresh, 0 where there was none.
        sides: (refreshes, 2) long and short USD over all ranges, where it was asked for.
        counts: see above.
        extremes: prices since each refresh.
    """

    figures: Floats
    facts: Ints
    active: Ints
    active_count: Ints
    bands: Floats
    edges: Floats
    seen: Ints
    seen_usd: Floats
    seen_from: Ints
    sizes: Floats
    typical: Floats
    sides: Floats
    counts: Ints
    extremes: Extremes


class Runs(NamedTuple):
    """The clusters of each map as runs of levels, as they were at the refresh before.

    Args:
        whole: (R, 6, N), figures: (R, 2, N), see above; counts: (R,) how many of N there are.
        rivals: (R, N, M + 1) numbers of the clusters that a run could be, oldest first, wherever in it its
            centre lies, while the slack is at most that of `SLACK_BOUND`; the last place takes what is none.
        slacks: (R, 3) between the first two, each run whose centre has not moved is the same cluster.
        has_twins: (R,) whether several runs are the same cluster.
        chosen: (R, words) a bit for each level that stands out.
        guess: (R, 2) as `outstanding`. recounts: (R,) of the state.
        spare, spare_figures, spare_rivals: as one range's, a place to work.
        largest: (R, 2) USD of the largest short and long cluster.
        cells: (L,), shown: (R,), sums: (2, L): places to work where long and short are weighed.
    """

    whole: Ints
    figures: Floats
    counts: Ints
    rivals: Ints
    slacks: Floats
    has_twins: NDArray[np.bool_]
    chosen: Ints
    guess: Ints
    recounts: Ints
    spare: Ints
    spare_figures: Floats
    spare_rivals: Ints
    largest: Floats
    cells: Ints
    shown: Ints
    sums: Floats


class View(NamedTuple):
    """What all maps of a refresh share.

    Args:
        levels: prices. first, width: the levels that are shown.
        below, above: levels lower than `below` are below the price, those from `above` on above it.
        price: close. slack: how far from its band a cluster is still the same.
        refresh: number.
    """

    levels: Floats
    first: int
    width: int
    below: int
    above: int
    price: float
    slack: float
    refresh: int


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


class Asked(NamedTuple):
    """What is wanted.

    Args:
        horizons: (R,) refreshes in which a cluster of each range must be hit.
        tradable: (R,) whether a range's clusters make the size of a side.
        weigh: (refreshes,) at which of them long and short over all ranges are wanted.
    """

    horizons: Ints
    tradable: NDArray[np.bool_]
    weigh: NDArray[np.bool_]


def check_distances(levels: Floats, width: int) -> None:
    """The kernel takes neighbouring levels for near enough to merge, and no others.

    Raises:
        ValueError: levels are so far from one another, or columns so wide, that it is not so.
    """
    shown = levels[:width]
    for price in shown[width // 2 - 1 : width // 2 + 1]:
        gap = max(MERGE_GAP_PCT / 100 * price, MERGE_GAP_STEPS * level_step(shown))
        if not shown[-1] - shown[-2] <= gap < shown[2] - shown[0]:
            raise ValueError("levels of this distance do not make clusters of neighbours only")


def empty_book(refreshes: int, ranges: int) -> Book:
    """For so many refreshes and ranges."""
    return Book(
        figures=np.zeros((0, 6)),
        facts=np.zeros((0, 5), dtype=np.int64),
        active=np.zeros((ranges, 0), dtype=np.int64),
        active_count=np.zeros(ranges, dtype=np.int64),
        bands=np.zeros((ranges, 3, 0)),
        edges=np.tile([np.inf, -np.inf, np.inf], (ranges, 1)),
        seen=np.zeros(0, dtype=np.int64),
        seen_usd=np.zeros(0),
        seen_from=np.zeros(refreshes + 1, dtype=np.int64),
        sizes=np.zeros((refreshes, 2)),
        typical=np.zeros(refreshes + 1),
        sides=np.zeros((refreshes, 2)),
        counts=np.zeros(4, dtype=np.int64),
        extremes=Extremes(
            np.zeros((2, refreshes), dtype=np.int64), np.zeros((2, refreshes)), np.zeros(2, dtype=np.int64)
        ),
    )


def empty_runs(levels: int, ranges: int) -> Runs:
    """For a grid of so many levels."""
    most = MOST_RUNS
    return Runs(
        whole=np.zeros((ranges, 6, most), dtype=np.int64),
        figures=np.zeros((ranges, 2, most)),
        counts=np.zeros(ranges, dtype=np.int64),
        rivals=np.zeros((ranges, most, MOST_RIVALS + 1), dtype=np.int64),
        slacks=np.zeros((ranges, 3)),
        has_twins=np.zeros(ranges, dtype=np.bool_),
        chosen=np.zeros((ranges, -(-levels // WORD)), dtype=np.int64),
        guess=np.zeros((ranges, 2), dtype=np.int64),
        recounts=np.zeros(ranges, dtype=np.int64),
        spare=np.zeros((6, most), dtype=np.int64),
        spare_figures=np.zeros((2, most)),
        spare_rivals=np.zeros((most, MOST_RIVALS + 1), dtype=np.int64),
        largest=np.zeros((ranges, 2)),
        cells=np.zeros(levels, dtype=np.int64),
        shown=np.zeros(ranges, dtype=np.int64),
        sums=np.zeros((2, levels)),
    )


def longer(values: NDArray, used: int, more: int) -> NDArray:  # type: ignore[type-arg]
    """The same rows with room for so many more; only what is used is copied."""
    if values.shape[0] >= used + more:
        return values
    room = np.zeros((2 * used + more, *values.shape[1:]), dtype=values.dtype)
    room[:used] = values[:used]
    return room


def wider(values: NDArray, used: int, more: int) -> NDArray:  # type: ignore[type-arg]
    """The same with room for so many more in the last direction."""
    if values.shape[-1] >= used + more:
        return values
    room = np.zeros((*values.shape[:-1], 2 * used + more), dtype=values.dtype)
    room[..., :used] = values[..., :used]
    return room
