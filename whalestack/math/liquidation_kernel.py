"""The liquidation model's pass over candles, compiled.

Importing this module loads numba (about half a second and 70 MB), and the first call
compiles or reads the compiled code from the cache beside this file: only what needs the
pass imports it, and only then. `whalestack.math.liquidation_pass` is its door.

The state of R memories stands in rows of R neighbouring numbers, so that one search of a
level and one pass over a row serve all of them. Values are stored over a scale of each
memory: fading multiplies that scale and touches no level. Consumption moves two marks:
no long stands above the one, no short below the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whalestack.math.compiling import inlined

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TOP, BOTTOM, HINTS = 0, 1, 2
"""Places in `State.marks`: highest level with a long, lowest with a short, then each tier's last level."""
OPENED, OUTSIDE, INTEREST = 0, 1, 2
"""Places in `State.totals`: USD opened, USD off the map, the last known open interest or NaN."""

_LEAST_SCALE = 1e-90
_RECOUNT_BELOW = 1e-4
"""A running sum that has fallen below this share of its peak is summed anew: rounding of what has
gone must not become a share of what is left."""


class Bars(NamedTuple):
    """(C,) candles, oldest first; open interest is NaN where unknown."""

    highs: Floats
    lows: Floats
    closes: Floats
    turnover_usd: Floats
    open_interest: Floats


class Rules(NamedTuple):
    """`ModelAssumptions` as numbers: (2T,) factors and weights, longs first; (R,) kept a bar."""

    factors: Floats
    weights: Floats
    keeps: Floats
    churn_share: float
    turnover_share_without_oi: float


class State(NamedTuple):
    """What stands: (L, R) longs and shorts over (R,) `scale`; `stored` is their sum over it.

    `before` and `unit` hold, within a bar, the sum at its start and what it opens over the scale.
    """

    longs: Floats
    shorts: Floats
    scale: Floats
    stored: Floats
    peak: Floats
    before: Floats
    unit: Floats
    consumed: Floats
    faded: Floats
    totals: Floats
    marks: Ints


@inlined
def _consume(levels: Floats, state: State, low: float, high: float) -> None:
    """Longs at `low` and above, shorts at `high` and below are liquidated."""
    marks, ranges = state.marks, state.scale.size
    while marks[TOP] >= 0 and levels[marks[TOP]] >= low:
        for each in range(ranges):
            gone = state.longs[marks[TOP], each]
            state.longs[marks[TOP], each] = 0.0
            state.stored[each] -= gone
            state.consumed[each] += gone * state.scale[each]
        marks[TOP] -= 1
    while marks[BOTTOM] < levels.size and levels[marks[BOTTOM]] <= high:
        for each in range(ranges):
            gone = state.shorts[marks[BOTTOM], each]
            state.shorts[marks[BOTTOM], each] = 0.0
            state.stored[each] -= gone
            state.consumed[each] += gone * state.scale[each]
        marks[BOTTOM] += 1


@inlined
def _recount(state: State, each: int) -> None:
    """Sum one memory anew, with scale 1."""
    total = 0.0
    for level in range(state.marks[TOP] + 1):
        state.longs[level, each] *= state.scale[each]
        total += state.longs[level, each]
    for level in range(state.marks[BOTTOM], state.shorts.shape[0]):
        state.shorts[level, each] *= state.scale[each]
        total += state.shorts[level, each]
    state.before[each] *= state.scale[each]
    state.scale[each] = 1.0
    state.stored[each] = total
    state.peak[each] = total


@inlined
def _kept_share(previous: float, interest: float, not_consumed: float, churned_coins: float) -> float:
    """As `LiquidationModel._kept_share`."""
    if np.isnan(interest) or not previous > 0:
        return 1.0
    share = min(interest / previous / not_consumed, 1.0)
    return max(share, 0.0) * max(1.0 - churned_coins / previous, 0.0)


@inlined
def _fade(state: State, rules: Rules, interest: float, churned_coins: float) -> None:
    previous = state.totals[INTEREST]
    for each in range(state.scale.size):
        if state.stored[each] < _RECOUNT_BELOW * state.peak[each]:
            _recount(state, each)
        left = state.stored[each]
        if left <= 0:
            continue
        keep = rules.keeps[each] * _kept_share(previous, interest, left / state.before[each], churned_coins)
        state.faded[each] += left * (1 - keep) * state.scale[each]
        state.scale[each] *= keep
        if state.scale[each] < _LEAST_SCALE:
            _recount(state, each)


@inlined
def _opened_usd(interest: float, turnover: float, rules: Rules, previous: float, price: float) -> float:
    if np.isnan(interest):
        return rules.turnover_share_without_oi * turnover
    if np.isnan(previous):
        return 0.0
    return max(interest - previous, 0.0) * price + rules.churn_share * turnover


@inlined
def _level_below(levels: Floats, price: float, hint: int) -> int:
    """The level at or below a price inside the grid, walked to from where it was last time."""
    level = hint
    while level < levels.size - 2 and levels[level + 1] <= price:
        level += 1
    while level > 0 and levels[level] > price:
        level -= 1
    return level


@inlined
def _put(levels: Floats, onto: Floats, state: State, level: int, price: float, weight: float) -> None:
    """Share what a tier opens between a level and the next in proportion."""
    upper = weight * (price - levels[level]) / (levels[level + 1] - levels[level])
    for each in range(state.scale.size):
        onto[level, each] += (weight - upper) * state.unit[each]
        onto[level + 1, each] += upper * state.unit[each]
        state.stored[each] += weight * state.unit[each]


@inlined
def _open(levels: Floats, state: State, rules: Rules, usd: float, price: float) -> None:
    tiers = rules.factors.size // 2
    state.totals[OPENED] += usd
    for each in range(state.scale.size):
        state.unit[each] = usd / state.scale[each]
    for tier in range(2 * tiers):
        at, weight = price * rules.factors[tier], rules.weights[tier]
        if at < levels[0] or at > levels[-1]:
            state.totals[OUTSIDE] += usd * weight
            continue
        level = _level_below(levels, at, state.marks[HINTS + tier])
        state.marks[HINTS + tier] = level
        if tier < tiers:
            _put(levels, state.longs, state, level, at, weight)
            state.marks[TOP] = max(state.marks[TOP], level + 1)
        else:
            _put(levels, state.shorts, state, level, at, weight)
            state.marks[BOTTOM] = min(state.marks[BOTTOM], level)
    for each in range(state.scale.size):
        state.peak[each] = max(state.peak[each], state.stored[each])


@inlined
def _take(bars: Bars, bar: int, levels: Floats, rules: Rules, state: State) -> None:
    """One candle: the steps of `LiquidationModel.step`."""
    high, low, close = bars.highs[bar], bars.lows[bar], bars.closes[bar]
    interest = bars.open_interest[bar]
    for each in range(state.scale.size):
        state.before[each] = state.stored[each]
    _consume(levels, state, low, high)
    _fade(state, rules, interest, rules.churn_share * bars.turnover_usd[bar] / close)
    price = (high + low + close) / 3
    opened = _opened_usd(interest, bars.turnover_usd[bar], rules, state.totals[INTEREST], price)
    if opened > 0:
        _open(levels, state, rules, opened, price)
        _consume(levels, state, close, close)
    if not np.isnan(interest):
        state.totals[INTEREST] = interest


@inlined
def _write_column(levels: Floats, state: State, close: float, values: Floats) -> int:
    """Copy the levels around the close into (R, W) `values`; returns the first one's number."""
    width = values.shape[1]
    above = np.searchsorted(levels, close, side="right")
    first: int = min(max(above - width // 2, 0), levels.size - width)
    for each in range(state.scale.size):
        for place in range(width):
            held = state.longs[first + place, each] + state.shorts[first + place, each]
            values[each, place] = held * state.scale[each]
    return first


@inlined
def advance(
    bars: Bars, levels: Floats, rules: Rules, state: State, column_at: Ints, values: Floats, firsts: Ints
) -> None:
    """Take candles and write the asked columns.

    Args:
        bars: (C,) candles, checked.
        levels: (L,) ascending prices.
        rules: of the model.
        state: changed in place.
        column_at: (A,) ascending candle numbers whose columns are asked.
        values: (A, R, W) USD, written.
        firsts: (A,) number of each column's first level, written.
    """
    asked = 0
    for bar in range(bars.closes.size):
        _take(bars, bar, levels, rules, state)
        while asked < column_at.size and column_at[asked] == bar:
            firsts[asked] = _write_column(levels, state, bars.closes[bar], values[asked])
            asked += 1
