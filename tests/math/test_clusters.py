"""What stands out of a map."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.clusters import find_clusters, level_step, outstanding_value
from whalestack.math.heatmap import LevelMap


def level_map(prices, values, price, timeframe="7d"):
    return LevelMap(timeframe, price, np.array(prices, float), np.array(values, float), 0)


def test_a_cluster_by_hand():
    """Ten levels a dollar apart, price 104.5; median 10, 90th percentile 96.

    Twice the median, 20, is the bar: 102 (40), 107 (90) and 108 (150) stand out. 107 and
    108 are one dollar apart, within 1.5 steps: one cluster, centre
    (107*90 + 108*150) / 240 = 107.625, distance (107-104.5)/104.5 = 2.392 %.
    """
    prices = range(100, 110)
    values = [10, 10, 40, 10, 10, 10, 10, 90, 150, 10]
    clusters = find_clusters(level_map(prices, values, 104.5))
    assert [(c.side, c.price_low, c.price_high, c.value_usd) for c in clusters] == [
        ("long", 102.0, 102.0, 40.0),
        ("short", 107.0, 108.0, 240.0),
    ]
    assert clusters[1].price_center == pytest.approx(107.625)
    assert clusters[1].distance_pct == pytest.approx(2.3923, abs=1e-4)
    assert (clusters[1].near_edge, clusters[1].far_edge) == (107.0, 108.0)
    assert clusters[0].distance_pct == pytest.approx((104.5 - 102) / 104.5 * 100)


def test_a_small_gap_is_bridged_and_what_lies_in_it_counts():
    """Levels 0.1 apart at a price of 100: 0.2 is within 0.25 % of price, 0.4 is not."""
    prices = [101.0, 101.1, 101.2, 101.3, 101.4, 101.5, 101.6, 101.7, 101.8]
    values = [90, 10, 90, 10, 10, 10, 90, 10, 10]
    clusters = find_clusters(level_map(prices, values, 100.0))
    assert [(c.price_low, c.price_high, c.value_usd) for c in clusters] == [
        (101.0, 101.2, 190.0),
        (101.6, 101.6, 90.0),
    ]


def test_a_flat_map_has_no_clusters():
    """Nothing stands out where all is equal."""
    assert find_clusters(level_map(range(1, 50), [5.0] * 49, 25.5)) == ()


def test_a_smooth_map_shows_its_highest_tenth():
    """A ramp 10..30: median 20, no level has 40; the 90th percentile is 28 and over 1.25 medians."""
    values = np.linspace(10, 30, 41)
    assert outstanding_value(values) == pytest.approx(28.0)


def test_one_level_alone_stands_out_and_an_empty_map_has_nothing():
    """There is nothing around a single level that could hide it."""
    assert [c.value_usd for c in find_clusters(level_map([99.0, 101.0], [0, 3], 100.0))] == [3.0]
    assert find_clusters(level_map([], [], 100.0)) == ()
    assert find_clusters(level_map([99.0, 101.0], [0, 0], 100.0)) == ()


def test_a_level_at_the_price_is_nobodys_and_a_cluster_never_spans_it():
    """Above are shorts, below are longs; the band 99.9 to 100.1 is two clusters."""
    prices = [90, 92, 94, 96, 99.9, 100.0, 100.1, 104, 106, 108]
    values = [1, 1, 1, 1, 50, 50, 50, 1, 1, 1]
    clusters = find_clusters(level_map(prices, values, 100.0))
    assert {(c.side, c.price_low, c.price_high) for c in clusters} == {
        ("short", 100.1, 100.1),
        ("long", 99.9, 99.9),
    }


def test_what_is_small_for_the_coin_is_left_out():
    """`min_cluster_usd` is the coin's own, learned."""
    prices, values = range(100, 110), [10, 10, 40, 10, 10, 10, 10, 90, 150, 10]
    clusters = find_clusters(level_map(prices, values, 104.5), min_cluster_usd=100)
    assert [c.value_usd for c in clusters] == [240.0]


def test_empty_levels_may_be_left_out():
    """A stored snapshot drops levels without value; the clusters stay the same."""
    rng = np.random.default_rng(3)
    prices = np.linspace(90, 110, 130)
    values = rng.exponential(1e6, 130) * (rng.random(130) < 0.8)
    full = find_clusters(level_map(prices, values, 100.2))
    held = values > 0
    assert find_clusters(level_map(prices[held], values[held], 100.2)) == full


maps = st.lists(st.floats(0, 1e8), min_size=0, max_size=60)


@given(maps, st.sampled_from([2.0, 1024.0, 2.0**-20]), st.sampled_from([2.0, 2.0**-10, 4096.0]))
def test_scale_invariance(values, price_factor, value_factor):
    """Powers of two change no digit: the same levels cluster whatever the unit of price or value."""
    values = np.array(values) * (np.array(values) > 1e-3)
    prices = np.linspace(80, 120, len(values) or 1)[: len(values)]
    plain = find_clusters(level_map(prices, values, 100.3))
    scaled = find_clusters(level_map(prices * price_factor, values * value_factor, 100.3 * price_factor))
    assert [(c.side, c.distance_pct) for c in scaled] == [(c.side, c.distance_pct) for c in plain]
    assert [c.price_low for c in scaled] == [c.price_low * price_factor for c in plain]
    assert [c.value_usd for c in scaled] == [c.value_usd * value_factor for c in plain]


@given(maps)
def test_clusters_are_apart_on_their_side_and_hold_what_is_there(values):
    """Edges are ordered, the centre lies within them, no value is counted in two clusters."""
    prices = np.linspace(80, 120, len(values) or 1)[: len(values)]
    clusters = find_clusters(level_map(prices, values, 100.3))
    for cluster in clusters:
        assert cluster.price_low <= cluster.price_center <= cluster.price_high
        assert (cluster.side == "short") == (cluster.price_low > 100.3)
        assert cluster.distance_pct > 0
    assert sum(c.value_usd for c in clusters) <= sum(values) * (1 + 1e-9)
    spans = sorted((c.price_low, c.price_high) for c in clusters)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))


def test_level_step_is_not_widened_by_missing_levels():
    """Half of the levels missing still shows the step of the axis."""
    prices = np.delete(np.linspace(100, 200, 101), [3, 7, 8, 20, 21, 22, 50, 77])
    assert level_step(prices) == pytest.approx(1.0)
    assert level_step(np.array([5.0])) == 0.0
