"""What the backtest asks of a walked candle, compiled.

`point_price` is `whalestack.simulator.market.walk.walk_points` for one point of one candle, rounded
to the tick as the simulator's market rounds; a test holds the two equal, bit by bit. On it stand the
search for the next point at which a price is reached, and the search for triggers, which walks only
candles whose high, low and open interest could make one.

Importing this module loads numba; see `whalestack.math.compiling`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whalestack.math.compiling import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIVE_MINUTES, FIFTEEN_MINUTES, HOUR_MINUTES = 300_000, 900_000, 60
LEAST_BASELINE_MINUTES = 30
_LEAST_LEG = 0.1
_SLACK = 1.0 + 1e-9


class Walk(NamedTuple):
    """Candles and how they are walked.

    Args:
        opens, highs, lows, closes: (N,) prices.
        top, bottom: (N,) highs and lows on whole ticks.
        tick: size, quote currency.
        points: price points in a candle.
    """

    opens: Floats
    highs: Floats
    lows: Floats
    closes: Floats
    top: Floats
    bottom: Floats
    tick: float
    points: int


class Flow(NamedTuple):
    """What moves besides price.

    Args:
        turnover: (N,) USD of each candle. interest: (N,) base coins at its close.
        minutes: (M,) USD of each minute. summed: (M + 1,) their running sum.
        bar_ms: length of a candle.
    """

    turnover: Floats
    interest: Floats
    minutes: Floats
    summed: Floats
    bar_ms: int


@compiled
def knots(o: float, h: float, low: float, c: float, points: int) -> tuple[float, float, float, float]:
    """First extreme, second extreme, and the numbers of the points that stand at them."""
    first, second = (low, h) if c >= o else (h, low)
    leg0, leg1, leg2 = abs(first - o), abs(second - first), abs(c - second)
    total = leg0 + leg1 + leg2
    even = 1.0 / 3.0
    room = 1.0 - 3.0 * _LEAST_LEG
    share0 = _LEAST_LEG + room * (leg0 / total if total > 0 else even)
    share1 = _LEAST_LEG + room * (leg1 / total if total > 0 else even)
    last = points - 1
    at1 = min(max(np.rint(share0 * last), 1.0), points - 3.0)
    at2 = min(max(np.rint((share0 + share1) * last), at1 + 1.0), points - 2.0)
    return first, second, at1, at2


@compiled
def raw_price(walk: Walk, bar: int, point: int) -> float:
    """The price of a point before rounding."""
    o, c = walk.opens[bar], walk.closes[bar]
    first, second, at1, at2 = knots(o, walk.highs[bar], walk.lows[bar], c, walk.points)
    if point >= at2:
        return float(second + (c - second) * ((point - at2) / (walk.points - 1.0 - at2)))
    if point >= at1:
        return float(first + (second - first) * ((point - at1) / (at2 - at1)))
    return float(o + (first - o) * ((point - 0.0) / (at1 - 0.0)))


@compiled
def on_tick(price: float, tick: float) -> float:
    """The nearest whole tick, at least one."""
    return float(np.rint(max(np.rint(price / tick), 1.0) * tick * 1e10) / 1e10)


@compiled
def point_price(walk: Walk, bar: int, point: int) -> float:
    """The price of a point, on a whole tick."""
    return on_tick(raw_price(walk, bar, point), walk.tick)


@compiled
def next_reached(walk: Walk, start: int, end: int, at_or_below: float, at_or_above: float) -> int:
    """The first point number in [start, end) at which either price is reached; `end` where none is.

    Points are numbered through all candles. Candles whose range stays between the prices are not walked.
    """
    points = walk.points
    bar = start // points
    while bar * points < end:
        if walk.top[bar] >= at_or_above or walk.bottom[bar] <= at_or_below:
            first = max(start - bar * points, 0)
            last = min(end - bar * points, points)
            for point in range(first, last):
                price = point_price(walk, bar, point)
                if price >= at_or_above or price <= at_or_below:
                    return bar * points + point
        bar += 1
    return end


@compiled
def mark_after(walk: Walk, bar: int, point: int, kept: float) -> float:
    """The mark price at a point: it follows the last price, `kept` being its weight at each step.

    It begins at the open of the candle before: what is older has no weight left.
    """
    begin = max(bar - 1, 0)
    mark = point_price(walk, begin, 0)
    for each in range(begin, bar + 1):
        for number in range(point + 1 if each == bar else walk.points):
            price = point_price(walk, each, number)
            mark += (price - mark) * (1.0 - kept)
    return mark


@compiled
def turnover_share(walk: Walk, bar: int, first: int, last: int) -> float:
    """The share of a candle's turnover that the points first..last (both counted) have."""
    points = walk.points
    total = 0.0
    inside = 0.0
    before = raw_price(walk, bar, 0)
    for point in range(points):
        price = raw_price(walk, bar, point)
        moved = abs(price - before)
        before = price
        total += moved
        if first <= point <= last:
            inside += moved
    count = last - first + 1
    if total > 0:
        return 0.5 * count / points + 0.5 * inside / total
    return 0.5 * count / points + 0.5 * count / points


@compiled
def interest_at(walk: Walk, flow: Flow, bar: int, point: int) -> float:
    """Open interest at a point: it moves through the candle with turnover."""
    now = flow.interest[bar]
    before = flow.interest[bar - 1] if bar > 0 else now
    if np.isnan(before):
        before = now
    return float(before + (now - before) * turnover_share(walk, bar, 0, point))


@compiled
def volume_ratio(walk: Walk, flow: Flow, bar: int, point: int) -> float:
    """As `whalestack.math.windows._ring_volume_ratio`; NaN where it cannot be known."""
    a_minute = walk.points * 60_000 // flow.bar_ms
    minute = bar * (flow.bar_ms // 60_000) + point // a_minute
    passed = (point % a_minute) / a_minute
    shared = minute - 5
    if shared < 0:
        return np.nan
    first = point - point % a_minute
    running = flow.turnover[bar] * turnover_share(walk, bar, first, point)
    total = running + (flow.summed[minute] - flow.summed[shared]) - flow.minutes[shared] * passed
    oldest = shared - HOUR_MINUTES
    known = max(shared - max(oldest + 1, 0), 0) + passed
    hour = flow.summed[shared] - flow.summed[max(oldest + 1, 0)] + flow.minutes[shared] * passed
    if oldest >= 0:
        known += 1 - passed
        hour += flow.minutes[oldest] * (1 - passed)
    if known < LEAST_BASELINE_MINUTES or hour <= 0:
        return np.nan
    return float(total / (hour / known * 5))


@compiled
def _could_trigger(walk: Walk, flow: Flow, bar: int, oi_pct: float, price_pct: float) -> bool:
    """Whether any point of a candle may have moved enough: bounds that no point can exceed."""
    five, fifteen = FIVE_MINUTES // flow.bar_ms, FIFTEEN_MINUTES // flow.bar_ms
    rise = (walk.top[bar] / walk.bottom[bar - five] - 1.0) * 100.0 * _SLACK
    fall = (1.0 - walk.bottom[bar] / walk.top[bar - five]) * 100.0 * _SLACK
    if rise <= price_pct and fall <= price_pct:
        return False
    now = max(flow.interest[bar], flow.interest[bar - 1])
    then = min(flow.interest[bar - fifteen], flow.interest[max(bar - fifteen - 1, 0)])
    # NaN on either side fails neither comparison: the walk decides.
    return not (now / then - 1.0) * 100.0 * _SLACK < oi_pct


@compiled
def find_triggers(
    walk: Walk,
    flow: Flow,
    first_bar: int,
    end_bar: int,
    thresholds: tuple[float, float, float],
    repeat_points: int,
    told: Ints,
    found: Ints,
    ways: Ints,
) -> int:
    """Points at which open interest, volume and price all move enough, told once a way in `repeat_points`.

    Args:
        first_bar, end_bar: candles looked at.
        thresholds: rise of open interest (per cent, 15 minutes), volume ratio, price change (per cent).
        told: (2,) number of the point that was told last of a fall and of a rise; changed in place.
        found, ways: written: point numbers and +1 (up) or -1 (down).

    Returns:
        How many were found.
    """
    oi_pct, ratio, price_pct = thresholds
    five, fifteen = FIVE_MINUTES // flow.bar_ms, FIFTEEN_MINUTES // flow.bar_ms
    count = 0
    for bar in range(max(first_bar, fifteen), end_bar):
        if not _could_trigger(walk, flow, bar, oi_pct, price_pct):
            continue
        for point in range(walk.points):
            number = bar * walk.points + point
            if number - min(told[0], told[1]) < repeat_points:
                continue
            change = (point_price(walk, bar, point) / point_price(walk, bar - five, point) - 1.0) * 100.0
            way = 1 if change > 0 else 0
            if not abs(change) > price_pct or number - told[way] < repeat_points:
                continue
            then = interest_at(walk, flow, bar - fifteen, point)
            if not (interest_at(walk, flow, bar, point) / then - 1.0) * 100.0 >= oi_pct:
                continue
            if not volume_ratio(walk, flow, bar, point) > ratio:
                continue
            found[count], ways[count] = number, 2 * way - 1
            count += 1
            told[way] = number
    return count
