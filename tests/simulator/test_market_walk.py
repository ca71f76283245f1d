"""The stated order in which price runs inside a candle."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whalestack.simulator.market.walk import corner_times, corners, split_candles, walk_points

prices = st.floats(0.001, 100_000.0)


@st.composite
def candles(draw: st.DrawFn) -> np.ndarray:
    """One candle as (open, high, low, close)."""
    inner = sorted(draw(st.tuples(prices, prices, prices, prices)))
    low, one, two, high = inner
    return np.array([one, high, low, two] if draw(st.booleans()) else [two, high, low, one])


def test_a_rising_candle_runs_open_low_high_close() -> None:
    path = corners(*(np.array([number]) for number in (10.0, 13.0, 9.0, 12.0)))
    assert [10.0, 9.0, 13.0, 12.0] == path[:, 0].tolist()


def test_a_falling_candle_runs_open_high_low_close() -> None:
    path = corners(*(np.array([number]) for number in (12.0, 13.0, 9.0, 10.0)))
    assert [12.0, 13.0, 9.0, 10.0] == path[:, 0].tolist()


def test_a_leg_takes_time_by_its_length_and_at_least_a_tenth() -> None:
    """Legs of 1, 4 and 5: shares 0.1 + 0.7 * (0.1, 0.4, 0.5) = 0.17, 0.38, 0.45."""
    path = np.array([[10.0], [9.0], [13.0], [8.0]])
    assert np.allclose([0.0, 0.17, 0.55, 1.0], corner_times(path)[:, 0])


@given(candles(), st.integers(4, 80))
def test_points_begin_at_the_open_end_at_the_close_and_reach_both_extremes(
    candle: np.ndarray, points: int
) -> None:
    """So a stop anywhere inside the candle is seen, and nothing outside it."""
    path, shares = walk_points(*(np.array([number]) for number in candle), points)
    assert candle[0] == path[0, 0]
    assert np.isclose(candle[3], path[0, -1], rtol=1e-12)
    assert np.isclose(candle[1], path.max(), rtol=1e-12)
    assert np.isclose(candle[2], path.min(), rtol=1e-12)
    assert np.isclose(1.0, shares.sum())
    assert shares.min() >= 0


@given(candles(), st.integers(1, 12))
def test_parts_of_a_candle_join_to_the_candle(candle: np.ndarray, parts: int) -> None:
    """Open, extremes and close come back, and no volume is made or lost."""
    bars = np.array([*candle, 60.0, 600.0, 5.0])[:, None]
    cut = split_candles(bars, parts)
    assert candle[0] == cut[0, 0]
    assert np.isclose(candle[3], cut[3, -1], rtol=1e-12)
    assert np.isclose(candle[1], cut[1].max(), rtol=1e-12)
    assert np.isclose(candle[2], cut[2].min(), rtol=1e-12)
    assert np.isclose(60.0, cut[4].sum())
    assert np.isclose(600.0, cut[5].sum())
    assert (cut[1] >= np.maximum(cut[0], cut[3])).all()
    assert (cut[2] <= np.minimum(cut[0], cut[3])).all()
