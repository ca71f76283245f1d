"""Costs and the decision."""

from __future__ import annotations

import pytest

from whalestack.math.expectancy import Decision, costs_pct, decide, expectancy_pct
from whalestack.math.refusals import Refusal


@pytest.mark.parametrize(
    ("direction", "rate", "hold_h", "expected"),
    [
        ("LONG", 0.01, 8, 0.22),  # 0.055 + 0.055 + 0.1 + one payment of 0.01
        ("LONG", 0.01, 8.1, 0.23),  # a begun interval is paid
        ("LONG", 0.01, 0, 0.21),
        ("LONG", -0.5, 8, 0.21),  # what would be received is not counted on
        ("SHORT", -0.5, 16, 1.21),
        ("SHORT", 0.5, 16, 0.21),
    ],
)
def test_costs_by_hand(direction, rate, hold_h, expected):
    """Both fees, slippage, and funding for each begun interval in which it is paid."""
    costs = costs_pct(
        direction, entry_fee_pct=0.055, exit_fee_pct=0.055, slippage_pct=0.1,
        funding_rate_pct=rate, hold_h=hold_h, funding_interval_h=8,
    )  # fmt: skip
    assert costs == pytest.approx(expected)


def test_expectancy_by_hand():
    """0.4 * 12 - 0.6 * 7 - 0.2 = 0.4 %."""
    assert expectancy_pct(0.4, 12, 7, 0.2) == pytest.approx(0.4)


def judged(p=0.4, n=50, reward=12.0, risk=7.0, costs=0.2, learn=False):
    return decide(p, n, reward, risk, costs, min_observations=30, may_trade_without_history=learn)


def test_a_positive_expectation_is_traded():
    """And says on what it rests."""
    decision = judged()
    assert isinstance(decision, Decision)
    assert (decision.basis, decision.expectancy_pct) == ("record", pytest.approx(0.4))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"p": 0.3}, "negative_expectancy"),  # 3.6 - 4.9 - 0.2 = -1.5
        ({"p": 0.3, "learn": True}, "negative_expectancy"),  # a record counts in every mode
        ({"reward": 0.2}, "reward_below_costs"),
        ({"reward": 0.2, "n": 3, "learn": True}, "reward_below_costs"),  # not even to learn
        ({"n": 29}, "too_few_observations"),
    ],
)
def test_refusals(arguments, code):
    """Costs first, then the record."""
    refusal = judged(**arguments)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


def test_too_few_observations_are_traded_to_learn_where_the_mode_allows():
    """Even when the expectation of the prior is negative: it is not the coin's own."""
    decision = judged(p=0.1, n=3, learn=True)
    assert isinstance(decision, Decision)
    assert decision.basis == "learning"


def test_no_fixed_reward_to_risk():
    """Risk twice the reward is fine where the record carries it: 0.9*5 - 0.1*10 - 0.2 = 3.3."""
    assert isinstance(judged(p=0.9, reward=5.0, risk=10.0), Decision)
