"""How far candles reach beyond their bodies."""

from __future__ import annotations

import numpy as np
import pytest

from whalestack.math.wicks import wick_statistics, wicks_down_pct, wicks_up_pct


def test_wicks_by_hand():
    """Open 100, close 102: high 104.04 is 2 % over 102; low 97 is 3 % under 100."""
    opens, closes = np.array([100.0, 102.0]), np.array([102.0, 100.0])
    assert wicks_up_pct(opens, np.array([104.04, 102.0]), closes).tolist() == [pytest.approx(2.0), 0.0]
    assert wicks_down_pct(opens, np.array([97.0, 100.0]), closes).tolist() == [pytest.approx(3.0), 0.0]


def test_quantiles_by_hand():
    """Wicks up of 0, 1, .. 10 %: the 90 % quantile of eleven even values is 9; down there are none."""
    opens = closes = lows = np.full(11, 100.0)
    highs = 100.0 + np.arange(11)
    statistics = wick_statistics(opens, highs, lows, closes, quantile=0.9)
    assert statistics is not None
    assert (statistics.wick_up_pct, statistics.wick_down_pct) == (pytest.approx(9.0), 0.0)
    assert statistics.observations == 11


def test_candles_that_are_none_are_left_out():
    """A zero low, a high below its low and NaN are not facts about the coin."""
    opens = closes = np.array([100.0, 100.0, 100.0, 100.0])
    highs = np.array([105.0, 90.0, np.nan, 101.0])
    lows = np.array([0.0, 95.0, 99.0, 100.0])
    statistics = wick_statistics(opens, highs, lows, closes)
    assert statistics is not None
    assert (statistics.observations, statistics.wick_up_pct) == (1, pytest.approx(1.0))
    assert wick_statistics(opens[:1], highs[:1], lows[:1], closes[:1]) is None
