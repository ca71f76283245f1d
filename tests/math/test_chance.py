"""Intervals against published values, and what repeated observations are worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.chance import independent_observations, newcombe, share_of, wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(hits, n, low, high):
    """Newcombe 1998, Statistics in Medicine 17:857, table I, method 3."""
    share = wilson(hits / n, n)
    assert (round(share.low, 4), round(share.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_difference_as_published(first, second, low, high):
    """Newcombe 1998, Statistics in Medicine 17:873, table II, method 10."""
    shares = [wilson(hits / n, n) for hits, n in (first, second)]
    difference = newcombe(*shares)
    assert (round(difference.low, 4), round(difference.high, 4)) == (low, high)


@given(st.floats(0, 1), st.floats(0, 1e6))
def test_the_interval_holds_its_share(rate, n):
    """0 <= low <= rate <= high <= 1, for any number of observations."""
    share = wilson(rate, n)
    assert 0 <= share.low <= rate <= share.high <= 1


def test_without_observations_nothing_is_known():
    """Neither of a share nor of a difference."""
    assert (wilson(0.0, 0).low, wilson(0.0, 0).high) == (0.0, 1.0)
    nothing = share_of(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))
    assert newcombe(nothing, nothing).low == -1.0


@pytest.mark.parametrize(("rate", "n"), [(-0.1, 5), (1.1, 5), (0.5, -1), (float("nan"), 5)])
def test_what_is_no_share_is_refused(rate, n):
    """Neither below 0 nor above 1 nor of fewer than none."""
    with pytest.raises(ValueError, match="no share"):
        wilson(rate, n)


def test_coins_that_rise_and_fall_together_are_one_observation_a_period():
    """50 coins in 10 periods, in each all hit or none: about ten experiments, not 500."""
    periods = np.repeat(np.arange(10), 50)
    together = (periods % 2).astype(float)
    n = independent_observations(together, np.ones(500), periods)
    assert 8 <= n <= 11


def test_independent_coins_keep_their_number():
    """2,000 coins that know nothing of each other."""
    rng = np.random.default_rng(4)
    n = independent_observations(
        (rng.random(20_000) < 0.3).astype(float), np.ones(20_000), np.arange(20_000) % 200
    )
    assert 14_000 <= n <= 20_000


def test_a_split_vote_is_one_vote():
    """Ten clusters of a tenth each count as one, whatever they say."""
    share = share_of(np.ones(20), np.full(20, 0.1), np.repeat([0, 1], 10))
    assert share.n == pytest.approx(2.0)


def test_one_period_is_one_observation():
    """Nothing can be said of how periods differ from a single one."""
    assert independent_observations(np.array([1.0, 0.0]), np.ones(2), np.zeros(2, dtype=np.int64)) == 1.0
