"""Changes over windows, in arrays and tick by tick."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.windows import (
    MarketWindow,
    change_pct,
    forward_fill,
    volume_spike_ratio,
)

nan = float("nan")
MINUTE = 60_000
START = 1_760_875_200_000


def test_change_by_hand():
    """From 100 to 102 in two minutes is 2 %; unknown and zero ends are unknown changes."""
    values = np.array([[100.0, 101.0, 102.0, 50.5], [nan, 10.0, 0.0, 20.0]])
    changes = change_pct(values, 2)
    assert changes[0, 2:].tolist() == [pytest.approx(2.0), pytest.approx(-50.0)]
    assert np.isnan(changes[0, :2]).all()
    assert np.isnan(changes[1, 2])
    assert changes[1, 3] == pytest.approx(100.0)
    assert np.isnan(change_pct(values, 9)).all()


def test_volume_ratio_by_hand():
    """An hour at 10 a minute, then five minutes at 40: 200 over an average of 50 is 4 times."""
    turnover = np.array([[10.0] * 60 + [40.0] * 5])
    assert volume_spike_ratio(turnover)[0, -1] == pytest.approx(4.0)


def test_the_spike_is_not_in_its_own_average():
    """Ten times the usual volume reads as ten times, whatever the length of the spike."""
    turnover = np.array([[1.0] * 60 + [10.0] * 5])
    assert volume_spike_ratio(turnover)[0, -1] == pytest.approx(10.0)


def test_half_an_hour_is_enough_and_less_is_not():
    """A young coin with 30 minutes before the five has an average, with 29 it has none."""
    assert volume_spike_ratio(np.array([[10.0] * 30 + [20.0] * 5]))[0, -1] == pytest.approx(2.0)
    assert np.isnan(volume_spike_ratio(np.array([[10.0] * 29 + [20.0] * 5]))[0, -1])
    assert np.isnan(volume_spike_ratio(np.array([[0.0] * 60 + [20.0] * 5]))[0, -1])


def test_a_gap_in_the_five_minutes_is_an_unknown_ratio():
    """A minute that is missing in the hour before only makes its average rest on fewer."""
    turnover = np.array([[nan] + [10.0] * 59 + [20.0] * 5 + [nan] + [20.0] * 5])
    ratios = volume_spike_ratio(turnover)[0]
    assert ratios[64] == pytest.approx(2.0)
    assert np.isnan(ratios[65:70]).all()
    assert ratios[70] == pytest.approx(20.0 / (54 * 10.0 + 5 * 20.0) * 59)


def test_forward_fill_carries_for_a_while():
    """Two minutes at most: the third unknown minute stays unknown."""
    filled = forward_fill(np.array([[nan, 5.0, nan, nan, nan, 7.0]]), 2)
    np.testing.assert_array_equal(filled, [[nan, 5.0, 5.0, 5.0, nan, 7.0]])


def fed_window(prices, interest=None, turnover=None):
    """One tick at each minute's start, and one bar a minute."""
    window = MarketWindow()
    for index, price in enumerate(prices):
        ts_ms = START + index * MINUTE
        window.add_tick("X", ts_ms, price, interest[index] if interest is not None else None)
        window.add_bar("X", ts_ms, turnover[index] if turnover is not None else 1.0)
    return window, START + (len(prices) - 1) * MINUTE


def test_ring_by_hand():
    """70 flat minutes, then 101 and 105 with open interest 1000 to 1050.

    One minute: 105/101; five minutes: 105/100; open interest 1050/1000 is +5 %.
    """
    window, now_ms = fed_window([100.0] * 70 + [101.0, 105.0], [1000.0] * 71 + [1050.0])
    move = window.move("X", now_ms)
    assert move is not None
    assert move.price == 105.0
    assert move.price_change_1m_pct == pytest.approx((105 / 101 - 1) * 100)
    assert move.price_change_5m_pct == pytest.approx(5.0)
    assert move.oi_change_15m_pct == pytest.approx(5.0)


def test_ring_ratio_counts_the_open_minute_for_its_passed_part():
    """Half of a minute has brought 20, minutes before 10: 20 + 4*10 + half of 10 = 65 over 50."""
    window, now_ms = fed_window([100.0] * 70, turnover=[10.0] * 69 + [20.0])
    move = window.move("X", now_ms + MINUTE // 2)
    assert move is not None
    assert move.volume_spike_ratio == pytest.approx(65 / 50)


@given(
    st.lists(st.floats(0.5, 2), min_size=80, max_size=80),
    st.lists(st.floats(1, 100), min_size=80, max_size=80),
)
def test_ring_and_arrays_agree(prices, turnover):
    """At a minute's turn the stream's ring and the scanner's arrays see the same move."""
    window, now_ms = fed_window(prices, prices, turnover)
    move = window.move("X", now_ms)
    assert move is not None
    values = np.array([prices])
    assert move.price_change_1m_pct == pytest.approx(change_pct(values, 1)[0, -1])
    assert move.price_change_5m_pct == pytest.approx(change_pct(values, 5)[0, -1])
    assert move.oi_change_15m_pct == pytest.approx(change_pct(values, 15)[0, -1])
    # The last minute has only begun: a moment before its end it counts whole.
    at_end = window.move("X", now_ms + MINUTE - 1)
    assert at_end is not None
    assert at_end.volume_spike_ratio == pytest.approx(
        volume_spike_ratio(np.array([turnover]))[0, -1], rel=1e-3
    )


def test_a_gap_makes_a_change_unknown():
    """After ten silent minutes the price of five minutes ago is not known; of now it is."""
    window, now_ms = fed_window([100.0] * 70, [1000.0] * 70)
    later = now_ms + 10 * MINUTE
    assert window.move("X", later) is None
    window.add_tick("X", later, 150.0)
    move = window.move("X", later)
    assert move is not None
    assert (move.price, move.price_change_1m_pct, move.price_change_5m_pct) == (150.0, None, None)
    assert move.oi_change_15m_pct is None


def test_warm_up_fills_the_windows_at_once():
    """70 bars and open interest every five minutes stand for an hour of watching."""
    window = MarketWindow()
    bars = [(START + i * MINUTE, 100.0, 10.0) for i in range(70)]
    interest = [(START + i * 5 * MINUTE, 1000.0) for i in range(14)]
    window.warm_up("X", bars, interest)
    now_ms = START + 70 * MINUTE
    window.add_tick("X", now_ms, 103.0, 1040.0)
    move = window.move("X", now_ms)
    assert move is not None
    assert move.price_change_5m_pct == pytest.approx(3.0)
    assert move.oi_change_15m_pct == pytest.approx(4.0)
    assert move.volume_spike_ratio == pytest.approx(1.0)


def test_ticks_out_of_order_and_bad_prices_are_left_out():
    """A late tick must not become the present price, nor must a zero."""
    window, now_ms = fed_window([100.0, 101.0])
    window.add_tick("X", now_ms - 1, 50.0)
    window.add_tick("X", now_ms + 1, 0.0)
    move = window.move("X", now_ms)
    assert move is not None
    assert move.price == 101.0


def test_an_unknown_or_forgotten_coin_has_no_move():
    """None, not an exception."""
    window, now_ms = fed_window([100.0])
    window.forget("X")
    assert window.move("X", now_ms) is None


def test_memory_is_bounded():
    """A day of ticks at ten a second keeps a quarter of an hour."""
    window = MarketWindow()
    for index in range(20_000):
        window.add_tick("X", START + index * 1000, 100.0 + index % 7, 1000.0)
        window.add_bar("X", START + index * 1000, 1.0)
    coin = window._coins["X"]
    assert len(coin.prices.times) < 1000
    assert len(coin.interest.times) < 1000
    assert len(coin.bars) <= 131
