"""Floors and learned thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from whalestack.math.triggers import (
    MarketMove,
    MoveHistory,
    TriggerThresholds,
    is_mover,
    is_spike,
    is_trigger,
    learn_thresholds,
    missing_conditions,
)

FLOORS = TriggerThresholds(3.0, 1.5, 1.0, 2.0, 5.0)


def move(one=0.0, five=0.0, oi=0.0, ratio=1.0):
    return MarketMove(one, five, oi, ratio)


@pytest.mark.parametrize(
    ("five", "oi", "ratio", "direction", "expected"),
    [
        (1.01, 3.0, 1.51, "LONG", True),
        (-1.01, 3.0, 1.51, "SHORT", True),
        (-1.01, 3.0, 1.51, "LONG", False),  # the wrong way
        (1.0, 3.0, 1.51, "LONG", False),  # over 1 %, not 1 %
        (1.01, 2.99, 1.51, "LONG", False),
        (1.01, 3.0, 1.5, "LONG", False),  # over 1.5 times
        (1.01, -5.0, 1.51, "LONG", False),  # open interest must rise
        (None, 3.0, 1.51, "LONG", False),
        (1.01, None, 1.51, "LONG", False),
        (1.01, 3.0, None, "LONG", False),
    ],
)
def test_all_three_conditions(five, oi, ratio, direction, expected):
    """Open interest +3 %, volume over 1.5 times, price over 1 % in the ranked direction."""
    assert is_trigger(MarketMove(0.0, five, oi, ratio), direction, FLOORS) is expected


def test_what_is_missing_is_said_with_its_figures():
    """One clause for each failed condition."""
    assert missing_conditions(MarketMove(0.0, -2.0, 4.0, None), "LONG", FLOORS) == (
        "volume unknown, 1.50 times needed",
        "price toward LONG -2.00 %, 1.00 % needed",
    )


@pytest.mark.parametrize(
    ("one", "five", "expected"),
    [(2.0, 0, True), (-2.0, 0, True), (1.9, 4.9, False), (0, -5.0, True), (None, None, False)],
)
def test_movers(one, five, expected):
    """2 % in 1 minute or 5 % in 5, either way."""
    assert is_mover(MarketMove(one, five, None, None), FLOORS) is expected


@pytest.mark.parametrize(
    ("oi", "ratio", "expected"), [(3.0, 1.0, True), (-3.0, 1.0, True), (2.9, 1.5, False), (None, 1.6, True)]
)
def test_spikes(oi, ratio, expected):
    """Open interest or volume alone is enough for a re-fetch."""
    assert is_spike(MarketMove(None, None, oi, ratio), FLOORS) is expected


def history(scale):
    values = np.linspace(-1, 1, 201) * scale
    return MoveHistory(values, values * 4, values * 2, np.abs(values) + 1)


def test_thresholds_by_hand():
    """201 even values from -10 to 10. Of their sizes (0 to 10, each but 0 twice) the 95th
    percentile is 9.5; signed it is 9.0. Open interest counts signed and doubled: 18."""
    learned = learn_thresholds(history(10), floors=FLOORS, quantile=0.95, min_observations=60)
    assert learned.mover_1m_pct == pytest.approx(9.5)
    assert learned.mover_5m_pct == learned.price_change_pct == pytest.approx(38.0)
    assert learned.oi_change_pct == pytest.approx(18.0)
    assert learned.volume_ratio == pytest.approx(10.5)


def test_a_quiet_coin_keeps_the_floors():
    """Its own habits would ask for less than any coin must reach."""
    assert learn_thresholds(history(0.1), floors=FLOORS, quantile=0.95, min_observations=60) == FLOORS


def test_too_few_observations_keep_the_floors():
    """Unknown moments (NaN) are no observations."""
    past = history(10)
    unknown = np.full(150, np.nan)
    gaps = MoveHistory(*(np.concatenate([unknown, each[:50]]) for each in (
        past.price_change_1m_pct, past.price_change_5m_pct, past.oi_change_15m_pct, past.volume_spike_ratio
    )))  # fmt: skip
    assert learn_thresholds(gaps, floors=FLOORS, quantile=0.95, min_observations=60) == FLOORS
