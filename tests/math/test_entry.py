"""Entries of the three strategies, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.clusters import Cluster
from whalestack.math.entry import EntryPlan, plan_entry
from whalestack.math.refusals import Refusal


def above(low=110.0, high=114.0, center=112.0):
    return Cluster("7d", "short", low, high, center, 1e6, 10.0)


def below(low=86.0, high=90.0, center=88.0):
    return Cluster("7d", "long", low, high, center, 1e6, 10.0)


def test_conservative_long_beyond_the_market_gets_the_ask():
    """Limit 110 * 0.98 = 107.8 is above the ask of 100: it fills at 100, reward 12 %."""
    plan = plan_entry("CONSERVATIVE", "LONG", bid=99.9, ask=100.0, target=above())
    assert isinstance(plan, EntryPlan)
    assert plan.limit_price == pytest.approx(107.8)
    assert (plan.expected_price, plan.fills_at_once, plan.take_profit) == (100.0, True, 112.0)
    assert plan.reward_pct == pytest.approx(12.0)


def test_conservative_long_near_its_target_waits_for_the_pullback():
    """Price 109, target's low 110: the limit at 107.8 waits; reward (112 - 107.8) / 107.8."""
    plan = plan_entry("CONSERVATIVE", "LONG", bid=108.9, ask=109.0, target=above())
    assert isinstance(plan, EntryPlan)
    assert (plan.expected_price, plan.fills_at_once) == (pytest.approx(107.8), False)
    assert plan.reward_pct == pytest.approx((112 - 107.8) / 107.8 * 100)


def test_conservative_short_is_the_mirror():
    """Limit 90 * 1.02 = 91.8; price 100 is above, so the sell limit fills at the bid."""
    plan = plan_entry("CONSERVATIVE", "SHORT", bid=99.9, ask=100.0, target=below())
    assert isinstance(plan, EntryPlan)
    assert plan.limit_price == pytest.approx(91.8)
    assert (plan.expected_price, plan.fills_at_once, plan.take_profit) == (99.9, True, 88.0)
    assert plan.reward_pct == pytest.approx((99.9 - 88) / 99.9 * 100)
    waiting = plan_entry("CONSERVATIVE", "SHORT", bid=91.0, ask=91.1, target=below())
    assert isinstance(waiting, EntryPlan)
    assert (waiting.expected_price, waiting.fills_at_once) == (pytest.approx(91.8), False)


def test_take_profit_is_the_centre_never_the_far_edge():
    """The centre of mass, where the value is, not half way."""
    plan = plan_entry("CONSERVATIVE", "LONG", bid=99.9, ask=100.0, target=above(center=110.5))
    assert isinstance(plan, EntryPlan)
    assert plan.take_profit == 110.5


def test_aggressive_enters_at_the_near_edge_and_stops_beyond_the_cluster_behind():
    """Limit 110; the longs' cluster 86 to 90 lies behind a LONG: the stop begins beyond 86."""
    plan = plan_entry("AGGRESSIVE", "LONG", bid=99.9, ask=100.0, target=above(), behind=below())
    assert isinstance(plan, EntryPlan)
    assert (plan.limit_price, plan.expected_price, plan.stop_beyond) == (110.0, 100.0, 86.0)
    lone = plan_entry("AGGRESSIVE", "SHORT", bid=99.9, ask=100.0, target=below())
    assert isinstance(lone, EntryPlan)
    assert (lone.limit_price, lone.stop_beyond) == (90.0, None)


def test_reversal_fades_what_was_just_hit():
    """SHORT at 99.5 % of 101's high: 100.495, above the bid, so it waits; target the centre below."""
    hit = above(low=99.0, high=101.0, center=100.0)
    plan = plan_entry("REVERSAL", "SHORT", bid=100.0, ask=100.1, target=below(), hit=hit)
    assert isinstance(plan, EntryPlan)
    assert plan.limit_price == pytest.approx(100.495)
    assert (plan.fills_at_once, plan.take_profit) == (False, 88.0)


def test_reversal_is_mirrored():
    """LONG at 100.5 % of the hit low 99: 99.495, above the ask of 99.3, so it fills at 99.3."""
    hit = below(low=99.0, high=100.0, center=99.5)
    plan = plan_entry("REVERSAL", "LONG", bid=99.2, ask=99.3, target=above(), hit=hit)
    assert isinstance(plan, EntryPlan)
    assert plan.limit_price == pytest.approx(99.495)
    assert (plan.expected_price, plan.fills_at_once, plan.take_profit) == (99.3, True, 112.0)


@pytest.mark.parametrize(
    ("strategy", "direction", "bid", "ask", "target", "hit", "code"),
    [
        ("CONSERVATIVE", "LONG", 0.0, 100.0, above(), None, "bad_market"),
        ("CONSERVATIVE", "LONG", 101.0, 100.0, above(), None, "bad_market"),
        ("CONSERVATIVE", "LONG", float("nan"), 100.0, above(), None, "bad_market"),
        ("CONSERVATIVE", "LONG", 99.9, 100.0, below(), None, "wrong_side_target"),
        (
            "AGGRESSIVE",
            "LONG",
            112.4,
            112.5,
            above(low=113.0, high=113.0, center=112.0),
            None,
            "target_not_ahead",
        ),
        ("REVERSAL", "SHORT", 99.9, 100.0, below(), None, "no_hit_cluster"),
        ("REVERSAL", "SHORT", 99.9, 100.0, below(), below(), "wrong_side_hit"),
        (
            "REVERSAL",
            "SHORT",
            85.0,
            85.1,
            below(),
            above(low=85.0, high=86.0, center=85.5),
            "target_not_ahead",
        ),
    ],
)
def test_refusals(strategy, direction, bid, ask, target, hit, code):
    """An ordinary no is a value with a fixed code."""
    refusal = plan_entry(strategy, direction, bid=bid, ask=ask, target=target, hit=hit)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


@given(
    st.sampled_from(["CONSERVATIVE", "AGGRESSIVE"]),
    st.sampled_from(["LONG", "SHORT"]),
    st.floats(1, 1000),
    st.floats(0, 0.01),
    st.floats(0.001, 0.5),
    st.floats(0, 0.1),
)
def test_a_plan_never_expects_a_better_price_than_its_limit_allows(
    strategy, direction, price, spread, distance, width
):
    """A LONG pays at most its limit and a SHORT gets at least it; the target lies ahead."""
    way = 1 if direction == "LONG" else -1
    near = price * (1 + way * distance)
    far = near * (1 + way * width)
    low, high = min(near, far), max(near, far)
    target = Cluster("7d", "short" if way > 0 else "long", low, high, (low + high) / 2, 1.0, distance * 100)
    plan = plan_entry(strategy, direction, bid=price * (1 - spread), ask=price * (1 + spread), target=target)
    if isinstance(plan, EntryPlan):
        assert (plan.limit_price - plan.expected_price) * way >= 0
        assert (plan.take_profit - plan.expected_price) * way > 0
        assert plan.reward_pct > 0
