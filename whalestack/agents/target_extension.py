"""Pushing a take-profit on: when a larger cluster lies beyond the one that is nearly reached."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from whalestack.db.models import LiquidationCluster
from whalestack.math.directions import as_direction, sign, target_side
from whalestack.math.rounding import decimal_of, round_take_profit

# Of the way from entry to target: nearer to the entry, the present target still decides.
NEARLY_THERE = Decimal("0.8")


class Targeted(Protocol):
    """What of an open trade matters here."""

    @property
    def side(self) -> str: ...
    @property
    def entry_price(self) -> Decimal: ...
    @property
    def take_profit(self) -> Decimal | None: ...


def extended_target(
    trade: Targeted, clusters: Sequence[LiquidationCluster], *, price: Decimal, tick_size: Decimal
) -> Decimal | None:
    """The centre of the nearest larger cluster beyond the present target, None to leave it.

    Args:
        trade: open, with its target.
        clusters: standing clusters of the coin, from fresh maps.
        price: the last price.
        tick_size: the result is a multiple of it.

    Returns:
        A price farther along than the present target, never nearer.
    """
    if trade.take_profit is None or not is_nearly_there(trade, price):
        return None
    direction = as_direction(trade.side)
    way, target = sign(direction), float(trade.take_profit)
    on_the_way = [each for each in clusters if each.side == target_side(direction)]
    present = max(
        (each.leverage for each in on_the_way if each.price_low <= target <= each.price_high), default=0.0
    )
    beyond = [
        each
        for each in on_the_way
        if (each.price_center - target) * way > 0
        and not each.price_low <= target <= each.price_high
        and each.leverage > present
    ]
    if present == 0.0 or not beyond:
        return None
    nearest = min(beyond, key=lambda each: abs(each.price_center - target))
    farther = round_take_profit(direction, decimal_of(nearest.price_center), tick_size)
    return farther if (farther - trade.take_profit) * way > 0 else None


def extension_price(trade: Targeted) -> Decimal | None:
    """Where the target is nearly reached and may be pushed on, None for a trade without one."""
    if trade.take_profit is None:
        return None
    return trade.entry_price + (trade.take_profit - trade.entry_price) * NEARLY_THERE


def is_nearly_there(trade: Targeted, price: Decimal) -> bool:
    """Whether a larger cluster beyond the target is worth looking for at this price."""
    from_here = extension_price(trade)
    if from_here is None or trade.take_profit == trade.entry_price:
        return False
    return (price - from_here) * sign(as_direction(trade.side)) >= 0
