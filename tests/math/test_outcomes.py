"""The rule by which clusters are judged, on hand-made paths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.outcomes import Path, Verdict, beyond_run_pct, came_back_pct, is_covered, judge
from whalestack.math.windows import descending_ranks

MINUTE = 60_000


def path(*bars):
    """(high, low) of consecutive minutes from time 0."""
    highs, lows = np.array(bars, dtype=float).T if bars else (np.empty(0), np.empty(0))
    return Path(np.arange(len(bars)) * MINUTE, highs, lows, MINUTE)


def judged(bars, *, side="short", center=105.0, detected_ms=0, horizon=10, now=10):
    return judge(
        path(*bars),
        side=side,
        center=center,
        detected_price=100.0,
        detected_ms=detected_ms,
        horizon_ms=horizon * MINUTE,
        now_ms=now * MINUTE,
    )


def test_a_hit_is_dated_to_the_end_of_its_bar():
    """The third bar reaches 105; before and in it price fell as far as 97: 3 % against."""
    verdict = judged([(101, 99), (102, 97), (105, 100), (110, 90)])
    assert verdict == Verdict(hit=True, hit_ms=3 * MINUTE, adverse_pct=pytest.approx(3.0))


def test_a_cluster_below_is_the_mirror():
    """Reached by a low of 95; the high of 104 is 4 % against."""
    verdict = judged([(104, 99), (101, 95)], side="long", center=95.0)
    assert verdict == Verdict(hit=True, hit_ms=2 * MINUTE, adverse_pct=pytest.approx(4.0))


def test_in_the_bar_of_the_hit_the_worse_is_taken():
    """One bar from 92 to 106: nobody knows which came first, so 8 % against counts."""
    assert judged([(106, 92)]) == Verdict(True, MINUTE, pytest.approx(8.0))


def test_a_gap_over_the_cluster_is_a_hit():
    """No bar trades at 105, the second opens at 120: a take-profit there would have filled."""
    verdict = judged([(101, 99), (125, 120)])
    assert verdict is not None
    assert verdict.hit_ms == 2 * MINUTE


def test_the_bar_of_the_detection_does_not_count():
    """Detected half way through the first bar, whose high may be older than the cluster."""
    assert judged([(106, 99), (101, 99)], detected_ms=MINUTE // 2, now=2) is None


def test_a_bar_that_ends_after_the_horizon_does_not_count():
    """The horizon ends with bar 2; bar 3 reaches it too late."""
    verdict = judged([(101, 99), (101, 98), (106, 100)], horizon=2, now=3)
    assert verdict == Verdict(False, None, pytest.approx(2.0))


def test_a_bar_that_has_not_ended_is_not_looked_at():
    """What may still change is not judged."""
    assert judged([(101, 99), (106, 100)], now=1.5) is None


def test_before_the_horizon_there_is_no_miss():
    """Nothing yet is not never."""
    assert judged([(101, 99)] * 9, now=9) is None


def test_a_horizon_that_ends_in_the_data_is_a_miss():
    """Ten quiet bars."""
    assert judged([(101, 99)] * 10) == Verdict(False, None, pytest.approx(1.0))


def test_without_the_bars_nothing_is_judged():
    """Eight of ten minutes are not nine tenths of the time."""
    assert judged([(101, 99)] * 8) is None
    assert judged([(101, 99)] * 9) is not None
    assert is_covered(path(), 0, 0)


def test_a_hit_needs_no_coverage():
    """What was seen was seen, whatever else is missing."""
    assert judged([(106, 99)]) is not None


def test_beyond_by_hand():
    """Far edge 110, the high after it 121: 10 %; below: edge 90, low 81: 10 %; not reached: 0."""
    assert beyond_run_pct(path((111, 100), (121, 110)), "short", 110.0) == pytest.approx(10.0)
    assert beyond_run_pct(path((95, 81)), "long", 90.0) == pytest.approx(10.0)
    assert beyond_run_pct(path((109, 100)), "short", 110.0) == 0.0
    assert beyond_run_pct(path(), "short", 110.0) == 0.0


def test_the_way_back_by_hand():
    """From 121 down to 99 afterwards: 18.2 %; the low of 90 came before, or in, the bar of the high."""
    assert came_back_pct(path((100, 90), (121, 95), (110, 99)), "short") == pytest.approx(22 / 121 * 100)
    assert came_back_pct(path((105, 80), (88, 84)), "long") == pytest.approx(10.0)
    assert came_back_pct(path((100, 90), (121, 95)), "short") == 0.0
    assert came_back_pct(path(), "long") == 0.0


bars_strategy = st.lists(
    st.tuples(st.floats(90, 110), st.floats(0, 5)).map(lambda pair: (pair[0] + pair[1], pair[0])),
    min_size=1,
    max_size=30,
)


@given(bars_strategy, st.sampled_from(["short", "long"]), st.floats(85, 115), st.integers(1, 30))
def test_nothing_later_is_seen_and_a_hit_stays_a_hit(bars, side, center, cut):
    """Judged at any earlier moment, the verdict is none, or the same one for ever."""
    early = judged(bars[:cut], side=side, center=center, horizon=30, now=cut)
    with_future = judged(bars, side=side, center=center, horizon=30, now=cut)
    assert with_future == early
    if early is not None and early.hit:
        assert judged(bars, side=side, center=center, horizon=30, now=30) == early


def test_ranks_by_hand():
    """The largest change is first, an unknown one has no place."""
    assert descending_ranks(np.array([1.0, np.nan, 5.0, -2.0])).tolist() == [2, 0, 1, 3]
