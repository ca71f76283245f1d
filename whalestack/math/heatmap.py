"""What a heat map says now: its last column, and the 14-day map that nobody serves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whalestack.math.timeframes import DAY_S

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LevelMap:
    """What stands in one coin's map of one range at one time.

    Args:
        timeframe: the range.
        price: the coin's price when the map was taken.
        prices: (L,) price levels, ascending, in the unit of `price`.
        values: (L,) USD that waits at each level, not negative.
        map_time_ms: market ms at which the source computed it.
        derived: computed from another range.
    """

    timeframe: str
    price: float
    prices: Floats
    values: Floats
    map_time_ms: int
    derived: bool = False

    def __post_init__(self) -> None:
        if self.prices.shape != self.values.shape or self.prices.ndim != 1:
            raise ValueError(
                f"{self.timeframe} map: {self.prices.shape} prices against {self.values.shape} values"
            )
        # NaN fails this comparison as well.
        if not (np.diff(self.prices) >= 0).all():
            raise ValueError(f"{self.timeframe} map: the levels do not ascend")
        if not self.price > 0:
            raise ValueError(f"{self.timeframe} map: the price {self.price} is not above zero")


def last_column(y_axis: ArrayLike, xs: ArrayLike, ys: ArrayLike, values: ArrayLike, n_columns: int) -> Floats:
    """What is outstanding now. Each column is a snapshot, so columns are never summed.

    The newest column with any cell counts, but it must be the last or the one before it
    (just after a column has turned, the live one may still be empty). An older one is
    history: then nothing is known to stand and all is zero.

    Args:
        y_axis: (L,) price levels.
        xs: (N,) column of each cell, 0 to n_columns - 1.
        ys: (N,) level of each cell, 0 to L - 1.
        values: (N,) USD of each cell.
        n_columns: number of columns (candles) of the map.

    Returns:
        (L,) USD at each level; a level without a cell has 0.

    Raises:
        ValueError: a cell lies outside the map, or a value is negative or not a number.
    """
    levels, columns, rows, amounts = _checked(y_axis, xs, ys, values, n_columns)
    current = np.zeros(levels, dtype=np.float64)
    if columns.size == 0 or (newest := int(columns.max())) < n_columns - 2:
        return current
    here = columns == newest
    current[rows[here]] = amounts[here]
    return current


def derive_14d(
    y_axis: ArrayLike,
    xs: ArrayLike,
    ys: ArrayLike,
    values: ArrayLike,
    column_times_ms: ArrayLike,
    now_ms: int,
) -> Floats:
    """The 14d map out of the 30d map's cells.

    What stands at a level now, less the smallest value the level had in the last 14 days:
    what stood there all the time is older than 14 days. A level absent from a column had
    0 there. Where the map itself begins less than 14 days ago, all of it is younger.

    Args:
        y_axis, xs, ys, values: as in `last_column`.
        column_times_ms: (C,) start of each column, market ms, ascending.
        now_ms: market ms.

    Returns:
        (L,) USD at each level, between 0 and what stands there now.

    Raises:
        ValueError: as in `last_column`.
    """
    times = np.asarray(column_times_ms, dtype=np.int64)
    now = last_column(y_axis, xs, ys, values, times.size)
    since_ms = now_ms - 14 * DAY_S * 1000
    first = int(np.searchsorted(times, since_ms))
    if first == 0 or times.size == 0:
        return now
    levels, columns, rows, amounts = _checked(y_axis, xs, ys, values, times.size)
    newest = int(columns.max()) if columns.size else 0
    inside = columns >= first
    dense = np.zeros((levels, max(newest - first + 1, 1)), dtype=np.float64)
    dense[rows[inside], columns[inside] - first] = amounts[inside]
    younger: Floats = np.maximum(now - dense.min(axis=1), 0.0)
    return younger


def _checked(
    y_axis: ArrayLike, xs: ArrayLike, ys: ArrayLike, values: ArrayLike, n_columns: int
) -> tuple[int, Ints, Ints, Floats]:
    levels = np.asarray(y_axis).size
    columns = np.asarray(xs, dtype=np.int64)
    rows = np.asarray(ys, dtype=np.int64)
    amounts = np.asarray(values, dtype=np.float64)
    if not columns.shape == rows.shape == amounts.shape:
        raise ValueError(f"cells of {columns.size} columns, {rows.size} levels, {amounts.size} values")
    if columns.size:
        _check_inside(columns, n_columns, "column")
        _check_inside(rows, levels, "level")
        # NaN fails the comparison as well, infinity the second one.
        if not (amounts.min() >= 0 and amounts.max() < np.inf):
            raise ValueError("a cell's value is negative or not a number")
    return levels, columns, rows, amounts


def _check_inside(indices: Ints, size: int, what: str) -> None:
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= size:
        raise ValueError(f"a cell's {what} is {low if low < 0 else high}, the map has {size}")
