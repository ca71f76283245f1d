"""Whether a plan is worth its risk: by expectation, not by a fixed reward-to-risk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from whalestack.math.directions import Direction, sign
from whalestack.math.refusals import Refusal


@dataclass(frozen=True)
class Decision:
    """A plan that may be traded.

    Args:
        expectancy_pct: per cent of the position's value, costs taken off.
        basis: "record" (enough observations) or "learning" (too few; the mode allows it).
        text: one clause for people.
    """

    expectancy_pct: float
    basis: Literal["record", "learning"]
    text: str


def costs_pct(
    direction: Direction,
    *,
    entry_fee_pct: float,
    exit_fee_pct: float,
    slippage_pct: float,
    funding_rate_pct: float,
    hold_h: float,
    funding_interval_h: float,
) -> float:
    """What a round trip costs, in per cent of the position's value.

    Args:
        direction: a LONG pays funding when the rate is positive, a SHORT when it is negative.
        entry_fee_pct, exit_fee_pct: per cent, 0.055 for a taker.
        slippage_pct: of both ends together.
        funding_rate_pct: of one interval, signed.
        hold_h: how long the trade is expected to run; every begun interval is paid.
        funding_interval_h: above 0.

    Returns:
        At least fees and slippage: funding that would be received is not counted on.
    """
    payments = math.ceil(hold_h / funding_interval_h) if hold_h > 0 else 0
    funding = max(funding_rate_pct * sign(direction), 0.0) * payments
    return entry_fee_pct + exit_fee_pct + slippage_pct + funding


def expectancy_pct(p: float, reward_pct: float, risk_pct: float, costs: float) -> float:
    """`p*reward - (1-p)*risk - costs`, all in per cent of the position's value; p is 0 to 1."""
    return p * reward_pct - (1 - p) * risk_pct - costs


def decide(
    p: float,
    n: int,
    reward_pct: float,
    risk_pct: float,
    costs: float,
    *,
    min_observations: int,
    may_trade_without_history: bool,
) -> Decision | Refusal:
    """Whether a plan may be traded.

    Args:
        p: the coin's own success rate, shrunk, 0 to 1.
        n: observations it rests on.
        reward_pct: from the expected entry to the take-profit.
        risk_pct: from the expected entry to the stop.
        costs: see `costs_pct`.
        min_observations: how many are enough to judge by.
        may_trade_without_history: whether the mode trades to learn.

    Returns:
        Refusal `reward_below_costs`, `negative_expectancy` or `too_few_observations`.
    """
    if reward_pct <= costs:
        return Refusal(
            "reward_below_costs", f"the reward of {reward_pct:.2f} % does not cover {costs:.2f} % costs"
        )
    expected = expectancy_pct(p, reward_pct, risk_pct, costs)
    if n < min_observations:
        if may_trade_without_history:
            return Decision(expected, "learning", f"{n} of {min_observations} observations: trading to learn")
        return Refusal("too_few_observations", f"{n} of {min_observations} observations")
    if expected <= 0:
        return Refusal(
            "negative_expectancy",
            f"{expected:.2f} % expected: {p * 100:.0f} % of {n} reach {reward_pct:.2f} %, "
            f"the others lose {risk_pct:.2f} %, costs {costs:.2f} %",
        )
    return Decision(expected, "record", f"{expected:.2f} % expected from {n} observations")
