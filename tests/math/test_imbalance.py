"""Shorts above against longs below, each position once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.heatmap import LevelMap
from whalestack.math.imbalance import aggregate_imbalance, imbalance_of

PRICES = np.linspace(80, 120, 81)  # half a dollar apart; 100 itself is a level


def level_map(values, *, timeframe="7d", price=100.0, time_ms=0):
    return LevelMap(timeframe, price, PRICES, np.asarray(values, float), time_ms)


def at(levels):
    values = np.zeros(PRICES.size)
    for price, usd in levels.items():
        values[np.argmin(np.abs(PRICES - price))] = usd
    return values


def test_by_hand():
    """300 above, 100 below: ratio 300/400 = 0.75, drawn up."""
    result = aggregate_imbalance([level_map(at({90: 100, 105: 200, 110: 100}))], neutral_band_pct=5)
    assert (result.short_usd, result.long_usd) == (300.0, 100.0)
    assert (result.imbalance_ratio, result.direction, result.dominant_usd) == (0.75, "LONG", 300.0)


@pytest.mark.parametrize(
    ("long_usd", "short_usd", "ratio", "direction"),
    [
        (100, 300, 0.75, "LONG"),
        (300, 100, 0.75, "SHORT"),
        (46, 54, 0.54, "NEUTRAL"),
        (45, 55, 0.55, "LONG"),
        (0, 7, 1.0, "LONG"),
        (0, 0, 0.5, "NEUTRAL"),
    ],
)
def test_direction_and_band(long_usd, short_usd, ratio, direction):
    """With a band of 5 the larger side needs 55 %; nothing at all is neutral."""
    result = imbalance_of(long_usd, short_usd, neutral_band_pct=5)
    assert (result.imbalance_ratio, result.direction) == (pytest.approx(ratio), direction)


def test_equal_sides_are_neutral_even_without_a_band():
    """No side is the larger one."""
    assert imbalance_of(5, 5, neutral_band_pct=0).direction == "NEUTRAL"


def test_a_position_in_nine_ranges_counts_once():
    """The same map nine times is that map."""
    one = level_map(at({90: 100, 105: 200}))
    assert aggregate_imbalance([one] * 9, neutral_band_pct=5) == aggregate_imbalance(
        [one], neutral_band_pct=5
    )


values_strategy = st.lists(st.floats(0, 1e9), min_size=81, max_size=81)


@given(values_strategy, values_strategy)
def test_a_shorter_range_adds_nothing_to_the_longer_one_that_contains_it(young, old):
    """7d is part of 30d: the aggregate is the 30d map's."""
    week = level_map(young, timeframe="7d")
    month = level_map(np.array(young) + np.array(old), timeframe="30d")
    together = aggregate_imbalance([week, month], neutral_band_pct=5)
    alone = aggregate_imbalance([month], neutral_band_pct=5)
    assert together.long_usd == pytest.approx(alone.long_usd)
    assert together.short_usd == pytest.approx(alone.short_usd)


@given(st.lists(values_strategy, min_size=1, max_size=4))
def test_never_less_than_any_range_and_never_more_than_what_is_there(layers):
    """Each range sees a part of the positions: whatever the parts, none counts twice.

    The layers are disjoint groups of positions and every range sees some of the layers, so
    the truth is the sum of the layers.
    """
    arrays = [np.array(layer) for layer in layers]
    ranges = [level_map(sum(arrays[: index + 1])) for index in range(len(arrays))]
    ranges += [level_map(array) for array in arrays]
    result = aggregate_imbalance(ranges, neutral_band_pct=5)
    truth = sum(arrays)
    above, below = PRICES > 100, PRICES < 100
    assert result.short_usd <= truth[above].sum() * (1 + 1e-9)
    assert result.long_usd <= truth[below].sum() * (1 + 1e-9)
    for each in ranges:
        assert result.short_usd >= each.values[above].sum() * (1 - 1e-9)
        assert result.long_usd >= each.values[below].sum() * (1 - 1e-9)


@given(values_strategy, st.sampled_from([10.0, 1e-6, 1e5]))
def test_multiplying_every_price_changes_nothing(values, factor):
    """Only ratios of prices are used (the few levels on a cell border are kept off it)."""
    plain = LevelMap("7d", 100.2, PRICES, np.array(values), 0)
    scaled = LevelMap("7d", 100.2 * factor, PRICES * factor, np.array(values), 0)
    first = aggregate_imbalance([plain], neutral_band_pct=5)
    second = aggregate_imbalance([scaled], neutral_band_pct=5)
    assert second.imbalance_ratio == pytest.approx(first.imbalance_ratio)
    assert second.direction == first.direction


def test_ranges_with_levels_of_their_own_count_a_position_about_once():
    """1,000 positions seen by a fine and a coarse map: within 15 % of the truth, both sides alike."""
    rng = np.random.default_rng(5)
    positions = rng.uniform(80, 120, 1000)
    maps = []
    for count, name in ((131, "7d"), (89, "30d")):
        levels = np.linspace(79, 121, count)
        nearest = np.abs(positions[:, None] - levels[None, :]).argmin(axis=1)
        maps.append(LevelMap(name, 100.0, levels, np.bincount(nearest, minlength=count).astype(float), 0))
    result = aggregate_imbalance(maps, neutral_band_pct=5)
    assert 1000 * 0.97 <= result.long_usd + result.short_usd <= 1000 * 1.15
    assert result.imbalance_ratio == pytest.approx(
        max((positions > 100).mean(), (positions < 100).mean()), abs=0.03
    )


def test_the_newest_maps_price_divides_above_from_below():
    """Price rose from 100 to 103 since the older map: what waits at 102 waits below it now."""
    older = level_map(at({102: 50, 110: 10}), time_ms=1)
    newer = level_map(at({110: 10}), price=103.0, time_ms=2)
    result = aggregate_imbalance([older, newer], neutral_band_pct=5)
    assert (result.long_usd, result.short_usd) == (50.0, 10.0)


def test_no_maps_are_neutral():
    """A coin without maps is not ranked by an imbalance it does not have."""
    assert aggregate_imbalance([], neutral_band_pct=5).direction == "NEUTRAL"
