"""What is wrong with candles, what is done about it, and how often: the rules of bad input.

| what | rule |
|---|---|
| rows out of order | sorted |
| the same row twice | one is kept |
| two rows of one moment that differ | the one with the larger volume is kept |
| a moment off the interval's grid | the row is dropped |
| a moment without a time zone | UTC |
| a price that is not above zero or not a number | the row is dropped |
| a negative or unknown volume | 0 |
| a high below open or close, a low above them | widened to hold them |
| a high below the low | the row is dropped |
| a hole | filled with the last close and no volume |
| a hole of more than a week | the coin is refused |
| rows of several time zones | refused |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whalestack.errors import StopAndTell
from whalestack.math.heatmap import Floats, Ints

OPEN, HIGH, LOW, CLOSE, VOLUME, TURNOVER = range(6)
LONGEST_HOLE_MS = 7 * 86_400_000


@dataclass(frozen=True, eq=False)
class Rows:
    """Candles of one coin and one interval.

    Args:
        start_ms: (N,) opening moments.
        values: (6, N) open, high, low, close, volume (base), turnover (USD).
    """

    start_ms: Ints
    values: Floats

    def part(self, keep: NDArray[np.bool_] | Ints | slice) -> Rows:
        """Some of the rows."""
        return Rows(self.start_ms[keep], self.values[:, keep])

    def __len__(self) -> int:
        return len(self.start_ms)


@dataclass
class Repairs:
    """How often each rule was needed, by coin."""

    by_symbol: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, symbol: str, rule: str, times: int) -> None:
        """Note that a rule was needed."""
        if times:
            self.by_symbol.setdefault(symbol, Counter())[rule] += times

    def totals(self) -> Mapping[str, int]:
        """Over all coins, by rule."""
        total: Counter[str] = Counter()
        for each in self.by_symbol.values():
            total.update(each)
        return dict(sorted(total.items()))


def repaired(symbol: str, rows: Rows, interval_s: int, repairs: Repairs) -> Rows:
    """The rows as the rules above leave them: on the grid, in order, without holes.

    Raises:
        StopAndTell: nothing is left, or a hole is too long.
    """
    step_ms = interval_s * 1000
    rows = _usable(symbol, rows, step_ms, repairs)
    rows = _in_order(symbol, rows, repairs)
    if not len(rows):
        raise StopAndTell(f"{symbol}: no usable candle of {interval_s} s")
    return _filled(symbol, rows, step_ms, repairs)


def _usable(symbol: str, rows: Rows, step_ms: int, repairs: Repairs) -> Rows:
    off = rows.start_ms % step_ms != 0
    repairs.count(symbol, "off the grid", int(off.sum()))
    rows = rows.part(~off)
    prices = rows.values[:VOLUME]
    bad = ~(np.isfinite(prices) & (prices > 0)).all(axis=0)
    repairs.count(symbol, "bad price", int(bad.sum()))
    turned = ~bad & (rows.values[HIGH] < rows.values[LOW])
    repairs.count(symbol, "high below low", int(turned.sum()))
    rows = rows.part(~bad & ~turned)
    values = rows.values.copy()
    unknown = ~(values[VOLUME:] >= 0) | ~np.isfinite(values[VOLUME:])
    repairs.count(symbol, "bad volume", int(unknown.any(axis=0).sum()))
    values[VOLUME:][unknown] = 0.0
    body_top = np.maximum(values[OPEN], values[CLOSE])
    body_bottom = np.minimum(values[OPEN], values[CLOSE])
    narrow = (values[HIGH] < body_top) | (values[LOW] > body_bottom)
    repairs.count(symbol, "range widened", int(narrow.sum()))
    values[HIGH], values[LOW] = np.maximum(values[HIGH], body_top), np.minimum(values[LOW], body_bottom)
    return Rows(rows.start_ms, values)


def _in_order(symbol: str, rows: Rows, repairs: Repairs) -> Rows:
    repairs.count(symbol, "out of order", int((np.diff(rows.start_ms) < 0).sum()))
    # By moment, and of one moment the largest volume first.
    rows = rows.part(np.lexsort((-rows.values[VOLUME], rows.start_ms)))
    again = np.zeros(len(rows), dtype=bool)
    again[1:] = np.diff(rows.start_ms) == 0
    same = again.copy()
    same[1:] &= (rows.values[:, 1:] == rows.values[:, :-1]).all(axis=0)
    repairs.count(symbol, "duplicate", int(same.sum()))
    repairs.count(symbol, "contradicting duplicate", int((again & ~same).sum()))
    return rows.part(~again)


def _filled(symbol: str, rows: Rows, step_ms: int, repairs: Repairs) -> Rows:
    longest_ms = int(np.diff(rows.start_ms).max(initial=0))
    if longest_ms > max(LONGEST_HOLE_MS, step_ms):
        raise StopAndTell(
            f"{symbol}: a hole of {longest_ms / 86_400_000:.1f} days in candles of {step_ms // 1000} s"
        )
    steps = (rows.start_ms - rows.start_ms[0]) // step_ms
    total = int(steps[-1]) + 1
    repairs.count(symbol, "hole filled", total - len(rows))
    if total == len(rows):
        return rows
    source = np.searchsorted(steps, np.arange(total), side="right") - 1
    values = rows.values[:, source].copy()
    made = np.ones(total, dtype=bool)
    made[steps] = False
    values[OPEN:VOLUME, made] = values[CLOSE, made]
    values[VOLUME:, made] = 0.0
    return Rows(rows.start_ms[0] + step_ms * np.arange(total, dtype=np.int64), values)
