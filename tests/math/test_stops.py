"""The first stop, and how it follows."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.clusters import Cluster
from whalestack.math.refusals import Refusal
from whalestack.math.rounding import round_price
from whalestack.math.stops import StopChoice, choose_stop, next_look_price, trailing_stop

STEPS = ((10.0, 0.0), (20.0, 10.0), (50.0, 30.0))
D = Decimal


def cluster(low, high):
    return Cluster("7d", "long", low, high, (low + high) / 2, 1e6, 1.0)


def chosen(direction="LONG", entry=100.0, wick=7.0, clusters=(), **more):
    return choose_stop(
        direction,
        entry,
        wick_pct=wick,
        clusters=clusters,
        stop_min_pct=5.0,
        stop_max_pct=10.0,
        beyond_pct=0.5,
        **more,
    )


@pytest.mark.parametrize(
    ("wick", "distance"), [(7.0, 7.0), (1.0, 5.0), (30.0, 10.0), (None, 10.0), (5.0, 5.0), (10.0, 10.0)]
)
def test_the_wick_history_within_its_bounds(wick, distance):
    """Kept within 5 to 10 %; without a record the far bound."""
    stop = chosen(wick=wick)
    assert isinstance(stop, StopChoice)
    assert stop.distance_pct == pytest.approx(distance)
    assert stop.stop_price == pytest.approx(100 - distance)


def test_a_shorts_stop_lies_above():
    """7 % over 100."""
    stop = chosen("SHORT")
    assert isinstance(stop, StopChoice)
    assert stop.stop_price == pytest.approx(107.0)


def test_liquidity_just_behind_pushes_the_stop_beyond_it():
    """Stop at 93; a cluster 91.5 to 92.5 is 0.5 % behind it: beyond 91.5 by 0.5 % is 91.0425."""
    stop = chosen(clusters=[cluster(91.5, 92.5)])
    assert isinstance(stop, StopChoice)
    assert stop.stop_price == pytest.approx(91.0425)
    assert stop.distance_pct == pytest.approx(8.9575)
    assert stop.reasons[-1] == "beyond the liquidity that ends at 91.5"


def test_a_stop_inside_a_cluster_goes_beyond_it():
    """93 lies in 92 to 94: beyond 92 by 0.5 % is 91.54."""
    stop = chosen(clusters=[cluster(92.0, 94.0)])
    assert isinstance(stop, StopChoice)
    assert stop.stop_price == pytest.approx(91.54)


def test_one_cluster_after_another():
    """Beyond 92 the stop is at 91.54; 91.0 to 91.2 is then just behind, and beyond it is 90.545."""
    stop = chosen(clusters=[cluster(91.0, 91.2), cluster(92.0, 92.4)])
    assert isinstance(stop, StopChoice)
    assert stop.stop_price == pytest.approx(90.545)


@pytest.mark.parametrize("span", [(94.0, 96.0), (80.0, 85.0), (101.0, 103.0)])
def test_what_is_before_the_stop_far_behind_it_or_on_the_other_side_changes_nothing(span):
    """Only liquidity that price would be drawn to through the stop counts."""
    stop = chosen(clusters=[cluster(*span)])
    assert isinstance(stop, StopChoice)
    assert stop.stop_price == pytest.approx(93.0)


def test_refused_where_it_would_need_more_than_the_bound():
    """A cluster 88 to 92 just behind 93 asks for 87.56, 12.44 % away."""
    refusal = chosen(clusters=[cluster(88.0, 92.0)])
    assert isinstance(refusal, Refusal)
    assert refusal.code == "stop_too_far"
    assert "12.44 %" in refusal.text


def test_a_shorts_stop_is_pushed_up():
    """Stop 107; a cluster 107.5 to 108 behind it: 108 * 1.005 = 108.54."""
    stop = chosen("SHORT", clusters=[cluster(107.5, 108.0)])
    assert isinstance(stop, StopChoice)
    assert stop.stop_price == pytest.approx(108.54)


def test_beyond_a_named_price():
    """AGGRESSIVE: beyond 92 by 0.5 % is 91.54, further than the wick's 93; 96 is not further."""
    stop = chosen(stop_beyond=92.0)
    assert isinstance(stop, StopChoice)
    assert stop.stop_price == pytest.approx(91.54)
    nearer = chosen(stop_beyond=96.0)
    assert isinstance(nearer, StopChoice)
    assert nearer.stop_price == pytest.approx(93.0)


def test_an_entry_that_is_no_price_is_refused():
    """Zero and NaN."""
    for entry in (0.0, float("nan")):
        refusal = chosen(entry=entry)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "bad_price"


spans = st.tuples(st.floats(50, 150), st.floats(0, 5)).map(lambda pair: cluster(pair[0], pair[0] + pair[1]))


@given(st.sampled_from(["LONG", "SHORT"]), st.floats(0, 40), st.lists(spans, max_size=6))
def test_a_chosen_stop_is_within_bounds_and_nothing_waits_just_behind(direction, wick, clusters):
    """Whatever the clusters: 5 to 10 % away, and not in or just before a cluster."""
    stop = chosen(direction, wick=wick, clusters=clusters)
    if isinstance(stop, Refusal):
        assert stop.code == "stop_too_far"
        return
    assert 5 - 1e-9 <= stop.distance_pct <= 10 + 1e-9
    way = 1 if direction == "LONG" else -1
    for each in clusters:
        distances = sorted(way * (100 - edge) for edge in (each.price_low, each.price_high))
        if distances[1] > 0:
            is_passed = distances[1] < stop.distance_pct + 1e-9
            is_far = distances[0] > stop.distance_pct + 2 - 1e-9
            assert is_passed or is_far


@pytest.mark.parametrize(
    ("price", "stop"),
    [
        ("109.9", None),
        ("110", "100"),
        ("119.9", "100"),
        ("120", "110"),
        ("149", "110"),
        ("150", "130"),
        ("900", "130"),
    ],
)
def test_trailing_of_a_long_by_hand(price, stop):
    """At +10 % breakeven, at +20 to +10, at +50 to +30."""
    new = trailing_stop("LONG", D(100), D(price), D(93), STEPS, tick_size=D("0.01"))
    assert new == (None if stop is None else D(stop))


@pytest.mark.parametrize(
    ("price", "stop"), [("90.1", None), ("90", "100"), ("80", "90"), ("50", "70"), ("51", "90")]
)
def test_trailing_of_a_short_by_hand(price, stop):
    """The mirror: 10 % profit at 90, 20 % at 80, 50 % at 50."""
    new = trailing_stop("SHORT", D(100), D(price), D(107), STEPS, tick_size=D("0.01"))
    assert new == (None if stop is None else D(stop))


def test_a_stop_never_moves_back():
    """The price fell from 120 back to 112: breakeven is worse than the 110 that stands."""
    assert trailing_stop("LONG", D(100), D(112), D(110), STEPS, tick_size=D("0.01")) is None
    assert trailing_stop("LONG", D(100), D(112), D(100), STEPS, tick_size=D("0.01")) is None


def test_a_spike_that_is_over_moves_the_stop_as_far_as_the_price_allows():
    """Best 121 earned +10, but the price is 108 now: 110 would be past it, breakeven is not."""
    new = trailing_stop("LONG", D(100), D(108), D(93), STEPS, tick_size=D("0.01"), best_price=D(121))
    assert new == D(100)


def test_a_position_without_a_stop_gets_one_as_soon_as_a_step_applies():
    """None as the present stop is worse than any."""
    assert trailing_stop("LONG", D(100), D(110), None, STEPS, tick_size=D("0.01")) == D(100)


def test_rounding_is_toward_the_price():
    """Breakeven 0.01234 at a tick of 0.0001: up to 0.0124 for a LONG, down for a SHORT."""
    assert trailing_stop("LONG", D("0.01234"), D("0.0140"), None, STEPS, tick_size=D("0.0001")) == D("0.0124")
    assert trailing_stop("SHORT", D("0.01234"), D("0.0110"), None, STEPS, tick_size=D("0.0001")) == D(
        "0.0123"
    )


prices = st.decimals("0.01", "1000", places=4)
steps_strategy = st.lists(
    st.tuples(st.floats(0.5, 200), st.floats(0.01, 0.99)).map(lambda pair: (pair[0], pair[0] * pair[1])),
    max_size=4,
)


@given(
    st.sampled_from(["LONG", "SHORT"]),
    prices,
    st.lists(prices, min_size=1, max_size=40),
    steps_strategy,
    st.sampled_from([D("0.0001"), D("0.01"), D("0.5"), D(3)]),
)
def test_for_any_prices_the_stop_only_ratchets_and_is_never_past_the_price(
    direction, entry, path, steps, tick
):
    """The law of issue 3, with and without a best price, on coarse ticks too."""
    way = 1 if direction == "LONG" else -1
    stop, best = None, path[0]
    for price in path:
        best = max(best * way, price * way) * way
        new = trailing_stop(direction, entry, price, stop, steps, tick_size=tick, best_price=best)
        if new is not None:
            assert stop is None or (new - stop) * way > 0
            assert (price - new) * way > 0
            assert new > 0
            assert new % tick == 0
            stop = new


def next_look(direction, price, stop, best=None):
    return next_look_price(direction, D(100), D(price), stop, STEPS, tick_size=D("0.01"), best_price=best)


def test_the_next_look_by_hand():
    """From 100 at 105 the next is 110, at 110 it is 120, at 150 there is none; mirrored for a SHORT."""
    assert next_look("LONG", 105, D(93)) == D(110)
    assert next_look("LONG", 110, D(100)) == D(120)
    assert next_look("LONG", 150, D(130)) is None
    assert next_look("SHORT", 85, D(100)) == D(80)


def test_a_stop_that_the_price_has_fallen_through_waits_for_the_price_to_be_back():
    """Best 121 has earned a stop at 110; at 108 it cannot stand, at 110.01 it can. Until then breakeven."""
    assert trailing_stop("LONG", D(100), D(108), D(93), STEPS, tick_size=D("0.01"), best_price=D(121)) == 100
    assert next_look("LONG", 108, D(100), best=D(121)) == D("110.01")
    back = trailing_stop("LONG", D(100), D("110.01"), D(100), STEPS, tick_size=D("0.01"), best_price=D(121))
    assert back == 110


def test_a_price_below_every_earned_stop_moves_nothing_and_closes_nothing():
    """Touched 110 and fell to 99: the first stop stays; breakeven can stand from 100.01 on."""
    assert trailing_stop("LONG", D(100), D(99), D(93), STEPS, tick_size=D("0.01"), best_price=D(110)) is None
    assert next_look("LONG", 99, D(93), best=D(110)) == D("100.01")


@given(
    st.sampled_from(["LONG", "SHORT"]),
    prices,
    st.lists(prices, min_size=1, max_size=30),
    steps_strategy,
    st.sampled_from([D("0.0001"), D("0.01"), D("0.5"), D(3)]),
)
def test_nothing_is_missed_by_who_looks_only_when_the_watched_price_is_reached(
    direction, entry, path, steps, tick
):
    """Two monitors see the same prices. One looks at each; the other only at those that its watch
    names, and at the best price it was told with. Their stops are the same all the way."""
    way = 1 if direction == "LONG" else -1
    path = [round_price(each, tick, "nearest") for each in path]
    eager = lazy = None
    best = path[0]
    watch = None
    for number, price in enumerate(path):
        best = max(best * way, price * way) * way
        more = {"tick_size": tick, "best_price": best}
        eager = trailing_stop(direction, entry, price, eager, steps, **more) or eager
        if number == 0 or (watch is not None and (price - watch) * way >= 0):
            lazy = trailing_stop(direction, entry, price, lazy, steps, **more) or lazy
            watch = next_look_price(direction, entry, price, lazy, steps, **more)
        assert lazy == eager
