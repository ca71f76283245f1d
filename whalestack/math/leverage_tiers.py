"""Which leverages are in use on a coin: what its exchange allows caps what people would like.

Maintenance margin is half the initial margin of the highest leverage allowed, which is what
Bybit's first risk tier says of every coin (100x: 1 % and 0.5 %; `GET /v5/market/risk-limit`).
It depends on the coin and the position's size, not on the leverage that somebody chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from whalestack.math.liquidation_model import DEFAULT_TIERS, LeverageTier, ModelAssumptions

COMMON_MAX_LEVERAGE = 25.0
"""Of 552 linear contracts listed in March 2025, 253 allowed 25x, 354 at most that, 4 100x or more."""
MAINTENANCE_SHARE = 0.5
"""Maintenance margin over the initial margin at the highest leverage."""


def tiers_of_coin(
    max_leverage: float, wishes: Sequence[tuple[float, float]] | None = None
) -> tuple[LeverageTier, ...]:
    """The tiers of one coin.

    Args:
        max_leverage: that the exchange allows, above 1.
        wishes: (leverage, weight) in use where everything is allowed; who wishes for more than
            is allowed takes the most there is. None for the default.

    Raises:
        ValueError: the exchange allows no leverage.
    """
    if not max_leverage > 1:
        raise ValueError(f"a coin that allows {max_leverage:g} times has no leveraged positions")
    wanted = wishes or [(tier.leverage, tier.weight) for tier in DEFAULT_TIERS]
    weights: dict[float, float] = {}
    for leverage, weight in sorted(wanted):
        allowed = min(leverage, max_leverage)
        weights[allowed] = weights.get(allowed, 0.0) + weight
    total = sum(weights.values())
    margin = MAINTENANCE_SHARE / max_leverage
    return tuple(LeverageTier(leverage, weight / total, margin) for leverage, weight in weights.items())


def for_coin(assumptions: ModelAssumptions, max_leverage: float | None) -> ModelAssumptions:
    """The same assumptions with the tiers that a coin allows; unknown counts as the commonest."""
    wishes = [(tier.leverage, tier.weight) for tier in assumptions.tiers]
    return replace(assumptions, tiers=tiers_of_coin(max_leverage or COMMON_MAX_LEVERAGE, wishes))


def model_assumptions(
    leverages: Sequence[tuple[float, float]], *, churn_pct: float, turnover_pct_without_oi: float
) -> ModelAssumptions:
    """The assumptions as the settings say them.

    Args:
        leverages: (leverage, weight) pairs; the weights are relative.
        churn_pct: per cent of turnover that changes hands without moving open interest.
        turnover_pct_without_oi: per cent of turnover that opens positions where open interest is unknown.

    Raises:
        ValueError: there is no leverage above 1.
    """
    highest = max((leverage for leverage, _ in leverages), default=0.0)
    return ModelAssumptions(
        tiers=tiers_of_coin(highest, leverages),
        churn_share=churn_pct / 100,
        turnover_share_without_oi=turnover_pct_without_oi / 100,
    )
