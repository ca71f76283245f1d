"""The liquidation model's pass over candles, compiled.

Importing this module loads numba (about half a second and 70 MB), and the first call
compiles or reads the compiled code from the cache beside this file: only what needs the
pass imports it, and only then. `whalestack.math.liquidation_pass` is its door.

The state of R memories stands in R rows of levels, so that a row can be gone through many levels
at a time. Longs and shorts share a row: longs stand strictly below the close, shorts strictly above
it. Values are stored over a scale of each memory: fading multiplies that scale and touches no level.
Consumption moves two marks: no long stands above the one, no short below the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whalestack.math.compiling import compiled, inlined

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
    """What stands.

    Args:
        held: (R, L') longs and shorts over `scale`; L' is L rounded up to whole words of 64 levels.
        scale: (R,); stored: (R,) the sum of `held`; peak: (R,) the most that was.
        before: (R,) the sum at the start of a bar.
        consumed, faded: (R,) USD. totals, marks: see above.
        touched: (L' / 64,) a bit for each level onto which something was put; whoever looks clears it.
        recounts: (R,) how often a row was brought back to scale 1, which touches all of it.
        places, shares: (4T,) a place to work: what a bar opens, by level.
    """

    held: Floats
    scale: Floats
    stored: Floats
    peak: Floats
    before: Floats
    consumed: Floats
    faded: Floats
    totals: Floats
    marks: Ints
    touched: Ints
    recounts: Ints
    places: Ints
    shares: Floats


@inlined
def _clear(state: State, level: int) -> None:
    """What stands at a level is liquidated."""
    for each in range(state.scale.size):
        gone = state.held[each, level]
        state.held[each, level] = 0.0
        state.stored[each] -= gone
        state.consumed[each] += gone * state.scale[each]


@inlined
def _consume(levels: Floats, state: State, low: float, high: float) -> None:
    """Longs at `low` and above, shorts at `high` and below are liquidated."""
    marks = state.marks
    while marks[TOP] >= 0 and levels[marks[TOP]] >= low:
        _clear(state, marks[TOP])
        marks[TOP] -= 1
    while marks[BOTTOM] < levels.size and levels[marks[BOTTOM]] <= high:
        _clear(state, marks[BOTTOM])
        marks[BOTTOM] += 1


@inlined
def _recount(state: State, each: int) -> None:
    """Sum one memory anew, with scale 1."""
    total, row = 0.0, state.held[each]
    for level in range(row.size):
        row[level] *= state.scale[each]
        total += row[level]
    state.before[each] *= state.scale[each]
    state.scale[each] = 1.0
    state.stored[each] = total
    state.peak[each] = total
    state.recounts[each] += 1


@inlined
def _fade(state: State, rules: Rules, interest: float, churned_coins: float) -> None:
    """As `LiquidationModel._kept_share`, for every memory at once: nothing in the loops branches."""
    previous = state.totals[INTEREST]
    known = previous > 0 and not np.isnan(interest)
    ratio = interest / previous if known else np.inf
    churn = max(1.0 - churned_coins / previous, 0.0) if known else 1.0
    worn = 0
    for each in range(state.scale.size):
        worn += state.stored[each] < _RECOUNT_BELOW * state.peak[each]
    if worn > 0:
        for each in range(state.scale.size):
            if state.stored[each] < _RECOUNT_BELOW * state.peak[each]:
                _recount(state, each)
    worn = 0
    for each in range(state.scale.size):
        left = state.stored[each]
        share = ratio / (left / state.before[each])
        share = max(share if share < 1.0 else 1.0, 0.0)  # where nothing stood it is no number
        keep = rules.keeps[each] * share * churn if left > 0 else 1.0
        state.faded[each] += left * (1 - keep) * state.scale[each]
        state.scale[each] *= keep
        worn += state.scale[each] < _LEAST_SCALE
    if worn > 0:
        for each in range(state.scale.size):
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
def _lay_out(
    levels: Floats, state: State, rules: Rules, usd: float, price: float, close: float
) -> tuple[int, float]:
    """Share what each tier opens between a level and the next in proportion.

    Returns:
        How many `places` it goes to, and the share that the close liquidates at once.
    """
    tiers, count, gone = rules.factors.size // 2, 0, 0.0
    for tier in range(2 * tiers):
        at, weight = price * rules.factors[tier], rules.weights[tier]
        if at < levels[0] or at > levels[-1]:
            state.totals[OUTSIDE] += usd * weight
            continue
        level = _level_below(levels, at, state.marks[HINTS + tier])
        state.marks[HINTS + tier] = level
        upper = weight * (at - levels[level]) / (levels[level + 1] - levels[level])
        for step in range(2):
            place, share = level + step, upper if step > 0 else weight - upper
            if (levels[place] >= close) if tier < tiers else (levels[place] <= close):
                gone += share
                continue
            state.places[count], state.shares[count] = place, share
            count += 1
            if tier < tiers:
                state.marks[TOP] = max(state.marks[TOP], place)
            else:
                state.marks[BOTTOM] = min(state.marks[BOTTOM], place)
    return count, gone


@inlined
def _open(levels: Floats, state: State, rules: Rules, usd: float, price: float, close: float) -> None:
    state.totals[OPENED] += usd
    count, gone = _lay_out(levels, state, rules, usd, price, close)
    kept = 0.0
    for each in range(count):
        place = state.places[each]
        state.touched[place >> 6] |= np.int64(1) << (place & 63)
        kept += state.shares[each]
    for each in range(state.scale.size):
        unit, row = usd / state.scale[each], state.held[each]
        for number in range(count):
            row[state.places[number]] += state.shares[number] * unit
        state.stored[each] += kept * unit
        state.peak[each] = max(state.peak[each], state.stored[each])
        state.consumed[each] += gone * usd


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
        _open(levels, state, rules, opened, price, close)
    if not np.isnan(interest):
        state.totals[INTEREST] = interest


@compiled
def take(bars: Bars, begin: int, end: int, levels: Floats, rules: Rules, state: State) -> None:
    """Take the candles `begin` to `end`, the last one not counted."""
    for bar in range(begin, end):
        _take(bars, bar, levels, rules, state)


@compiled
def first_level(levels: Floats, close: float, width: int) -> int:
    """The number of the first of `width` levels around a close; of no width, of the first one above it."""
    below, above = 0, levels.size
    while below < above:
        middle = (below + above) // 2
        if levels[middle] <= close:
            below = middle + 1
        else:
            above = middle
    return int(min(max(above - width // 2, 0), levels.size - width))


@compiled
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
    taken = 0
    for asked in range(column_at.size):
        bar = column_at[asked]
        take(bars, taken, bar + 1, levels, rules, state)
        taken = max(taken, bar + 1)
        firsts[asked] = first_level(levels, bars.closes[bar], values.shape[2])
        for each in range(state.scale.size):
            for place in range(values.shape[2]):
                values[asked, each, place] = state.held[each, firsts[asked] + place] * state.scale[each]
    take(bars, taken, bars.closes.size, levels, rules, state)
