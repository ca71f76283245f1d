"""The rule that derives open interest from turnover and movement."""

from __future__ import annotations

import numpy as np

from whalestack.simulator.market.open_interest import OpenInterestState, base_interest, fade_over
from whalestack.simulator.market.store import Source, join_sources

T0 = 1_760_832_000_000
RATE = np.array([1.0])


def settled() -> OpenInterestState:
    """A coin that has turned over 1 a candle without moving."""
    state = OpenInterestState(1)
    state.step(RATE, np.array([0.0]), 1.0)
    return state


def test_a_burst_with_a_move_raises_it_by_per_cents() -> None:
    """Turnover at 3 times its mean, a move of 2 %: 1.2 * (3 - 1) * 2 = 4.8 %."""
    assert np.isclose(np.log(1.048), settled().step(3 * RATE, np.array([2.0]), 1.0)[0])


def test_one_candle_raises_it_by_eight_per_cent_at_most() -> None:
    assert np.isclose(np.log(1.08), settled().step(50 * RATE, np.array([9.0]), 1.0)[0])


def test_a_move_without_a_burst_changes_nothing() -> None:
    assert 0.0 == settled().step(RATE, np.array([2.0]), 1.0)[0]


def test_a_burst_against_the_past_hour_closes_positions() -> None:
    """After +2 % a burst of -2 % at 3 times the mean takes away half of what it would add: 2.4 %."""
    state = settled()
    state.step(RATE, np.array([2.0]), 1.0)
    before = state.distance[0]
    assert np.isclose(np.log(1 - 0.024), state.step(3 * RATE, np.array([-2.0]), 1.0)[0] - before)


def test_quiet_halves_the_distance_in_eight_hours() -> None:
    fade = float(fade_over(np.array([8 * 3_600_000]))[0])
    state = settled()
    raised = state.step(3 * RATE, np.array([2.0]), 1.0)[0]
    assert np.isclose(raised / 2, state.step(RATE, np.array([0.0]), fade)[0])


def test_the_base_is_two_fifths_of_a_days_turnover() -> None:
    """288 candles of 1,000 USD at a price of 2: 0.4 * 288,000 / 2 coins."""
    start = T0 + 300_000 * np.arange(288, dtype=np.int64)
    price, flow = np.full((1, 288), 2.0), np.full((1, 288), 1000.0)
    past = join_sources([Source(300, start, np.stack([price] * 4 + [flow / 2, flow, price]))])
    assert np.allclose([57_600.0], base_interest(past))
