"""What a heat map says now, and the derived 14-day map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.heatmap import LevelMap, derive_14d, last_column
from whalestack.math.timeframes import (
    DAY_S,
    GEOMETRY,
    SERVED_TIMEFRAMES,
    TIMEFRAMES,
    horizon_s,
    may_trade_range,
)

Y = [100.0, 101.0, 102.0]
DAY_MS = DAY_S * 1000


def test_current_state_is_the_last_column_alone():
    """Columns are snapshots: 5 and 7 in earlier columns are history, not part of the sum."""
    xs, ys, values = [0, 1, 2, 2], [0, 0, 0, 2], [5.0, 7.0, 3.0, 4.0]
    assert last_column(Y, xs, ys, values, 3).tolist() == [3.0, 0.0, 4.0]


def test_order_of_cells_does_not_matter():
    """Models order their cells differently; the last column is found by its index."""
    xs, ys, values = [2, 0, 1, 2], [2, 0, 0, 0], [4.0, 5.0, 7.0, 3.0]
    assert last_column(Y, xs, ys, values, 3).tolist() == [3.0, 0.0, 4.0]


def test_a_column_that_has_just_turned_is_bridged_and_an_older_one_is_not():
    """Cells only in the last but one column still stand; older ones say nothing about now."""
    assert last_column(Y, [1], [1], [6.0], 3).tolist() == [0.0, 6.0, 0.0]
    assert last_column(Y, [0], [1], [6.0], 3).tolist() == [0.0, 0.0, 0.0]
    assert last_column(Y, [], [], [], 3).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("xs", "ys", "values"),
    [([3], [0], [1.0]), ([-1], [0], [1.0]), ([0], [3], [1.0]), ([0], [-1], [1.0]), ([0, 1], [0], [1.0])],
)
def test_a_cell_outside_the_map_is_refused(xs, ys, values):
    """An index beyond the axes, or lists of unequal length, is no heat map."""
    with pytest.raises(ValueError, match="cell"):
        last_column(Y, xs, ys, values, 3)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_value_that_is_no_amount_is_refused(value):
    """Negative, infinite and missing amounts of USD are not stored as facts."""
    with pytest.raises(ValueError, match="value"):
        last_column(Y, [2], [0], [value], 3)


def test_14d_is_what_stands_now_less_the_least_of_the_last_14_days():
    """By hand, columns 10 days apart, now is day 40: the last 14 days hold day 30 and day 40.

    level 100: 9 at day 20 (too old to count), 5 at day 30, 8 now -> 8 - 5 = 3
    level 101: nothing at day 30, 4 now -> 4 - 0 = 4
    level 102: 6 at day 30, 2 now -> 2 - 2 = 0
    """
    times = [day * DAY_MS for day in (0, 10, 20, 30, 40)]
    cells = [(2, 0, 9.0), (3, 0, 5.0), (4, 0, 8.0), (4, 1, 4.0), (3, 2, 6.0), (4, 2, 2.0)]
    xs, ys, values = zip(*cells, strict=True)
    assert derive_14d(Y, xs, ys, values, times, 40 * DAY_MS).tolist() == [3.0, 4.0, 0.0]


def test_14d_of_a_map_that_begins_later_is_all_that_stands():
    """A coin listed 10 days ago has no position older than 14 days."""
    times = [30 * DAY_MS, 35 * DAY_MS, 40 * DAY_MS]
    derived = derive_14d(Y, [0, 1, 2], [0, 0, 0], [5.0, 5.0, 5.0], times, 40 * DAY_MS)
    assert derived.tolist() == [5.0, 0.0, 0.0]


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 2), st.floats(0, 1e9)), max_size=120))
def test_14d_lies_between_zero_and_what_stands_now(cells):
    """Whatever the map, the younger part is a part."""
    unique = {(x, y): value for x, y, value in cells}
    xs, ys = [x for x, _ in unique], [y for _, y in unique]
    times = [day * DAY_MS for day in range(30)]
    derived = derive_14d(Y, xs, ys, list(unique.values()), times, 29 * DAY_MS)
    now = last_column(Y, xs, ys, list(unique.values()), 30)
    assert (derived >= 0).all()
    assert (derived <= now).all()


def test_a_level_map_needs_a_value_for_each_level_and_a_price():
    """Unequal arrays, a price of zero and levels out of order are no map."""
    with pytest.raises(ValueError, match="prices against"):
        LevelMap("24h", 100.0, np.array([1.0]), np.array([]), 0)
    with pytest.raises(ValueError, match="price"):
        LevelMap("24h", 0.0, np.array([1.0]), np.array([1.0]), 0)
    for levels in ([2.0, 1.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="ascend"):
            LevelMap("24h", 1.0, np.array(levels), np.ones(2), 0)


def test_ranges_are_the_nine_of_the_design():
    """14d is the only derived one; each range's geometry covers its span."""
    assert TIMEFRAMES == ("12h", "24h", "3d", "7d", "14d", "30d", "90d", "180d", "1y")
    assert set(TIMEFRAMES) - set(SERVED_TIMEFRAMES) == {"14d"}
    spans = {name: GEOMETRY[name].span_s / DAY_S for name in TIMEFRAMES}
    assert spans == {
        "12h": 0.5, "24h": 1, "3d": 3, "7d": 7, "14d": 14, "30d": 31, "90d": 90, "180d": 180, "1y": 360,
    }  # fmt: skip


def test_a_cluster_is_judged_over_its_range_but_at_most_30_days():
    """12h: half a day; 1y: 30 days."""
    assert (horizon_s("12h"), horizon_s("7d"), horizon_s("1y")) == (43_200, 604_800, 2_592_000)


@pytest.mark.parametrize(
    ("timeframe", "hits", "observations", "expected"),
    [
        ("7d", 0, 0, True),
        ("1y", 0, 100, True),
        ("24h", 23, 30, True),
        ("24h", 22, 30, False),
        ("24h", 29, 29, False),
    ],
)
def test_short_ranges_need_a_record(timeframe, hits, observations, expected):
    """23 of 30 is 77 %, 22 of 30 is 73 %; 29 observations are not 30."""
    assert (
        may_trade_range(
            timeframe, hits=hits, observations=observations, min_observations=30, min_success=0.75
        )
        is expected
    )
