"""How price is taken to have moved inside a candle.

A candle says where price was, not in which order. The order is stated here once and
used everywhere: a rising candle (close >= open) runs open, low, high, close; a falling
one runs open, high, low, close. Each of the three legs takes time in proportion to its
length, and every leg at least a tenth of the candle; turnover follows the same measure.
"""

from __future__ import annotations

import numpy as np

from whalestack.simulator.market.base import FloatArray, IntArray

_LEAST_LEG = 0.1
"""Least share of a candle's time that a leg takes."""


def corners(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """The four corners of the path in the order they are reached.

    Args:
        open_, high, low, close: prices, any shape S.

    Returns:
        Prices, shape (4, *S): open, first extreme, second extreme, close.
    """
    rising = close >= open_
    return np.stack([open_, np.where(rising, low, high), np.where(rising, high, low), close])


def corner_times(path: FloatArray) -> FloatArray:
    """When the corners are reached, as shares of the candle's time.

    Args:
        path: corners as from `corners`, shape (4, *S).

    Returns:
        Shares 0 to 1, shape (4, *S); the first row is 0, the last 1.
    """
    legs = np.abs(np.diff(path, axis=0))
    total = legs.sum(axis=0)
    even = 1.0 / 3.0
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(total > 0, legs / total, even)
    shares = _LEAST_LEG + (1.0 - 3.0 * _LEAST_LEG) * shares
    return np.concatenate(
        [np.zeros_like(total)[None], np.cumsum(shares, axis=0)[:2], np.ones_like(total)[None]]
    )


def walk_points(
    open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, points: int
) -> tuple[FloatArray, FloatArray]:
    """Price points along the path of one candle for many coins.

    The first point is the open, the last the close, and both extremes are points.

    Args:
        open_, high, low, close: prices, shape (n,).
        points: how many points, at least 4.

    Returns:
        Prices and the share of the candle's turnover that belongs to each point, both
        shape (n, points); shares sum to 1.
    """
    path = corners(open_, high, low, close)
    times = corner_times(path)
    first = np.clip(np.rint(times[1] * (points - 1)), 1, points - 3)
    second = np.clip(np.rint(times[2] * (points - 1)), first + 1, points - 2)
    knots = np.stack([np.zeros_like(first), first, second, np.full_like(first, points - 1)])
    prices = _interpolate(knots, path, np.arange(points, dtype=np.float64))
    return prices, _turnover_shares(prices)


def _interpolate(knots: FloatArray, path: FloatArray, at: FloatArray) -> FloatArray:
    """Piecewise linear values of each coin's path; knots and path (4, n), at (p,) -> (n, p)."""
    leg = (at[None, :] >= knots[1][:, None]).astype(np.int64) + (at[None, :] >= knots[2][:, None])
    rows = np.arange(path.shape[1])[:, None]
    start, end = knots.T[rows, leg], knots.T[rows, leg + 1]
    low, high = path.T[rows, leg], path.T[rows, leg + 1]
    share = (at[None, :] - start) / (end - start)
    return np.asarray(low + (high - low) * share)


def _turnover_shares(prices: FloatArray) -> FloatArray:
    """Half of the turnover evenly, half where price moves; (n, p) -> (n, p)."""
    points = prices.shape[1]
    moved = np.abs(np.diff(prices, axis=1, prepend=prices[:, :1]))
    total = moved.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_move = np.where(total > 0, moved / total, 1.0 / points)
    return np.asarray(0.5 / points + 0.5 * by_move)


def split_candles(bars: FloatArray, parts: int) -> FloatArray:
    """Cut candles into equal parts along the stated path.

    Args:
        bars: rows open, high, low, close, volume, turnover, open interest; shape (7, B).
        parts: how many parts each candle is cut into.

    Returns:
        The same rows for the parts in time order, shape (7, B * parts). Highs and lows of
        the parts reach the candle's own exactly, volume and turnover sum to the candle's.
    """
    path = corners(*bars[:4])
    times = corner_times(path)
    edges = np.linspace(0.0, 1.0, parts + 1)
    at_edges = _interpolate(times, path, edges)
    opens, closes = at_edges[:, :-1], at_edges[:, 1:]
    highs, lows = np.maximum(opens, closes), np.minimum(opens, closes)
    rows = np.arange(path.shape[1])
    for corner in (1, 2):
        part: IntArray = np.minimum((times[corner] * parts).astype(np.int64), parts - 1)
        highs[rows, part] = np.maximum(highs[rows, part], path[corner])
        lows[rows, part] = np.minimum(lows[rows, part], path[corner])
    flow = np.repeat(bars[4:6, :, None] / parts, parts, axis=2)
    interest = np.repeat(bars[6:7, :, None], parts, axis=2)
    stacked = np.concatenate([np.stack([opens, highs, lows, closes]), flow, interest])
    return stacked.reshape(7, -1)
