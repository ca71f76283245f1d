"""How far price ran since any refresh, without going through the minutes again, compiled."""

from __future__ import annotations

from typing import NamedTuple

from whalestack.backtest.walk_kernel import Floats, Ints
from whalestack.math.compiling import compiled

LOWS, HIGHS = 0, 1


class Extremes(NamedTuple):
    """The lows that nothing later has undercut, oldest first, and the highs that nothing later has passed.

    Args:
        refreshes: (2, N) whose minutes, those before it, had it; prices: (2, N); counts: (2,).
    """

    refreshes: Ints
    prices: Floats
    counts: Ints


@compiled
def note_extremes(extremes: Extremes, refresh: int, high: float, low: float) -> None:
    """Take the minutes before a refresh."""
    for row, price, sign in ((LOWS, low, 1.0), (HIGHS, high, -1.0)):
        prices, count = extremes.prices[row], extremes.counts[row]
        while count > 0 and (prices[count - 1] - price) * sign >= 0:
            count -= 1
        extremes.refreshes[row, count], prices[count] = refresh, price
        extremes.counts[row] = count + 1


@compiled
def farthest(extremes: Extremes, since: int, is_low: bool, price: float) -> float:
    """The lowest (or highest) price of `price` and the minutes before the refreshes from `since` on."""
    row = LOWS if is_low else HIGHS
    begin, end = 0, extremes.counts[row]
    while begin < end:
        middle = (begin + end) // 2
        if extremes.refreshes[row, middle] < since:
            begin = middle + 1
        else:
            end = middle
    if begin == extremes.counts[row]:
        return price
    found = extremes.prices[row, begin]
    return float(min(price, found) if is_low else max(price, found))
